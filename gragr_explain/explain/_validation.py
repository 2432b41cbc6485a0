"""How often a model is right about the validation nodes that are most like others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from gragr_explain.rationale import ValidationFact

FEWEST, MOST = 10, 30
"""By how many validation nodes a prediction is judged."""
CONFLICT = 0.5
"""How much a difference in conflict counts, where one in confidence counts 1; chosen on validation nodes."""


@dataclass(frozen=True, eq=False)
class Validation:
    """A model's predictions of validation nodes, to judge those of others by.

    Two nodes are alike where the model is about as sure of both, and both were in about as much conflict while it
    learned: by the distance of the shares of validation nodes of which it is less sure, and of the shares of nodes with
    less conflict, which counts half. Where a node's conflict is not known, it counts as typical.

    Attributes:
        places: Where each node of the graph stands in confidence and in conflict, ``[num_nodes, 2]``.
        known: Finds the validation nodes nearest to a place.
        right: Whether the model is right about each validation node, ``[num_validation]``.
    """

    places: np.ndarray
    known: KDTree
    right: np.ndarray

    @classmethod
    def of(cls, prediction: Tensor, confidence: Tensor, conflict: Tensor, classes: Tensor) -> Self | None:
        """Judge predictions of all nodes by those of validation nodes; ``None`` where there are too few of these.

        Args:
            prediction: What is predicted, ``[num_nodes]``.
            confidence: The probability of each prediction, ``[num_nodes]``.
            conflict: The share of the graph's nodes with less conflict, NaN where it is not known, ``[num_nodes]``.
            classes: The classes of validation nodes, -1 for all others, ``[num_nodes]``.

        Example:
            >>> confidence, prediction = torch.linspace(0.5, 1, 40), torch.zeros(40, dtype=torch.long)
            >>> classes = torch.tensor([1, 0, 0, 0]).repeat_interleave(10)
            >>> Validation.of(prediction, confidence, torch.full((40,), 0.5), classes).facts(torch.tensor([0, 39]))
            [ValidationFact(right=20, of=30), ValidationFact(right=30, of=30)]
        """
        if prediction.shape != classes.shape:
            return None
        nodes = (classes >= 0).nonzero().view(-1)
        if nodes.numel() < FEWEST:
            return None
        sure = confidence.detach().double()
        place = torch.searchsorted(sure[nodes].sort().values, sure) / nodes.numel()
        places = torch.stack([place, CONFLICT * conflict.to(place).nan_to_num(0.5)], dim=1).cpu().numpy()
        right = (prediction == classes)[nodes].cpu().numpy()
        return cls(places, KDTree(places[nodes.cpu().numpy()]), right)

    def facts(self, nodes: Tensor) -> list[ValidationFact]:
        """What the validation nodes most like them say of some nodes, ``[num_nodes]``."""
        of = min(len(self.right), MOST)
        _, nearest = self.known.query(self.places[nodes.cpu().numpy()], of)
        return [ValidationFact(count, of) for count in self.right[nearest].sum(1).tolist()]
