"""Gradients with respect to features, made only as far as they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gragr_explain.explain._rows import SharedRows
from gragr_explain.messages import mask_dtype

_AT_ONCE = 2**18
"""How many gradients are added up at once: few enough to stay in a processor's cache."""


@dataclass(frozen=True)
class FeatureGradient:
    """The gradients of a number with respect to features of nodes.

    Attributes:
        x: The features, ``[num_nodes, *]``.
        gradient: Gradients with respect to them, ``[num_nodes, *]``; ``None`` where there are none.
        products: Gradients with respect to products of the features with weights, ``[num_nodes, num_outputs]``, and
            these weights, ``[num_features, num_outputs]``, where the number depends on such products instead, or too.
    """

    x: Tensor
    gradient: Tensor | None = None
    products: Sequence[tuple[Tensor, Tensor]] = ()

    @property
    def is_zero(self) -> bool:
        """Whether the number does not depend on the features."""
        return self.gradient is None and not self.products

    def made(self) -> Tensor:
        """The gradients, ``[num_nodes, *]``."""
        return self._of(slice(None))

    def times_input(self) -> Tensor:
        """Gradient times input, ``[num_nodes, *]``."""
        return self._times_input(slice(None))

    def times_input_of_parts(self, part: Tensor, num_parts: int) -> Tensor:
        """The same added up for the nodes of each part, ``[num_parts, num_features]``.

        Args:
            part: The part that each node belongs to, ``[num_nodes]``.
            num_parts: The number of parts.
        """
        width = self.x.shape[1:].numel()
        total = torch.zeros(num_parts, width, dtype=mask_dtype(self.x), device=self.x.device)
        if self.is_zero or width == 0:
            return total
        step = max(1, _AT_ONCE // width)
        for start in range(0, part.numel(), step):
            nodes = slice(start, start + step)
            total.index_add_(0, part[nodes], self._times_input(nodes).reshape(-1, width))
        return total

    def _times_input(self, nodes: slice) -> Tensor:
        gradient = self._of(nodes)
        if self.is_zero:
            return gradient
        return gradient * (self.x.some(nodes) if isinstance(self.x, SharedRows) else self.x[nodes])

    def _of(self, nodes: slice) -> Tensor:
        if self.is_zero:
            return torch.zeros(self.x.shape, dtype=mask_dtype(self.x), device=self.x.device)[nodes]
        parts = [gradient[nodes] @ weight.t() for gradient, weight in self.products]
        if self.gradient is not None:
            parts.append(self.gradient[nodes])
        return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]
