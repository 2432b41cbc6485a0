"""GRAFF's four variants, and its peers from PyG's layers, each with the settings that it is tuned over."""

from __future__ import annotations

from collections.abc import Callable
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
OPTIONS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "GCN": ("num_layers", (2, 3)),
    "GAT": ("heads", (1, 8)),
    "GraphSAGE": ("aggr", ("mean", "max")),
    "GCNII": ("alpha", (0.1, 0.3, 0.5)),
    "FAGCN": ("eps", (0.2, 0.3, 0.9)),
    "LINKX": ("num_layers", (1, 2)),
    REFERENCE: ("num_layers", (2, 3)),
}
"""What each peer is tuned by beside the weight decay and dropout of features."""
STEPS: dict[str, tuple[Any, bool]] = {"None": (None, False), "relu": ("relu", False)}
SETTINGS: dict[str, dict[str, tuple[Any, bool]]] = {
    **{model: {**STEPS, "heat": ("heat", True)} for model in GRAFFS},
    "GRAFF, neg-prod": {**STEPS, "features dropped": (None, True)},
    **{
        model: {f"{option}{', features dropped' * drops}": (option, drops) for drops in (False, True) for option in own}
        for model, (_, own) in OPTIONS.items()
    },
}
"""The settings of each model by name: an option, and whether features are dropped.

For GRAFF the option is the non-linearity of its steps, or that they are nearly those of heat flow, which needs a W that
attracts. With the weight decays, GRAFF has nine settings, and peers have twelve.
"""
DECAYS = {model: (5e-4, 5e-3) if model in ("GCNII", "FAGCN") else (5e-4, 5e-3, 5e-2) for model in SETTINGS}
"""The weight decays that each is tuned by. A strong one never helped GCNII and FAGCN."""
FLOW: dict[str, Any] = {"step_size": 0.5, "beta": 1.0}
HEAT: dict[str, Any] = {"step_size": 1.0, "beta": 0.5, "heat": 0.9}


class Residual(nn.Module):
    """GCNII or FAGCN: an encoder, layers that see its output again, a decoder; as in their papers."""

    def __init__(self, in_channels: int, out_channels: int, layer: Callable[[int], nn.Module], relu: bool) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(in_channels, WIDTH), nn.Linear(WIDTH, out_channels)
        self.convs = nn.ModuleList(layer(number + 1) for number in range(DEPTH))
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
    option, drops = SETTINGS[name][setting]
    dropout = DROPOUT if drops else 0.0
    sizes: tuple[Any, ...] = (data.num_features, WIDTH, DEPTH, num_classes, DROPOUT)
    if name in GRAFFS:
        flow = HEAT if option == "heat" else {**FLOW, "act": option}
        graff = GRAFF(*sizes, w=GRAFFS[name], **flow)
        _multiply_sparsely(graff.encoder, data.x, dropout)
        return graff
    if name in ("GCN", "GAT", "GraphSAGE"):
        if name == "GCN":
            model = GCN(sizes[0], WIDTH, option, num_classes, DROPOUT)
        elif name == "GAT":
            model = GAT(*sizes, heads=option)
        else:
            model = GraphSAGE(*sizes, aggr=option)
        return with_sparse_input(model, data, dropout=dropout)
    if name == "LINKX":
        linkx = LINKX(data.num_nodes, data.num_features, WIDTH, num_classes, option, dropout=DROPOUT)
        _multiply_sparsely(linkx.node_mlp.lins[0], data.x, dropout)
        return linkx
    if name == REFERENCE:
        mlp = NoGraph([data.num_features, *[WIDTH] * (option - 1), num_classes])
        _multiply_sparsely(mlp.mlp.lins[0], data.x, dropout)
        return mlp
    gcnii = name == "GCNII"
    layer = (
        (lambda number: GCN2Conv(WIDTH, option, 0.5, number)) if gcnii else (lambda _: FAConv(WIDTH, option, DROPOUT))
    )
    residual = Residual(data.num_features, num_classes, layer, relu=gcnii)
    _multiply_sparsely(residual.encoder, data.x, dropout)
    return residual
