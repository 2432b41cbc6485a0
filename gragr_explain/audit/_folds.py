"""Models that were not trained on a node, for every node."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.audit._retraining import Retraining
from gragr_explain.history import class_log_probs
from gragr_explain.inputs import forward_arguments
from gragr_explain.training import GraGR

FOLDS = 5


def split(known: Tensor, y: Tensor, seed: int) -> list[Tensor]:
    """The nodes with known labels in five parts of about the same size, drawn by a seed.

    No part has all nodes of a class, unless that has only one: a model that saw none of a class cannot speak for it.
    Where that would happen by chance, the nodes are dealt out class by class.
    """
    index = known.nonzero().view(-1)
    order = torch.randperm(index.numel(), generator=torch.Generator().manual_seed(seed), device="cpu").to(index.device)
    parts = [index[order[fold::FOLDS]] for fold in range(FOLDS)]
    count = y[index].bincount()
    if any(bool((y[part].bincount(minlength=len(count)) == count.clamp(min=2)).any()) for part in parts):
        order = order[y[index[order]].argsort(stable=True)]
        parts = [index[order[fold::FOLDS]] for fold in range(FOLDS)]
    return parts


def train_folds(
    retraining: Retraining, parts: list[Tensor], seed: int, *, edges: bool
) -> Iterator[tuple[Tensor, GraGR, Data]]:
    """Train once without each part; yields the part, the model and the graph it was trained on.

    Args:
        retraining: How to train.
        parts: The parts, each of them indices of nodes.
        seed: Of the first training.
        edges: Whether the models see the edges, and record a history.
    """
    data = retraining.data
    for number, part in enumerate(parts):
        mask = data.train_mask.clone()
        mask[part] = False
        yield part, *retraining.run(data.y, mask, seed + number, edges=edges, record=edges)


class HeldOut:
    """The mean prediction for each node of the models that were not trained on it.

    Args:
        known: Which nodes the model in question was trained on, ``[num_nodes]``.
        num_classes: The number of classes.
    """

    def __init__(self, known: Tensor, num_classes: int) -> None:
        self.known = known
        self._sum = torch.zeros(known.numel(), num_classes, device=known.device)
        self._count = torch.zeros(known.numel(), 1, device=known.device)

    @torch.no_grad()
    def add(self, part: Tensor, model: GraGR, data: Data) -> None:
        """Take in a model that was trained on all known nodes but a part."""
        unseen = ~self.known
        unseen[part] = True
        output = model(data.x, data.edge_index, **forward_arguments(model, data))
        self._sum[unseen] += class_log_probs(output).exp()[unseen].to(self._sum.dtype)
        self._count[unseen] += 1

    @property
    def mean(self) -> Tensor:
        """Probabilities of shape ``[num_nodes, num_classes]``."""
        return self._sum / self._count
