"""GRAFF's four variants, and its peers from PyG's layers, each with the settings that it is tuned over."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, LINKX, MLP, FAConv, GCN2Conv, GraphSAGE

from benchmarks._training import _multiply_sparsely, with_sparse_input
from gragr_explain.models import GRAFF, MIXINGS

WIDTH, DEPTH, DROPOUT = 64, 2, 0.5
GRAFFS = {f"GRAFF, {w}": w for w in MIXINGS}
PEERS = ("GCN", "GAT", "GraphSAGE", "GCNII", "FAGCN", "LINKX")
REFERENCE = "MLP (no graph)"
OPTIONS: dict[str, dict[str, tuple[Any, ...]]] = {
    "GCN": {"num_layers": (2, 3)},
    "GAT": {"heads": (1, 8)},
    "GraphSAGE": {"aggr": ("mean", "max")},
    "GCNII": {"alpha": (0.1, 0.3, 0.5), "num_layers": (2, 3)},
    "FAGCN": {"eps": (0.2, 0.3, 0.9), "num_layers": (2, 3)},
    "LINKX": {"num_layers": (1, 2)},
    REFERENCE: {"num_layers": (2, 3)},
}
"""What each peer is tuned by beside the weight decay and dropout of features."""
FLOW: dict[str, Any] = {"step_size": 0.5, "beta": 1.0}
HEAT: dict[str, Any] = {"step_size": 1.0, "beta": 0.5, "heat": 0.9}
RELUS: dict[str, Any] = {"act": "relu", "encoder_act": "relu"}
HEAT_RELUS: dict[str, Any] = {"step_size": 1.0, "beta": 1.0, "heat": 0.98, **RELUS}


def _settings(options: dict[str, tuple[Any, ...]]) -> dict[str, tuple[dict[str, Any], bool]]:
    """Every combination of the options of a peer, with and without dropout of features."""
    return {
        ", ".join([*map(str, values), *["features dropped"] * drops]): (dict(zip(options, values, strict=True)), drops)
        for drops in (False, True)
        for values in product(*options.values())
    }


def _graff_settings(w: str) -> dict[str, tuple[dict[str, Any], bool]]:
    """Two or three steps that are linear, have ReLUs, or are nearly those of heat flow, for which W must attract."""
    attracts = w != "neg-prod"
    steps: dict[str, tuple[dict[str, Any], bool]] = {
        "linear": (FLOW, False),
        "relu": ({**FLOW, "act": "relu"}, False),
        **({"heat": (HEAT, True)} if attracts else {"dropped": (FLOW, True)}),
        **({"heat, relus": (HEAT_RELUS, True)} if attracts else {"relus, dropped": ({**FLOW, **RELUS}, True)}),
    }
    longer = {f"{name}, longer": ({**flow, "num_layers": 3}, drops) for name, (flow, drops) in steps.items()}
    return {**steps, **longer}


SETTINGS: dict[str, dict[str, tuple[dict[str, Any], bool]]] = {
    **{model: _graff_settings(w) for model, w in GRAFFS.items()},
    **{model: _settings(options) for model, options in OPTIONS.items()},
}
"""The settings of each model by name: arguments, and whether features are dropped."""
DECAYS = {model: (5e-4, 5e-3) if model in ("GCNII", "FAGCN") else (5e-4, 5e-3, 5e-2) for model in SETTINGS}
"""The weight decays that each is tuned by. A strong one never helped GCNII and FAGCN."""


class Residual(nn.Module):
    """GCNII or FAGCN: an encoder, layers that see its output again, a decoder; as in their papers."""

    def __init__(
        self, in_channels: int, out_channels: int, num_layers: int, layer: Callable[[int], nn.Module], relu: bool
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(in_channels, WIDTH), nn.Linear(WIDTH, out_channels)
        self.convs = nn.ModuleList(layer(number + 1) for number in range(num_layers))
        self.relu = relu

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        x = x_0 = F.dropout(self.encoder(x).relu(), DROPOUT, self.training)
        for conv in self.convs:
            x = conv(x, x_0, edge_index)
            if self.relu:
                x = F.dropout(x.relu(), DROPOUT, self.training)
        return self.decoder(x)


class NoGraph(nn.Module):
    """A multilayer perceptron that is handed a graph."""

    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.mlp = MLP(channels, dropout=DROPOUT, norm=None)

    def forward(self, x: Tensor, _edge_index: Tensor) -> Tensor:
        return self.mlp(x)


def new_model(name: str, setting: str, data: Data, num_classes: int, seed: int) -> nn.Module:
    """A model initialised from a seed, which uses that the features of its one graph are mostly zeros."""
    torch.manual_seed(seed)
    chosen, drops = SETTINGS[name][setting]
    options = {"num_layers": DEPTH, **chosen}
    dropout = DROPOUT if drops else 0.0
    if name in ("GCN", "GAT", "GraphSAGE"):
        kind = {"GCN": GCN, "GAT": GAT, "GraphSAGE": GraphSAGE}[name]
        model = kind(data.num_features, WIDTH, out_channels=num_classes, dropout=DROPOUT, **options)
        return with_sparse_input(model, data, dropout=dropout)
    if name in GRAFFS:
        model = GRAFF(data.num_features, WIDTH, out_channels=num_classes, dropout=DROPOUT, w=GRAFFS[name], **options)
        first = model.encoder
    elif name == "LINKX":
        sizes = (data.num_nodes, data.num_features, WIDTH, num_classes)
        model = LINKX(*sizes, dropout=DROPOUT, **options)
        first = model.node_mlp.lins[0]
    elif name == REFERENCE:
        model = NoGraph([data.num_features, *[WIDTH] * (options["num_layers"] - 1), num_classes])
        first = model.mlp.lins[0]
    else:
        model = _residual(name, data.num_features, num_classes, **options)
        first = model.encoder
    _multiply_sparsely(first, data.x, dropout)
    return model


def _residual(name: str, in_channels: int, out_channels: int, num_layers: int, **options: float) -> Residual:
    if name == "GCNII":
        return Residual(
            in_channels, out_channels, num_layers, lambda number: GCN2Conv(WIDTH, options["alpha"], 0.5, number), True
        )
    return Residual(in_channels, out_channels, num_layers, lambda _: FAConv(WIDTH, options["eps"], DROPOUT), False)
