from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data, HeteroData
from torch_geometric.nn import GAT, GCN, GIN, PNA

from gragr_explain import GraGR
from gragr_explain.errors import GragrError, InvalidGraphError, InvalidIndexError, InvalidTypeError
from gragr_explain.inputs import check_classes, check_data, check_graph, check_index, forward_arguments, trial_output

X = torch.rand(4, 3)
EDGES = torch.tensor([[0, 1, 3, 3, 0], [1, 0, 3, 3, 2]])  # directed, with a self-loop twice


def with_value(value: float, *nodes: int) -> Tensor:
    x = X.clone()
    x[list(nodes), -1] = value
    return x


@pytest.mark.parametrize(
    "x",
    [X, X.double(), X.long(), X.bool(), X[:, 0], X[:, :0], X.view(4, 3, 1), X.t().contiguous().t()],
    ids=["float", "double", "integers", "booleans", "one-dimensional", "no features", "three-dimensional", "strided"],
)
@pytest.mark.parametrize("edges", [EDGES, EDGES[:, :0]], ids=["edges", "no edges"])
def test_usable_graphs_pass(x: Tensor, edges: Tensor) -> None:
    check_graph(x, edges)
    check_data(Data(x=x, edge_index=edges))


def test_one_node_is_a_graph() -> None:
    check_graph(torch.ones(1, 1), torch.zeros(2, 1, dtype=torch.long))


GRAPHS: dict[str, tuple[object, object, type[GragrError], str]] = {
    "features as a list": ([[1.0]], EDGES, InvalidTypeError, "tensor, got list"),
    "features as an array": (X.numpy(), EDGES, InvalidTypeError, "tensor, got ndarray"),
    "no features at all": (None, EDGES, InvalidTypeError, "got NoneType"),
    "sparse": (X.to_sparse(), EDGES, InvalidTypeError, r"expected dense node features, got torch\.sparse_coo"),
    "compressed": (X.to_sparse_csr(), EDGES, InvalidTypeError, r"pass x\.to_dense\(\)"),
    "no nodes": (X[:0], EDGES[:, :0], InvalidGraphError, r"at least one node, got features of shape \[0, 3\]"),
    "a number": (torch.tensor(1.0), EDGES, InvalidGraphError, r"shape \[\]"),
    "NaN": (with_value(torch.nan, 2), EDGES, InvalidGraphError, "infinite values in 1 nodes, first in 2"),
    "infinite": (with_value(torch.inf, 1, 3), EDGES, InvalidGraphError, "infinite values in 2 nodes, first in 1"),
    "minus infinite": (with_value(-torch.inf, 0), EDGES, InvalidGraphError, "in 1 nodes, first in 0"),
    "NaN in one dimension": (with_value(torch.nan, 2)[:, 2], EDGES, InvalidGraphError, "first in 2"),
    "NaN in three dimensions": (
        torch.full((3, 2, 4), torch.nan).permute(2, 1, 0),
        EDGES,
        InvalidGraphError,
        "in 4 nodes, first in 0",
    ),
    "edges as a list": (X, [[0], [1]], InvalidTypeError, "torch.int64, got list"),
    "no edge_index": (X, None, InvalidTypeError, "got NoneType"),
    "edges as floats": (X, EDGES.float(), InvalidTypeError, "torch.int64, got torch.float32"),
    "edges as int32": (X, EDGES.int(), InvalidTypeError, "torch.int64, got torch.int32"),
    "edges in rows": (X, EDGES.t(), InvalidGraphError, r"\[2, num_edges\], got \[5, 2\]"),
    "edges with three rows": (X, EDGES[[0, 1, 1]], InvalidGraphError, r"got \[3, 5\]"),
    "edges without a dimension": (X, EDGES[0], InvalidGraphError, r"got \[5\]"),
    "end that is no node": (X, EDGES + 1, InvalidGraphError, r"\[0, 3\] in edge_index, got 1 to 4"),
    "negative end": (X, EDGES - 1, InvalidGraphError, "got -1 to 2"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_unusable_graphs_are_named(name: str) -> None:
    x, edges, error, message = GRAPHS[name]
    with pytest.raises(error, match=message):
        check_graph(x, edges)


DATA: dict[str, tuple[object, type[GragrError], str]] = {
    "a tensor": (X, InvalidTypeError, "Data, got Tensor"),
    "None": (None, InvalidTypeError, "got NoneType"),
    "a heterogeneous graph": (HeteroData(), InvalidTypeError, "got HeteroData"),
    "without features": (Data(edge_index=EDGES, num_nodes=4), InvalidGraphError, "without x"),
    "without edges": (Data(x=X), InvalidGraphError, "without edge_index"),
    "transposed": (Data(x=X, adj_t=torch.eye(4)), InvalidGraphError, "without edge_index; its adj_t"),
    "with too few edge weights": (
        Data(x=X, edge_index=EDGES, edge_weight=torch.ones(3)),
        InvalidGraphError,
        rf"edge_weight of {EDGES.size(1)} edges, got a tensor of shape \[3\]",
    ),
    "with NaN": (Data(x=with_value(torch.nan, 0), edge_index=EDGES), InvalidGraphError, "first in 0"),
}


@pytest.mark.parametrize("name", DATA)
def test_unusable_data_is_named(name: str) -> None:
    data, error, message = DATA[name]
    with pytest.raises(error, match=message):
        check_data(data)


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (0, [0]),
        (3, [3]),
        (np.int32(2), [2]),
        ([], []),
        ((), []),
        ([3, 0, 3], [3, 0, 3]),
        (range(2), [0, 1]),
        (np.array([1, 2], dtype=np.uint8), [1, 2]),
        (torch.tensor(2), [2]),
        (torch.tensor([1, 3], dtype=torch.int32), [1, 3]),
        (torch.tensor([[0, 1], [2, 3]]).t(), [0, 2, 1, 3]),
        (torch.empty(0), []),
        (torch.tensor([True, False, False, True]), [0, 3]),
        ([False, True, False, False], [1]),
        (torch.zeros(4, dtype=torch.bool), []),
    ],
)
def test_indices_come_into_one_form(index: object, expected: list[int]) -> None:
    found = check_index(index, 4)
    assert found.dtype == torch.long
    assert found.dim() == 1
    assert found.tolist() == expected


