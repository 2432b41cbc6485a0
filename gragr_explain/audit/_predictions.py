"""The probability that a prediction is wrong."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.audit._evidence import SIGN, Outside, evidence
from gragr_explain.audit._reasoner import DoubtReasoner
from gragr_explain.audit._run import Run


class PredictionExamples:
    """Predictions for nodes that a model was not trained on, and whether they were wrong.

    Args:
        outside: What is known of each node without its own label, and without the models in question.
    """

    def __init__(self, outside: Outside) -> None:
        self.outside = outside
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def evidence(self, run: Run) -> Tensor:
        """The evidence about what a model predicts, ``[num_nodes, num_evidence]``."""
        return evidence(run, self.outside, run.prediction)

    def add(self, run: Run, nodes: Tensor, y: Tensor) -> None:
        """Take in a model's predictions for some nodes.

        Args:
            run: The model's training.
            nodes: Nodes that it was not trained on, ``[num_examples]``.
            y: The labels of all nodes, ``[num_nodes]``.
        """
        wrong = run.prediction[nodes] != y[nodes]
        self._parts.append((self.evidence(run)[nodes].cpu().numpy(), wrong.cpu().numpy(), nodes.cpu().numpy()))

    def fit(self, suspect: np.ndarray) -> DoubtReasoner:
        """Learn from all of them but those whose own labels are suspect, ``[num_nodes]``."""
        found, wrong, nodes = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        group = np.repeat(np.arange(len(self._parts)), [len(part[1]) for part in self._parts])
        keep = ~suspect[nodes]
        return DoubtReasoner.fit(found[keep], wrong[keep], group[keep], SIGN)


def validation_nodes(data: Data, num_classes: int) -> Tensor:
    """The validation nodes whose labels are known and that are not training nodes, ``[num_validation]``."""
    mask = data.get("val_mask")
    if mask is None:
        mask = torch.zeros_like(data.train_mask)
    return (mask & ~data.train_mask & (data.y >= 0) & (data.y < num_classes)).nonzero().view(-1)
