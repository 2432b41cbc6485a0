"""What others look at to find wrong labels; all scores are higher for more doubtful ones."""

from __future__ import annotations

import numpy as np
import torch
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from torch import Tensor
from torch_geometric.data import Data

from benchmarks.audit._graph_cleaner import graph_cleaner
from benchmarks.audit._training import Course
from gragr_explain.context import FEATURES, psi_features
from gragr_explain.field import GraphOperator, neighbour_sum
from gragr_explain.history import GradientHistory, margins

DETECTORS = {
    "audit": "audit (ours)",
    "confidence": "Confidence in the label",
    "entropy": "Entropy",
    "margin": "Margin",
    "aum": "Area under the margin",
    "cartography": "Dataset Cartography",
    "neighbours": "Neighbour disagreement",
    "cleanlab": "cleanlab",
    "graphcleaner": "GraphCleaner",
    "psi": "psi conflict (eq. 18)",
}
THRESHOLDS = {
    "confidence": -0.5,
    "margin": 0.0,
    "aum": 0.0,
    "cartography": -0.5,
    "neighbours": 0.5,
    "graphcleaner": 0.0,
}
"""Above which score a label is flagged, where a method has no flags of its own but a natural threshold."""


def detect(
    probs: Tensor, held_out: Tensor, course: Course, history: GradientHistory, data: Data, seed: int
) -> dict[str, np.ndarray]:
    """The scores of every method but ours, ``[num_train]`` each.

    Args:
        probs: The trained model's probabilities, ``[num_nodes, num_classes]``.
        held_out: Those of models that were not trained on the node, likewise.
        course: The course of the training.
        history: Its gradient history.
        data: The graph with the labels in question.
        seed: Of what GraphCleaner draws.
    """
    known, y = data.train_mask, data.y[data.train_mask]
    given = probs[known].gather(1, y.unsqueeze(1)).view(-1)
    graph = GraphOperator(data.edge_index, data.num_nodes)
    labels = torch.zeros_like(probs)
    labels[known, y] = 1
    around = neighbour_sum(labels, graph.undirected.unweighted)[known]
    psi, _ = psi_features(history.field("self"), graph, probs.amax(-1))
    scores = {
        "confidence": -given,
        "entropy": -torch.special.xlogy(probs[known], probs[known]).sum(-1),
        "margin": -margins(probs[known], y),
        "aum": -torch.stack(course.margins).mean(0),
        "cartography": -torch.stack(course.confidences).mean(0),
        "neighbours": 1 - around.gather(1, y.unsqueeze(1)).view(-1) / around.sum(-1).clamp(min=1),
        "psi": psi[known, FEATURES.index("conflict")],
    }
    found = {name: score.numpy() for name, score in scores.items()}
    found["cleanlab"] = -get_label_quality_scores(y.numpy(), _normalised(held_out[known]))
    found["graphcleaner"] = graph_cleaner(held_out, data, probs.size(1), seed)
    return found


def cleanlab_issues(held_out: Tensor, data: Data) -> np.ndarray:
    """Which training labels cleanlab says are wrong, ``[num_train]``."""
    y = data.y[data.train_mask].numpy()
    present, position = np.unique(y, return_inverse=True)
    probs = held_out[data.train_mask][:, torch.from_numpy(present)]
    issues: np.ndarray = find_label_issues(position, _normalised(probs), n_jobs=1)
    return issues


def _normalised(probs: Tensor) -> np.ndarray:
    probs = probs.double().clamp(min=1e-12)
    found: np.ndarray = (probs / probs.sum(-1, keepdim=True)).numpy()
    return found