def test_no_index_stays_none() -> None:
    assert check_index(None, 4) is None


INDICES: dict[str, tuple[object, type[GragrError], str]] = {
    "too large": (4, InvalidIndexError, r"\[0, 3\], got 4"),
    "negative": (-1, InvalidIndexError, r"\[0, 3\], got -1"),
    "one of several too large": ([0, 7, 2], InvalidIndexError, "got 7"),
    "one of several negative": (torch.tensor([0, -2]), InvalidIndexError, "got -2"),
    "mask of another graph": (torch.ones(5, dtype=torch.bool), InvalidIndexError, r"shape \[4\], got \[5\]"),
    "empty mask": (torch.zeros(0, dtype=torch.bool), InvalidIndexError, r"shape \[4\], got \[0\]"),
    "mask as a column": (torch.ones(4, 1, dtype=torch.bool), InvalidIndexError, r"got \[4, 1\]"),
    "a truth value": (True, InvalidTypeError, "got True"),
    "a float": (1.0, InvalidTypeError, "got 1.0"),
    "a list of floats": ([1.0, 2.0], InvalidTypeError, "torch.float32"),
    "a tensor of floats": (torch.tensor([0.5]), InvalidTypeError, "torch.float32"),
    "complex": (1j, InvalidTypeError, "complex"),
    "a word": ("0", InvalidTypeError, "got '0'"),
    "words": (["0", "1"], InvalidTypeError, "got "),
    "a dictionary": ({0: 1}, InvalidTypeError, "got "),
    "a set": ({0, 1}, InvalidTypeError, "got "),
    "a slice": (slice(2), InvalidTypeError, "got slice"),
    "ragged": ([[0, 1], [2]], InvalidTypeError, "got "),
    "None in a list": ([0, None], InvalidTypeError, "got "),
    "beyond 64 bits": (2**70, InvalidTypeError, "got "),
}


@pytest.mark.parametrize("name", INDICES)
def test_bad_indices_are_named(name: str) -> None:
    index, error, message = INDICES[name]
    with pytest.raises(error, match=message):
        check_index(index, 4)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0, [0]),
        ([], []),
        ([2, 0, 2], [2, 0, 2]),
        (np.array([1, 2], dtype=np.uint8), [1, 2]),
        (torch.tensor([[0, 1]], dtype=torch.int32), [0, 1]),
    ],
)
def test_classes_come_into_one_form(target: object, expected: list[int]) -> None:
    found = check_classes(target, 3)
    assert found.dtype == torch.long
    assert found.dim() == 1
    assert found.tolist() == expected


CLASSES: dict[str, tuple[object, type[GragrError], str]] = {
    "too large": ([0, 3], InvalidIndexError, r"a class that the model has, in \[0, 2\], got 3"),
    "negative": (-1, InvalidIndexError, "got -1"),
    "a mask": (torch.tensor([True, False, True]), InvalidTypeError, "got a mask"),
    "a mask of one": (torch.tensor(True), InvalidTypeError, "got a mask"),
    "an empty mask": (torch.zeros(0, dtype=torch.bool), InvalidTypeError, "got a mask"),
    "a list of truth values": ([False, True, False], InvalidTypeError, "got a mask"),
    "truth values of NumPy": (np.array([False, True, False]), InvalidTypeError, "got a mask"),
    "a truth value": (True, InvalidTypeError, "classes as int, list or integer tensor, got True"),
    "a float": (1.0, InvalidTypeError, "got 1.0"),
    "a tensor of floats": (torch.tensor([0.5]), InvalidTypeError, "classes of integers, got torch.float32"),
    "a word": ("red", InvalidTypeError, "got 'red'"),
    "none": (None, InvalidTypeError, "got None"),
}


