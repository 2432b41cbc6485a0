"""The model in question, what the baselines need to know of its training, and models that leave labels out."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import SAGEConv

from benchmarks._training import (
    WEBKB,
    _change,
    _multiply_sparsely,
    graph_of,
    new_model,
    trainer_of,
    with_sparse_input,
)
from gragr_explain.history import margins, message_passing_layers
from gragr_explain.training import GraGR

LR, WEIGHT_DECAY, PATIENCE, FOLDS = 0.01, 5e-4, 30, 5
EPOCHS = {False: 60, True: 100}
"""More on the small web graphs, whose validation accuracy rises for longer."""


class Course:
    """Margins and probabilities of the given labels in every epoch of a training.

    Args:
        data: The graph with the labels.
    """

    def __init__(self, data: Data) -> None:
        self.index, self.y = data.train_mask.nonzero().view(-1), data.y[data.train_mask]
        self.margins: list[Tensor] = []
        self.confidences: list[Tensor] = []

    def __call__(self, model: nn.Module, inputs: Any, output: Tensor) -> None:
        """As a forward hook."""
        if not model.training:
            return
        scores = output.detach()[self.index]
        self.margins.append(margins(scores, self.y))
        self.confidences.append(scores.softmax(-1).gather(1, self.y.unsqueeze(1)).view(-1))


def graph_for(dataset: str, seed: int) -> tuple[Data, int]:
    """A graph with right labels and its number of classes; words are counted relative to a text's length."""
    return graph_of(dataset, seed % 10, normalize=dataset != "digits")


def fit(backbone: str, data: Data, dataset: str, num_classes: int, seed: int, *, course: Course | None = None) -> GraGR:
    """Train a backbone to the best epoch by validation, as users would; with a course, its history is recorded too."""
    model = _light(new_model(backbone, data, num_classes, seed), data)
    handle = None if course is None else model.register_forward_hook(course)
    trained = trainer_of("plain", model).fit(
        data,
        EPOCHS[dataset in WEBKB],
        lr=LR,
        weight_decay=WEIGHT_DECAY,
        patience=PATIENCE,
        record=course is not None,
        progress=False,
    )
    if handle is not None:
        handle.remove()
    return trained


def held_out_probs(backbone: str, data: Data, dataset: str, num_classes: int, seed: int) -> Tensor:
    """For each node, the mean probabilities of the models that were not trained on it, in five folds."""
    known = data.train_mask.nonzero().view(-1)
    order = known[torch.randperm(known.numel(), generator=torch.Generator().manual_seed(seed))]
    total, count = torch.zeros(data.num_nodes, num_classes), torch.zeros(data.num_nodes, 1)
    for fold in range(FOLDS):
        part = copy.copy(data)
        part.train_mask = data.train_mask.clone()
        part.train_mask[order[fold::FOLDS]] = False
        unseen = ~data.train_mask
        unseen[order[fold::FOLDS]] = True
        model = fit(backbone, part, dataset, num_classes, seed)
        with torch.no_grad():
            total[unseen] += model(data.x, data.edge_index).softmax(-1)[unseen]
        count[unseen] += 1
    return total / count


def _light(model: nn.Module, data: Data) -> nn.Module:
    """Let the first layer use that its features are mostly zeros, and leave its messages, which an audit takes away.

    GraphSAGE takes the mean of what its weights make of the features, not of the features: the same, of fewer numbers.
    """
    layer = message_passing_layers(model)[0]
    if not isinstance(layer, SAGEConv):
        return with_sparse_input(model, data, aggregate=False)
    for linear in (layer.lin_l, layer.lin_r):
        _multiply_sparsely(linear, data.x)

    def forward(self: Any, x: Tensor, edge_index: Tensor, size: None = None) -> Tensor:
        sent = self.lin_l(x) - self.lin_l.bias
        received: Tensor = self.propagate(edge_index, x=(sent, sent), size=size) + self.lin_l.bias + self.lin_r(x)
        return received

    _change(layer, forward=forward)
    return model
