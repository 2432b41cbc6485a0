"""How often a model is right about the validation nodes that are most like others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from gragr_explain.rationale import ValidationFact

SHARE, FEWEST, MOST = 4, 10, 30
"""A prediction is judged by one in so many of the validation nodes, at least by so many, and at most."""
CONFLICT = 0.5
"""How much a difference in conflict counts, where one in confidence counts 1."""


@dataclass(frozen=True, eq=False)
class Validation:
    """A model's predictions of validation nodes, to judge those of others by.

    Two nodes are alike where the model is about as sure of both, and both were in about as much conflict while it
    learned: by the distance of the shares of validation nodes of which it is less sure, and of the shares of nodes with
    less conflict, which counts half. Where a node's conflict is not known, confidence alone counts; where the model is
    less sure of it than of any validation node, none is like it. A node is none of those that it is judged by. How many
    are asked, and what conflict counts, was chosen on validation nodes (``reports/reliability.md``).

    Attributes:
        places: Where each node of the graph stands in confidence and in conflict, NaN where that is not known,
            ``[num_nodes, 2]``.
        unlike: Whether no validation node is like a node, ``[num_nodes]``.
        groups: The validation nodes among which those most like a node are looked for: those whose conflict is known,
            if they are enough, and all.
    """

    places: np.ndarray
    unlike: np.ndarray
    groups: tuple[_Group, ...]

    @classmethod
    def of(cls, prediction: Tensor, confidence: Tensor, conflict: Tensor, classes: Tensor) -> Self | None:
        """Judge predictions of all nodes by those of validation nodes; ``None`` where there are too few of these.

        Args:
            prediction: What is predicted, ``[num_nodes]``.
            confidence: The probability of each prediction, ``[num_nodes]``.
            conflict: The share of the graph's nodes with less conflict, NaN where it is not known, ``[num_nodes]``.
            classes: The classes of validation nodes, -1 for all others, ``[num_nodes]``.

        Example:
            >>> confidence, prediction = torch.linspace(0.5, 1, 48), torch.zeros(48, dtype=torch.long)
            >>> classes = torch.tensor([1, 0, 0, 0]).repeat_interleave(12)
            >>> judged = Validation.of(prediction, confidence, torch.full((48,), torch.nan), classes)
            >>> judged.facts(torch.tensor([0, 47]))
            [ValidationFact(right=1, of=12, conflict=False), ValidationFact(right=12, of=12, conflict=False)]
        """
        if prediction.shape != classes.shape:
            return None
        nodes = (classes >= 0).nonzero().view(-1)
        if nodes.numel() < SHARE * FEWEST:
            return None
        sure = confidence.detach().double()
        known = sure[nodes].sort().values
        share = torch.searchsorted(known, sure) / nodes.numel()
        places = torch.stack([share, CONFLICT * conflict.to(sure)], dim=1).cpu().numpy()
        asked, right = nodes.cpu().numpy(), (prediction == classes).cpu().numpy()
        with_conflict = asked[~np.isnan(places[asked, 1])]
        groups = [
            _Group(group, right[group], conflicts, KDTree(places[group, : 1 + conflicts]))
            for group, conflicts in ((with_conflict, True), (asked, False))
            if len(group) >= SHARE * FEWEST
        ]
        return cls(places, (sure < known[0]).cpu().numpy(), tuple(groups))

    def facts(self, nodes: Tensor) -> list[ValidationFact | None]:
        """What the validation nodes most like them say of some nodes, ``[num_nodes]``."""
        asked = nodes.cpu().numpy()
        found: list[ValidationFact | None] = [None] * len(asked)
        open_rows = np.flatnonzero(~self.unlike[asked])
        for group in self.groups:
            places = self.places[asked[open_rows], : 1 + group.conflict]
            known = ~np.isnan(places).any(1)
            rows, open_rows = open_rows[known], open_rows[~known]
            for row, fact in zip(rows, group.facts(asked[rows], places[known]), strict=True):
                found[row] = fact
        return found


@dataclass(frozen=True, eq=False)
class _Group:
    """Validation nodes among which those most like another are looked for.

    Attributes:
        nodes: Their numbers, ``[num_group]``.
        right: Whether the model is right about each of them, ``[num_group]``.
        conflict: Whether they are compared in conflict, too.
        tree: Their places.
    """

    nodes: np.ndarray
    right: np.ndarray
    conflict: bool
    tree: KDTree

    def facts(self, asked: np.ndarray, places: np.ndarray) -> list[ValidationFact]:
        """What those most like them say of some nodes at these places; a node is none of those itself."""
        of = min(len(self.nodes) // SHARE, MOST)
        _, near = self.tree.query(places, of + 1)
        left_out = self.nodes[near] == asked[:, np.newaxis]
        left_out[~left_out.any(1), -1] = True  # the farthest, where the node is not among them itself
        return [ValidationFact(right, of, self.conflict) for right in (self.right[near] & ~left_out).sum(1).tolist()]