@pytest.mark.parametrize("name", CLASSES)
def test_bad_classes_are_named(name: str) -> None:
    target, error, message = CLASSES[name]
    with pytest.raises(error, match=message):
        check_classes(target, 3)


class Own(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None = None) -> Tensor:
        return self.model(x, edge_index)


class PassingOn(Own):
    def forward(self, *args: Tensor, **kwargs: Tensor) -> Tensor:
        return self.model(*args, **kwargs)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (GCN(3, 2, 1), ["edge_weight"]),
        (GAT(3, 2, 1, edge_dim=2), ["edge_attr"]),
        (GIN(3, 2, 1), []),
        (Own(GCN(3, 2, 1)), ["edge_attr"]),
        (PassingOn(GCN(3, 2, 1)), ["edge_weight"]),
        (PassingOn(PassingOn(GAT(3, 2, 1, edge_dim=2))), ["edge_attr"]),
    ],
    ids=["GCN", "GAT", "GIN", "own forward", "wrapper", "wrapper of a wrapper"],
)
def test_a_model_gets_what_it_takes(model: nn.Module, expected: list[str]) -> None:
    bare = Data(x=X, edge_index=EDGES)
    full = Data(x=X, edge_index=EDGES, edge_weight=torch.rand(5), edge_attr=torch.rand(5, 2))
    assert forward_arguments(model, bare) == {}
    found = forward_arguments(model, full)
    assert list(found) == expected
    assert all(value is full[name] for name, value in found.items())


def test_a_frozen_module_stays_frozen():
    model = GCN(2, 4, num_layers=2, out_channels=2, norm="batch_norm").train()
    model.norms[0].eval()
    data = Data(x=torch.rand(3, 2), edge_index=torch.tensor([[0, 1, 2], [1, 2, 0]]))
    trial_output(model, data)
    assert [model.training, model.convs[0].training, model.norms[0].training] == [True, True, False]
    with pytest.raises(InvalidGraphError):
        trial_output(model, Data(x=torch.rand(3, 5), edge_index=data.edge_index))
    assert [model.training, model.norms[0].training] == [True, False]


@pytest.mark.parametrize("wrap", [torch.compile, lambda model: torch.compile(GraGR(model)), GraGR])
def test_wrapped_models_get_what_they_take(wrap):
    data = Data(edge_index=torch.tensor([[0], [1]]), edge_weight=torch.ones(1), edge_attr=torch.ones(1, 2))
    assert list(forward_arguments(wrap(GCN(2, 4, num_layers=2, out_channels=2)), data)) == ["edge_weight"]


def test_models_of_several_graphs_are_told_which_node_is_whose() -> None:
    graphs = [Data(x=X + shift, edge_index=EDGES) for shift in range(2)]
    together, model = Batch.from_data_list(graphs), GCN(3, 4, num_layers=2, out_channels=2, norm="GraphNorm").eval()
    assert list(forward_arguments(model, together)) == ["batch"]
    assert forward_arguments(model, graphs[0]) == {}
    alone = torch.cat([trial_output(model, graph) for graph in graphs])
    torch.testing.assert_close(trial_output(model, together), alone)


def test_whoever_wraps_one_model_and_passes_all_on_gets_what_that_takes() -> None:
    class Outer(nn.Module):
        def __init__(self, *models: nn.Module) -> None:
            super().__init__()
            self.gnns = nn.ModuleList(models) if len(models) > 1 else None
            self.gnn = models[0]

        def forward(self, x: Tensor, edge_index: Tensor, **kwargs: Tensor) -> Tensor:
            return self.gnn(x, edge_index, **kwargs)

    data = Data(x=X, edge_index=EDGES, edge_weight=torch.rand(5))
    assert list(forward_arguments(Outer(GCN(3, 4, 2, 2)), data)) == ["edge_weight"]
    assert forward_arguments(Outer(GIN(3, 4, 2, 2)), data) == {}


@pytest.mark.parametrize("edge_dim", [None, 2])
@pytest.mark.parametrize("kind", ["GAT", "GATv2", "PNA"])
def test_edge_features_are_for_models_that_were_told_of_them(kind, edge_dim):
    data = Data(x=X, edge_index=EDGES, edge_attr=torch.rand(5, 2))
    if kind == "PNA":
        model = PNA(3, 8, 2, 4, aggregators=["mean"], scalers=["identity"], deg=torch.ones(3), edge_dim=edge_dim)
    else:
        model = GAT(3, 8, 2, 4, v2=kind == "GATv2", edge_dim=edge_dim)
    assert list(forward_arguments(model, data)) == ([] if edge_dim is None else ["edge_attr"])
    assert trial_output(model, data).shape == (4, 4)
