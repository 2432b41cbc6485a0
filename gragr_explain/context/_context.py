"""psi of a whole graph, with what is needed to read it: validity, ranks, roles, source."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.context._psi import FEATURES, ROLES, psi_features
from gragr_explain.errors import InvalidGraphError
from gragr_explain.field import Graph, alignment, neighbour_mean, prepare

SOURCES = ("self", "training", "post hoc")
"""Where a gradient field can come from: one of the two recorded fields, or the finished model's own outputs."""


@dataclass(frozen=True)
class GradientContext:
    """The context vectors of all nodes of a graph.

    Attributes:
        psi: The six features, finite, ``[num_nodes, 6]``, columns as in :data:`FEATURES`.
        valid: Which entries of psi mean something, ``[num_nodes, 6]``.
        rank: The share of the graph's valid entries that are smaller (ties count half), in ``[0, 1]``, NaN where
            psi is not valid, ``[num_nodes, 6]``.
        norm: The gradients' norms, ``[num_nodes]``.
        alignment: The cosines with the neighbours' mean, NaN where undefined, ``[num_nodes]``.
        source: Where the gradients come from, one of :data:`SOURCES`.

    Example:
        >>> context = GradientContext.from_field(torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), "self")
        >>> context.num_nodes, context.role(0)
        (3, 'outlier')
    """

    psi: Tensor
    valid: Tensor
    rank: Tensor
    norm: Tensor
    alignment: Tensor
    source: str

    @classmethod
    def from_field(
        cls, field: Tensor, graph: Graph, source: str, confidence: Tensor | None = None, *, scope: str = "ego"
    ) -> GradientContext:
        """The context of a gradient field; arguments and errors as for :func:`psi_features`."""
        graph = prepare(field, graph)
        psi, valid = psi_features(field, graph, confidence, scope=scope)
        norm = torch.linalg.vector_norm(field, dim=-1)
        cosine = alignment(field, neighbour_mean(field, graph))
        return cls(psi, valid, quantile_ranks(psi, valid), norm, cosine, source)

    @property
    def num_nodes(self) -> int:
        """The number of nodes."""
        return self.psi.size(0)

    def shares(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """How many of the graph's valid entries are surely smaller, and larger, than those of some nodes.

        Unlike :attr:`rank`, in which ties count half, these can be said of entries that many nodes share, too, such as
        roles or an influence of zero.

        Args:
            nodes: The nodes, ``[num_chosen]``.

        Returns:
            The shares of smaller and of larger entries in ``[0, 1]``, each ``[num_chosen, 6]``, NaN where psi is not
            valid.

        Example:
            >>> context = GradientContext.from_field(torch.eye(3), torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]]), "self")
            >>> [share[:, FEATURES.index("role")].tolist() for share in context.shares(torch.tensor([0]))]
            [[0.0], [0.0]]
        """
        below, above = (torch.full((nodes.numel(), len(FEATURES)), torch.nan) for _ in range(2))
        for column, ordered in enumerate(self._ordered):
            known = self.valid[nodes, column].cpu()
            values, count = self.psi[nodes, column].contiguous(), max(ordered.numel(), 1)
            smaller = torch.searchsorted(ordered, values) / count
            larger = 1 - torch.searchsorted(ordered, values, right=True) / count
            below[known, column], above[known, column] = smaller.cpu()[known], larger.cpu()[known]
        return below, above

    @cached_property
    def _ordered(self) -> list[Tensor]:
        """The valid entries of each column, the smallest first."""
        return [self.psi[self.valid[:, column], column].sort().values for column in range(len(FEATURES))]

    def role(self, node: int) -> str | None:
        """A node's role by eq. 22, ``None`` where it is undefined."""
        check_number("node", node, whole=True, within=f"[0, {self.num_nodes})")
        column = FEATURES.index("role")
        return ROLES[float(self.psi[node, column])] if bool(self.valid[node, column]) else None


def quantile_ranks(psi: Tensor, valid: Tensor) -> Tensor:
    """The share of a column's valid entries that are smaller than each entry, ties counting half.

    Args:
        psi: Values of shape ``[num_nodes, num_features]``.
        valid: Which of them mean something, of the same shape.

    Returns:
        Ranks in ``[0, 1]`` of the same shape, NaN where not valid.

    Raises:
        InvalidTypeError: If one of them is no tensor.
        InvalidGraphError: If they are no matrix and its mask.

    Example:
        >>> quantile_ranks(torch.tensor([[3.0], [1.0], [1.0], [9.0]]), torch.tensor([[True], [True], [True], [False]]))
        tensor([[0.8333],
                [0.3333],
                [0.3333],
                [   nan]])
    """
    check_type("psi", psi, Tensor)
    check_type("valid", valid, Tensor)
    if psi.dim() != 2 or valid.shape != psi.shape or valid.dtype != torch.bool:
        raise InvalidGraphError(
            f"expected psi of shape [num_nodes, num_features] and a mask of the same, got {list(psi.shape)} and "
            f"{valid.dtype} of {list(valid.shape)}"
        )
    rank = torch.full_like(psi, torch.nan)
    for column in range(psi.size(1)):
        known = valid[:, column]
        values = psi[known, column].contiguous()
        ordered = values.sort().values
        below = torch.searchsorted(ordered, values)
        up_to = torch.searchsorted(ordered, values, right=True)
        rank[known, column] = ((below + up_to) / (2 * max(values.numel(), 1))).to(psi.dtype)
    return rank
