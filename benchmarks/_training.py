"""One training for node classification, as the benchmarks of accuracy, noise, ablation and cost make it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.transforms import NormalizeFeatures

from gragr_explain.checkpoint import build_model
from gragr_explain.datasets import load_dataset
from gragr_explain.field import GraphOperator, conflict_energy
from gragr_explain.history import hidden_representation, message_passing_layers
from gragr_explain.training import GraGR, GraGRPlusPlus, correct_field

BACKBONES = ("GCN", "GAT", "GIN", "GraphSAGE")
WEBKB = ("Cornell", "Texas", "Wisconsin")
NODE_DATASETS = ("Cora-public", "Cora", "CiteSeer-public", "CiteSeer", *WEBKB)
PLAIN = {"conflict": False, "alignment": False}


def epochs_of(dataset: str) -> int:
    """The paper's 100 epochs; twice as many on the small web graphs, whose validation accuracy still rises then."""
    return 200 if dataset in WEBKB else 100


@lru_cache(maxsize=4)
def graph_of(dataset: str, split: int, normalize: bool) -> tuple[Data, int]:
    """A graph and its number of classes; the web graphs have ten splits, the others one."""
    loaded = load_dataset(dataset, split=split if dataset in WEBKB else 0)
    data = NormalizeFeatures()(loaded.data.clone()) if normalize else loaded.data
    return data, len(loaded.class_names)


def trainer_of(method: str, model: nn.Module, **switches: Any) -> GraGR:
    """The trainer that a method's name stands for."""
    if method.startswith("plain"):
        seeds = {"seeds": 4} if method == "plain, best of 4 seeds" else {}
        return GraGR(model, **{**PLAIN, **seeds, **switches})
    return {"GraGR": GraGR, "GraGR++": GraGRPlusPlus}[method](model, **switches)


def new_model(backbone: str, data: Data, num_classes: int, seed: int) -> nn.Module:
    """A backbone as in Table 5, initialised from a seed."""
    torch.manual_seed(seed)
    return build_model(backbone, data.num_features, num_classes)


class _SparseProduct(torch.autograd.Function):
    """A constant sparse matrix times a dense one, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, sparse: Tensor, transposed: Tensor) -> Tensor:
        ctx.pair = transposed, sparse
        return sparse @ dense

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _SparseProduct.apply(grad, *ctx.pair), None, None


def with_sparse_input(model: nn.Module, data: Data, *, aggregate: bool = True, dropout: float = 0.0) -> nn.Module:
    """Let the first layer use that its features are mostly zeros, and aggregate them once instead of in every pass.

    The words of a text are 1 % of its vocabulary, and GIN and GraphSAGE aggregate them before anything is learned about
    them. The mathematics is the same and all methods profit alike; the many trainings of a table take a fraction of the
    time. Only where features are not masked or differentiated, and never where time is measured.

    Args:
        model: One of the backbones; it is changed.
        data: The only graph that it will see.
        aggregate: Whether to aggregate once too, which weighs no messages of the first layer.
        dropout: The share of features, as they are aggregated, that is dropped while the model is trained.
    """
    layer: Any = message_passing_layers(model)[0]
    kind = type(layer).__name__
    if aggregate and kind in ("GINConv", "SAGEConv"):
        with torch.no_grad():
            around = layer.propagate(data.edge_index, x=(data.x, data.x), size=None)
        if kind == "GINConv":
            _multiply_sparsely(layer.nn.lins[0], around + (1 + layer.eps) * data.x, dropout)
            _change(layer, forward=lambda self, x, edge_index, size=None: self.nn(x))
        else:
            _multiply_sparsely(layer.lin_l, around, dropout)
            _multiply_sparsely(layer.lin_r, data.x, dropout)
            _change(layer, propagate=lambda self, edge_index, **inputs: data.x)
    elif kind in ("GCNConv", "GATConv"):
        _multiply_sparsely(layer.lin, data.x, dropout)
    return model


def _multiply_sparsely(linear: nn.Module, x: Tensor, dropout: float = 0.0) -> None:
    """Let a linear layer multiply one constant matrix, whatever it is called with.

    Args:
        linear: The layer; it is changed.
        x: The matrix.
        dropout: The share of its entries that is dropped while the layer is trained.
    """
    pair = x.to_sparse_csr(), x.t().contiguous().to_sparse_csr()
    by_column = x.nonzero()[:, 1].argsort(stable=True) if dropout else None

    def forward(self: Any, _x: Tensor) -> Tensor:
        sparse, transposed = pair
        if dropout and self.training:
            values = F.dropout(sparse.values(), dropout)
            sparse, transposed = _with_values(sparse, values), _with_values(transposed, values[by_column])
        product: Tensor = _SparseProduct.apply(self.weight.t(), sparse, transposed)
        return product if self.bias is None else product + self.bias

    _change(linear, forward=forward)


def _with_values(sparse: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(sparse.crow_indices(), sparse.col_indices(), values, sparse.shape)


def _change(module: nn.Module, **methods: Any) -> None:
    """Give one module, and its copies, other methods."""
    kind = type(module)
    module.__class__ = type(kind.__name__, (kind,), methods)


def energies_of(model: GraGR, data: Data) -> dict[str, float]:
    """The conflict energy of the loss's gradients at the hidden layer, as they are and as GraGR would correct them."""
    model.eval()
    hidden, output = hidden_representation(model, data.x, data.edge_index)
    loss = F.cross_entropy(output[data.train_mask], data.y[data.train_mask])
    (field,) = torch.autograd.grad(loss, hidden)
    graph = GraphOperator(data.edge_index, data.num_nodes)
    corrected, _ = correct_field(field, graph, model.settings)
    return {
        "energy": float(conflict_energy(field, graph)),
        "energy_corrected": float(conflict_energy(corrected, graph)),
    }


@torch.no_grad()
def scores_of(model: nn.Module, data: Data) -> dict[str, float]:
    """Accuracies, and macro F1 and one-versus-rest AUC on the test nodes, in percent."""
    model.eval()
    output = model(data.x, data.edge_index)
    hit = (output.argmax(-1) == data.y).float()
    scores = {part: 100 * float(hit[data[f"{part}_mask"]].mean()) for part in ("train", "val", "test")}
    y, probs = data.y[data.test_mask].numpy(), output.softmax(-1)[data.test_mask].double().numpy()
    scores["f1"] = 100 * float(f1_score(y, probs.argmax(-1), average="macro"))
    scores["auc"] = 100 * _auc(y, probs)
    return scores


def _auc(y: np.ndarray, probs: np.ndarray) -> float:
    """The mean over the classes that are there, and are not all there is."""
    present = [label for label in range(probs.shape[1]) if 0 < (y == label).sum() < len(y)]
    return float(np.mean([roc_auc_score(y == label, probs[:, label]) for label in present]))


def flip_labels(y: Tensor, mask: Tensor, rate: float, num_classes: int, seed: int) -> Tensor:
    """Labels of which a share of the masked ones is replaced by another class, drawn uniformly."""
    generator = torch.Generator().manual_seed(seed)
    known = mask.nonzero().view(-1)
    chosen = known[torch.randperm(known.numel(), generator=generator)[: round(rate * known.numel())]]
    noisy = y.clone()
    noisy[chosen] = (y[chosen] + torch.randint(1, num_classes, (chosen.numel(),), generator=generator)) % num_classes
    return noisy
