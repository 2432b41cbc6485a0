"""Several predictions under many masks of their edges."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch_geometric.explain.config import ExplanationType, ModelConfig

from gragr_explain.explain._copies import Computation
from gragr_explain.explain._objective import strength
from gragr_explain.explain._union import Union
from gragr_explain.messages import mask_dtype


@dataclass(frozen=True)
class UnionTrials:
    """The predictions that a union of graphs is made of; see :class:`~gragr_explain.explain._worth.Trials`.

    Attributes:
        model: The model, in evaluation mode.
        union: The graphs.
        target: The target of each prediction, ``[num_parts, *]``.
        config: What the model returns.
        explanation_type: Whether the model's prediction or a phenomenon is explained.
        at_once: How many masks a pass takes.
        copies: Whether a pass can take several; a wide search takes long where it cannot.
    """

    model: nn.Module
    union: Union
    target: Tensor
    config: ModelConfig
    explanation_type: ExplanationType
    at_once: int = 8
    copies: bool = True
    _copies: dict[int, Computation] = field(default_factory=dict, init=False, repr=False)

    @property
    def edge_part(self) -> Tensor:
        """Which prediction each edge belongs to, ``[num_edges]``."""
        return self.union.edge_part

    @property
    def num_parts(self) -> int:
        """The number of predictions."""
        return self.union.num_parts

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers of masks."""
        return mask_dtype(self.union.x)

    def outputs(self, masks: Tensor) -> Tensor:
        """The model's outputs under masks ``[num_masks, num_edges]``, mask by mask, ``[num_masks * num_parts, *]``."""
        found = []
        for some in masks.split(self.at_once):
            if len(some) not in self._copies:
                self._copies[len(some)] = self.union.copies(len(some))
            found.append(self._copies[len(some)].run(self.model, some.reshape(-1)))
        return torch.cat(found)

    def scores(self, masks: Tensor) -> Tensor:
        """How strongly each prediction stands under masks ``[num_masks, num_edges]``, ``[num_masks, num_parts]``."""
        target = torch.cat([self.target] * len(masks))
        return strength(self.outputs(masks), target, self.config, self.explanation_type).view(len(masks), -1)

    def only(self, parts: Tensor) -> UnionTrials:
        """Some of the predictions, ``[num_kept]`` in ascending order."""
        if parts.numel() == self.num_parts:
            return self
        return replace(self, union=self.union.only(parts), target=self.target[parts])
