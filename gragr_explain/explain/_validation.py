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
        nodes: The validation nodes, ``[num_validation]``.
        right: Whether the model is right about each of them, ``[num_validation]``.
        unlike: Whether no validation node is like a node, ``[num_nodes]``.
    """

    places: np.ndarray
    nodes: np.ndarray
    right: np.ndarray
    unlike: np.ndarray

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
        places = torch.stack([torch.searchsorted(known, sure) / nodes.numel(), CONFLICT * conflict.to(sure)], dim=1)
        right = (prediction == classes)[nodes]
        return cls(*(each.cpu().numpy() for each in (places, nodes, right, sure < known[0])))

    def facts(self, nodes: Tensor) -> list[ValidationFact | None]:
        """What the validation nodes most like them say of some nodes, ``[num_nodes]``."""
        asked = nodes.cpu().numpy()
        found: list[ValidationFact | None] = [None] * len(asked)
        known = ~np.isnan(self.places[:, 1])
        for conflict in (True, False):
            among = known[self.nodes] if conflict else np.ones(len(self.nodes), dtype=bool)
            left = np.array([each is None for each in found], dtype=bool)
            rows = np.flatnonzero(left & ~self.unlike[asked] & (known[asked] if conflict else True))
            of = min(int(among.sum()) // SHARE, MOST)
            if of < FEWEST or rows.size == 0:
                continue
            places = self.places[:, : 1 + conflict]
            _, near = KDTree(places[self.nodes[among]]).query(places[asked[rows]], of + 1)
            left_out = self.nodes[among][near] == asked[rows, np.newaxis]
            left_out[~left_out.any(1), -1] = True  # the farthest, where the node is not among them itself
            counts = (self.right[among][near] & ~left_out).sum(1)
            for row, count in zip(rows, counts.tolist(), strict=True):
                found[row] = ValidationFact(count, of, conflict)
        return found
