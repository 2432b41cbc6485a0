"""How often a model is right about validation nodes of which it is about as sure as of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from gragr_explain.rationale import ValidationFact

FEWEST, MOST = 10, 30
"""By how many validation nodes a prediction is judged."""


@dataclass(frozen=True)
class Validation:
    """A model's predictions of validation nodes, those it is least sure of first.

    Attributes:
        confidence: The probability of each prediction, rising, ``[num_validation]``.
        right: How many of the first predictions are right, ``[num_validation + 1]``.
    """

    confidence: Tensor
    right: Tensor

    @classmethod
    def of(cls, prediction: Tensor, confidence: Tensor, classes: Tensor) -> Self | None:
        """Judge predictions of all nodes by those of validation nodes; ``None`` where there are too few of these.

        Args:
            prediction: What is predicted, ``[num_nodes]``.
            confidence: The probability of each prediction, ``[num_nodes]``.
            classes: The classes of validation nodes, -1 for all others, ``[num_nodes]``.

        Example:
            >>> confidence, prediction = torch.linspace(0.5, 1, 40), torch.zeros(40, dtype=torch.long)
            >>> judged = Validation.of(prediction, confidence, torch.tensor([0, 1, 0, 0] * 10))
            >>> judged.facts(torch.tensor([0.5, 0.9]))
            [ValidationFact(right=22, of=30), ValidationFact(right=23, of=30)]
        """
        if prediction.shape != classes.shape:
            return None
        known = (classes >= 0).nonzero().view(-1)
        if known.numel() < FEWEST:
            return None
        sure, order = confidence[known].double().sort(stable=True)
        right = (prediction[known] == classes[known])[order].cumsum(0)
        return cls(sure, torch.cat([right.new_zeros(1), right]))

    def facts(self, confidence: Tensor) -> list[ValidationFact]:
        """What the validation nodes whose confidence is nearest say of predictions, ``[num_predictions]``.

        Of two equally near, that of less confidence counts.
        """
        of = min(self.confidence.numel(), MOST)
        middles = self.confidence[:-of] + self.confidence[of:]  # twice the confidence from which the next one is nearer
        start = torch.searchsorted(middles, 2 * confidence.double())
        return [ValidationFact(count, of) for count in (self.right[start + of] - self.right[start]).tolist()]
