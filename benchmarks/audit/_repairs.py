"""What flags are for: training again without the flagged labels, or with other ones in their place."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks.audit._training import fit

Flags = tuple[np.ndarray, np.ndarray]
"""Which training labels are flagged, and the label of each training node that should perhaps stand there."""


def accuracy(model: nn.Module, data: Data, clean: Tensor) -> float:
    """The share of test nodes that are predicted right, in percent."""
    with torch.no_grad():
        hit = (model(data.x, data.edge_index).argmax(-1) == clean)[data.test_mask]
    return 100 * float(hit.double().mean())


def repaired_accuracies(
    backbone: str, data: Data, dataset: str, num_classes: int, seed: int, clean: Tensor, flags: dict[str, Flags]
) -> dict[str, float]:
    """Test accuracies after training without what each method flags, and with other labels in its place.

    Validation labels, by which the epoch is chosen, stay as they are.

    Returns:
        By ``"<method>/without"`` and ``"<method>/corrected"``.
    """
    train = data.train_mask.nonzero().view(-1)
    found = {}
    for name, (flagged, suggested) in flags.items():
        chosen = train[torch.from_numpy(flagged)]
        without, corrected = copy.copy(data), copy.copy(data)
        without.train_mask, corrected.y = data.train_mask.clone(), data.y.clone()
        without.train_mask[chosen] = False
        corrected.y[chosen] = torch.from_numpy(suggested[flagged])
        for way, graph in (("without", without), ("corrected", corrected)):
            model = fit(backbone, graph, dataset, num_classes, seed)
            found[f"{name}/{way}"] = accuracy(model, data, clean)
    return found
