"""The models that are explained, trained once and kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from torch_geometric.nn import global_add_pool

from benchmarks._runs import RESULTS
from benchmarks._training import epochs_of
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
from gragr_explain.errors import CheckpointError, HistoryError
from gragr_explain.files import atomic, check_writable
from gragr_explain.training import GraGR

BACKBONES = ("GCN", "GAT", "GIN", "GraphSAGE")
MODELS = RESULTS / "fidelity" / "models"
_MOTIF: dict[str, Any] = {"num_layers": 3, "hidden_channels": 32, "lr": 0.005, "epochs": 1000}
MOTIF_TRAINING: dict[str, dict[str, Any]] = {
    "GCN": {**_MOTIF, "epochs": 3000},
    "GAT": _MOTIF,
    "GIN": {**_MOTIF, "options": {"jk": "last"}},  # else its last layer has but two hidden channels, that soon die
    "GraphSAGE": {**_MOTIF, "options": {"aggr": "sum"}},  # so that it can count
}
_GRAPH: dict[str, Any] = {"num_layers": 3, "hidden_channels": 32, "lr": 0.003, "batch_size": 32, "pooling": "sum"}
GRAPH_TRAINING: dict[str, dict[str, Any]] = {"MUTAG": {**_GRAPH, "epochs": 200}, "PROTEINS": {**_GRAPH, "epochs": 40}}
NODE_TRAINING: dict[tuple[str, str], dict[str, Any]] = {("digits", "GIN"): {"lr": 0.001}}  # with more it dies


class GraphClassifier(nn.Module):
    """An encoder of nodes, their sum, and a linear head.

    Args:
        encoder: From features and edges to hidden representations.
        hidden_channels: Their size.
        num_classes: The number of classes.
    """

    def __init__(self, encoder: nn.Module, hidden_channels: int, num_classes: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.act = nn.ReLU()
        self.head = nn.Linear(hidden_channels, num_classes)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Class scores of the graphs of a batch, ``[num_graphs, num_classes]``."""
        return self.head(global_add_pool(self.act(self.encoder(x, edge_index)), batch))


def node_model(dataset: str, backbone: str, data: Data, num_classes: int, seed: int) -> GraGR:
    """A backbone as in Table 5, trained by GraGR, with the history of its training."""
    settings = NODE_TRAINING.get((dataset, backbone), {})
    folder = MODELS / f"{dataset}-{backbone}-{seed}{_suffix(settings)}"
    try:
        return load_checkpoint(folder).trained
    except (CheckpointError, HistoryError):
        torch.manual_seed(seed)
        model = build_model(backbone, data.num_features, num_classes)
        trained = GraGR(model).fit(data, epochs_of(dataset), progress=False, **settings)
        save_checkpoint(trained, folder, dataset=dataset)
        return trained.eval()


def motif_model(dataset: str, backbone: str, data: Data, num_classes: int, seed: int) -> nn.Module:
    """Three layers that can count neighbours, trained on a graph with motifs; the best epoch on validation nodes."""
    settings = MOTIF_TRAINING[backbone]

    def build() -> nn.Module:
        sizes = data.num_features, settings["hidden_channels"], settings["num_layers"], num_classes
        model: nn.Module = getattr(pyg, backbone)(*sizes, **settings.get("options", {}))
        return model

    def train(model: nn.Module) -> None:
        def step() -> None:
            optimizer.zero_grad()
            output = model(data.x, data.edge_index)
            F.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
            optimizer.step()

        def validate() -> float:
            hit = model(data.x, data.edge_index).argmax(-1) == data.y
            return float(hit[data.val_mask].float().mean())

        optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"])
        _keep_best(model, step, validate, settings["epochs"])

    return _kept(f"{dataset}-{backbone}-{seed}", settings, seed, build, train)


def graph_model(
    dataset: str, backbone: str, train_graphs: Sequence[Data], val_graphs: Sequence[Data], num_classes: int, seed: int
) -> nn.Module:
    """A classifier of graphs; the best epoch on validation graphs."""
    settings = GRAPH_TRAINING[dataset]
    hidden = settings["hidden_channels"]

    def build() -> nn.Module:
        encoder = build_model(
            backbone,
            train_graphs[0].num_features,
            hidden,
            hidden_channels=hidden,
            num_layers=settings["num_layers"],
            dropout=0.0,
        )
        return GraphClassifier(encoder, hidden, num_classes)

    def train(model: nn.Module) -> None:
        def step() -> None:
            for batch in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(batch.x, batch.edge_index, batch.batch), batch.y).backward()
                optimizer.step()

        loader = DataLoader(list(train_graphs), settings["batch_size"], shuffle=True)
        optimizer = torch.optim.Adam(model.parameters(), lr=settings["lr"])
        _keep_best(model, step, lambda: graph_accuracy(model, val_graphs), settings["epochs"])

    return _kept(f"{dataset}-{backbone}-{seed}", settings, seed, build, train)


@torch.no_grad()
def graph_accuracy(model: nn.Module, graphs: Sequence[Data]) -> float:
    """The share of graphs of which a model predicts the class."""
    loader = DataLoader(list(graphs), batch_size=256)
    hits = sum(int((model(b.x, b.edge_index, b.batch).argmax(-1) == b.y).sum()) for b in loader)
    return hits / len(graphs)


def _keep_best(model: nn.Module, step: Callable[[], None], validate: Callable[[], float], epochs: int) -> None:
    """Train, and leave the model as it was at the last of its best epochs."""
    best, kept = -1.0, model.state_dict()
    for _ in range(epochs):
        model.train()
        step()
        model.eval()
        with torch.no_grad():
            score = validate()
        if score >= best:
            best, kept = score, {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(kept)


def _kept(
    name: str,
    settings: dict[str, Any],
    seed: int,
    build: Callable[[], nn.Module],
    train: Callable[[nn.Module], None],
) -> nn.Module:
    """A model from its file, or trained and written there."""
    path = check_writable(MODELS) / f"{name}{_suffix(settings)}.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        try:
            model.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError):  # not there, cut short, or of another model
            train(model)
            with atomic(path) as (part,):
                save_file(model.state_dict(), part)
    return model.eval()


def _suffix(settings: dict[str, Any]) -> str:
    """What tells models of other settings apart."""
    return "-" + hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
