"""GRAFF's four variants, and its peers from PyG's layers, each with the settings that it is tuned over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, LINKX, MLP, FAConv, GCN2Conv, GraphSAGE, SAGEConv

from benchmarks._training import _change, _multiply_sparsely, _SparseProduct, with_sparse_input
from gragr_explain.history import message_passing_layers
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
    multiply = _drop_features if drops else _multiply_sparsely
    sizes: tuple[Any, ...] = (data.num_features, WIDTH, DEPTH, num_classes, DROPOUT)
    if name in GRAFFS:
        flow = HEAT if option == "heat" else {**FLOW, "act": option}
        graff = GRAFF(*sizes, w=GRAFFS[name], **flow)
        multiply(graff.encoder, data.x)
        return graff
    if name in ("GCN", "GAT", "GraphSAGE"):
        if name == "GCN":
            model = GCN(sizes[0], WIDTH, option, num_classes, DROPOUT)
        elif name == "GAT":
            model = GAT(*sizes, heads=option)
        else:
            model = GraphSAGE(*sizes, aggr=option)
        return _with_dropped_features(model, data) if drops else with_sparse_input(model, data)
    if name == "LINKX":
        linkx = LINKX(data.num_nodes, data.num_features, WIDTH, num_classes, option, dropout=DROPOUT)
        multiply(linkx.node_mlp.lins[0], data.x)
        return linkx
    if name == REFERENCE:
        mlp = NoGraph([data.num_features, *[WIDTH] * (option - 1), num_classes])
        multiply(mlp.mlp.lins[0], data.x)
        return mlp
    gcnii = name == "GCNII"
    layer = (
        (lambda number: GCN2Conv(WIDTH, option, 0.5, number)) if gcnii else (lambda _: FAConv(WIDTH, option, DROPOUT))
    )
    residual = Residual(data.num_features, num_classes, layer, relu=gcnii)
    multiply(residual.encoder, data.x)
    return residual


def _with_dropped_features(model: nn.Module, data: Data) -> nn.Module:
    """As :func:`with_sparse_input`; GraphSAGE drops what it has aggregated, too."""
    layer: Any = message_passing_layers(model)[0]
    if not isinstance(layer, SAGEConv):
        with_sparse_input(model, data)
        _drop_features(layer.lin, data.x)
        return model
    with torch.no_grad():
        around = layer.propagate(data.edge_index, x=(data.x, data.x), size=None)
    with_sparse_input(model, data)
    _drop_features(layer.lin_l, around)
    _drop_features(layer.lin_r, data.x)
    return model


def _drop_features(linear: nn.Module, x: Tensor) -> None:
    """Let a linear layer multiply one constant matrix, of which half the entries are dropped while it is trained."""
    columns = x.nonzero()[:, 1]
    sparse, transposed = x.to_sparse_csr(), x.t().contiguous().to_sparse_csr()
    order = columns.argsort(stable=True)

    def forward(self: Any, _x: Tensor) -> Tensor:
        values = F.dropout(sparse.values(), DROPOUT, self.training)
        pair = _with_values(sparse, values), _with_values(transposed, values[order])
        product: Tensor = _SparseProduct.apply(self.weight.t(), *pair)
        return product if self.bias is None else product + self.bias

    _change(linear, forward=forward)


def _with_values(sparse: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(sparse.crow_indices(), sparse.col_indices(), values, sparse.shape)
