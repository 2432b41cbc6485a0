"""Rows that are multiplied once: the same numbers and gradients as ordinary rows, in models as well."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from gnns import explainer_for
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, PairNorm
from torch_geometric.nn.conv import (
    ChebConv,
    GATv2Conv,
    GCN2Conv,
    GraphConv,
    LEConv,
    MessagePassing,
    PNAConv,
    SAGEConv,
    SGConv,
    TAGConv,
    TransformerConv,
)
from torch_geometric.utils import scatter

from gragr_explain import explain_many
from gragr_explain.explain import input_gradients
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._gradients import gradients_at_ones
from gragr_explain.explain._node_parts import Inputs, NodeParts
from gragr_explain.explain._products import Products, Source
from gragr_explain.explain._rows import SharedRows
from gragr_explain.messages import masked_output

INDEX = torch.tensor([3, 0, 3, 2, 2])
EDGES = torch.tensor([[0, 1, 2, 3, 4, 0, 2], [1, 2, 3, 4, 0, 3, 2]])
COLUMN = torch.tensor([[1.0], [-2.0], [0.5], [3.0], [0.0]])


@pytest.fixture
def matrix() -> torch.Tensor:
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0))


def rows_of(matrix: torch.Tensor, index: torch.Tensor = INDEX, products: Products | None = None) -> SharedRows:
    return SharedRows(Source(matrix, Products() if products is None else products), index)


def made(rows: torch.Tensor) -> torch.Tensor:
    return rows.made() if isinstance(rows, SharedRows) else rows


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x @ torch.ones(6, 2),
        lambda x: F.linear(x, torch.arange(12.0).view(2, 6), torch.tensor([1.0, 2.0])),
        lambda x: x * 2 + 1,
        lambda x: torch.add(x, x, alpha=3),
        lambda x: torch.div(x, 0.3, rounding_mode="floor"),
        lambda x: x * torch.arange(6.0),
        lambda x: x * COLUMN.double(),
        lambda x: x.index_select(-2, torch.tensor([1, 1, 4])).relu(),
        lambda x: x.index_select(1, torch.tensor([1, 1, 4])),
        lambda x: torch.cat([x, x])[torch.tensor([7, 2])],
        lambda x: torch.cat([x, x * 2]) @ torch.ones(6, 1),
        lambda x: torch.cat([x, x], dim=1),
        lambda x: torch.cat([x, torch.ones(1, 6)]),
        lambda x: x.view(-1, 3, 2).sum((1, 2)),
        lambda x: x.t() @ x,
        lambda x: x.T @ x,
        lambda x: torch.ones(2, 5) @ x,
        lambda x: torch.addmm(torch.ones(5, 2), x, torch.ones(6, 2), beta=0.5),
        lambda x: x.mean(),
        lambda x: x[torch.tensor([True, False, True, False, False])],
        lambda x: x.new_zeros(5, 6).scatter_add_(0, torch.tensor([[0, 1, 2, 3, 4, 4]] * 5), x),
        lambda x: x.new_zeros((5, 6), dtype=torch.double) + x,
        lambda x: x.new_zeros(2) + x.new_ones(2, 2),
        lambda x: scatter(x, torch.tensor([0, 0, 2, 2, 2]), dim_size=4, reduce="max"),
        lambda x: F.dropout(x, 0.5, training=False) @ torch.ones(6, 2),
        lambda x: x.contiguous().float() - x,
    ],
)
def test_is_what_the_rows_are(matrix: torch.Tensor, use) -> None:
    assert torch.allclose(made(use(rows_of(matrix))), use(matrix[INDEX]), equal_nan=True)


@pytest.mark.parametrize(
    "use",
    [
        lambda x: x,
        lambda x: 2 * x / 3 * torch.tensor(0.5) * torch.tensor([2.0]),
        lambda x: COLUMN * x,
        lambda x: x / (COLUMN.abs() + 1).expand(5, 6),
        lambda x: x + x.index_select(0, torch.tensor([4, 3, 2, 1, 0])),
        lambda x: scatter(x, torch.tensor([0, 0, 2, 2, 2]), dim_size=4),
        lambda x: scatter(x * COLUMN, torch.tensor([0, 0, 2, 2, 2]), dim_size=4, reduce="mean"),
        lambda x: torch.cat([x, x]),
        lambda x: F.dropout(x.contiguous(), training=False),
        lambda x: x.new_zeros(5, 6) + x,
    ],
)
def test_is_not_made_for_what_products_are_enough_for(matrix: torch.Tensor, use) -> None:
    products, weight = Products(), torch.randn(6, 2)
    rows = use(rows_of(matrix, products=products))
    assert torch.allclose(rows @ weight, use(matrix[INDEX]) @ weight, atol=1e-5)
    assert products.are_enough
    assert products.width == 2
    assert torch.allclose(made(rows), use(matrix[INDEX]), atol=1e-6)
    assert not products.are_enough


def test_is_made_where_products_are_wider_than_what_is_done_to_rows(matrix: torch.Tensor) -> None:
    products, weight = Products(), torch.randn(6, 7)
    rows = rows_of(matrix, products=products)
    assert torch.allclose(rows @ weight, matrix[INDEX] @ weight, atol=1e-5)
    assert products.are_enough
    assert torch.allclose((rows * COLUMN) @ weight, (matrix[INDEX] * COLUMN) @ weight, atol=1e-5)
    assert not products.are_enough


STEPS = {
    "pick": lambda x, index, _factor: x.index_select(0, index % x.size(0)),
    "weigh": lambda x, _index, factor: x * factor[: x.size(0)].view(-1, 1),
    "divide": lambda x, _index, factor: x / (1 + factor[: x.size(0)].view(-1, 1).square()),
    "gather": lambda x, index, _factor: scatter(x, index[: x.size(0)], dim_size=5),
    "mean": lambda x, index, _factor: scatter(x, index[: x.size(0)], dim_size=5, reduce="mean"),
    "twice": lambda x, _index, _factor: x + x * 2,
    "rectify": lambda x, _index, _factor: x.relu(),
    "square": lambda x, _index, _factor: x * x,
}


@given(names=st.lists(st.sampled_from(sorted(STEPS)), max_size=6), seed=st.integers(0, 10**6))
def test_any_steps_give_the_values_and_gradients_of_ordinary_rows(names: list[str], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    matrix, weight = torch.randn(4, 6, generator=random).double(), torch.randn(6, 2, generator=random).double()
    index = torch.randint(5, (5,), generator=random)
    values, gradients = [], []
    for shared in (True, False):
        factor = torch.linspace(-1, 2, 5, dtype=torch.double).requires_grad_()
        start = rows_of(matrix).watched() if shared else matrix[INDEX].requires_grad_()
        x = start
        for name in names:
            x = STEPS[name](x, index, factor)
        values.append(torch.tanh(x @ weight) + x.sum() * 0.1 if seed % 2 else torch.tanh(x @ weight))
        if shared:
            leaves = [product for product, _ in start.source.leaves]
            leaves += [start.source.leaf] if start.source.leaf is not None else []
            found = torch.autograd.grad(values[0].sum(), [factor, *leaves], allow_unused=True)
            products = [(each, used) for each, (_, used) in zip(found[1:], start.source.leaves, strict=False)]
            rows = found[-1] if start.source.leaf is not None else None
            gradients.append((found[0], FeatureGradient(rows_of(matrix), rows, products).made()))
        else:
            gradients.append(torch.autograd.grad(values[1].sum(), [factor, start], allow_unused=True))
    assert torch.allclose(*values)
    for shared_gradient, expected in zip(*gradients, strict=True):
        nothing = torch.zeros(())
        assert torch.allclose(*(nothing if each is None else each for each in (shared_gradient, expected)))


class One(torch.nn.Module):
    """One layer of any kind."""

    def __init__(self, layer: MessagePassing) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.layer(x, edge_index)


MODELS = {
    "GCN": (lambda: GCN(6, 4, num_layers=2, out_channels=3), True),
    "GAT": (lambda: GAT(6, 4, num_layers=2, out_channels=3), True),
    "GIN": (lambda: GIN(6, 4, num_layers=2, out_channels=3, train_eps=True), True),
    "GraphSAGE": (lambda: GraphSAGE(6, 4, num_layers=2, out_channels=3), True),
    "GATv2": (lambda: One(GATv2Conv(6, 3)), True),
    "Transformer": (lambda: One(TransformerConv(6, 3)), True),
    "GraphConv": (lambda: One(GraphConv(6, 3)), True),
    "LEConv": (lambda: One(LEConv(6, 3)), True),
    "SGConv": (lambda: One(SGConv(6, 3, K=2)), True),
    "TAGConv": (lambda: One(TAGConv(6, 3, K=2)), True),
    "ChebConv": (lambda: One(ChebConv(6, 3, K=2)), True),
    "largest": (lambda: One(SAGEConv(6, 3, aggr="max")), False),
    "PNA": (lambda: One(PNAConv(6, 3, ["mean", "std"], ["identity"], deg=torch.tensor([0, 4, 1]))), False),
}


@pytest.mark.parametrize("name", MODELS)
def test_models_and_their_gradients(matrix: torch.Tensor, name: str) -> None:
    torch.manual_seed(0)
    build, enough = MODELS[name]
    model, products, found = build().eval(), Products(), []
    rows = rows_of(matrix, products=products)
    edges = EDGES[:, :6] if name == "ChebConv" else EDGES  # it takes self-loops away
    for x in (rows, matrix[INDEX]):
        outputs: list[torch.Tensor] = []

        def objective(output: torch.Tensor, outputs: list[torch.Tensor] = outputs) -> torch.Tensor:
            outputs.append(output.detach())
            return output.square().sum()

        of_edges, of_features = gradients_at_ones(model, objective, x, edges, {})
        mask = torch.linspace(0, 1, edges.size(1))
        found.append((outputs[0], of_edges, of_features.made(), masked_output(model, mask, x, edges)))
    for shared, expected in zip(*found, strict=True):
        assert type(shared) is torch.Tensor
        assert torch.allclose(shared, expected, atol=1e-4, rtol=1e-4)
    assert products.are_enough == enough


class Still(torch.nn.Module):
    """Features that no gradient is to flow into."""

    def __init__(self, gnn: torch.nn.Module, how: str) -> None:
        super().__init__()
        self.gnn, self.how = gnn, how

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        if self.how == "detached":
            return self.gnn(x.detach(), edge_index)
        with torch.no_grad():
            x = x * 2
        return self.gnn(x, edge_index)


@pytest.mark.parametrize("how", ["detached", "no_grad"])
@pytest.mark.parametrize("kind", [GCN, GIN])
def test_gradients_stop_where_a_model_stops_them(matrix: torch.Tensor, how: str, kind: type) -> None:
    model = Still(kind(6, 8, num_layers=2, out_channels=3), how).eval()
    for x in (rows_of(matrix), matrix[INDEX]):
        edges, features = gradients_at_ones(model, lambda output: output.sum(), x, EDGES, {})
        assert edges.abs().sum() > 0
        assert torch.equal(features.made(), torch.zeros(5, 6))
        assert torch.equal(features.times_input_of_parts(torch.zeros(5, dtype=torch.long), 1), torch.zeros(1, 6))


@given(num_nodes=st.integers(0, 40), num_parts=st.integers(1, 5), width=st.integers(0, 30), seed=st.integers(0, 999))
def test_gradient_times_input_adds_up_over_parts(num_nodes: int, num_parts: int, width: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    matrix = torch.randn(7, width, generator=random).double()
    index, part = (torch.randint(most, (num_nodes,), generator=random) for most in (7, num_parts))
    weight = torch.randn(width, 3, generator=random).double()
    rows = torch.randn(num_nodes, width, generator=random).double()
    product = torch.randn(num_nodes, 3, generator=random).double()
    expected = (rows + product @ weight.t()) * matrix[index]
    for x in (rows_of(matrix, index), matrix[index]):
        gradient = FeatureGradient(x, rows, [(product, weight)])
        assert torch.allclose(gradient.times_input(), expected)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gragr_explain.explain._feature_gradient._AT_ONCE", 64)
            found = gradient.times_input_of_parts(part, num_parts)
        assert torch.allclose(found, torch.zeros_like(found).index_add_(0, part, expected))


class Lister(torch.nn.Module):
    """Looks at the numbers of its features, as no tensor that is not there can be looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.gnn = GCN(6, 8, num_layers=2, out_channels=3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.gnn(x, edge_index) * float(x.detach().numpy().max())


def test_models_that_need_the_rows_themselves_are_explained(matrix: torch.Tensor) -> None:
    torch.manual_seed(0)
    model, edge_index = Lister(), torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    found = explainer_for(model)(matrix, edge_index, index=0)
    mask = torch.ones(4, requires_grad=True)
    p = masked_output(model, mask, matrix, edge_index)[0].softmax(-1).max()
    expected = torch.autograd.grad(p.log(), mask)[0]
    assert torch.allclose(found.edge_evidence, expected, atol=1e-5)


class Compiled(torch.nn.Module):
    """Begins with a compiled layer, or with one that looks behind a tensor's back, as extensions in C++ may."""

    def __init__(self, behind_its_back: bool) -> None:
        super().__init__()
        layers = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Tanh())
        self.first = layers if behind_its_back else torch.jit.script(layers)
        self.behind_its_back = behind_its_back
        self.gnn = GCN(6, 8, num_layers=2, out_channels=3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        with torch._C.DisableTorchFunctionSubclass() if self.behind_its_back else nullcontext():
            x = self.first(x)
        return self.gnn(x, edge_index)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize("behind_its_back", [False, True])
def test_models_that_need_made_rows_are_explained(matrix: torch.Tensor, behind_its_back: bool) -> None:
    torch.manual_seed(0)
    model = Compiled(behind_its_back).eval()
    if behind_its_back:
        with pytest.raises(TypeError, match="not made"):
            model(rows_of(matrix), EDGES)
    data = Data(x=matrix[INDEX], edge_index=EDGES)
    found = explain_many(explainer_for(model), data, progress=False)
    for node in range(5):
        one = explainer_for(model)(data.x, EDGES, index=node)
        _, gradient = input_gradients(
            model, lambda output, node=node: output[node].log_softmax(-1).max(), data.x, EDGES
        )
        assert torch.allclose(one.node_evidence, gradient * data.x, atol=1e-5)
        assert [column for column, _ in found.features[node]] == one.node_evidence.sum(0).argsort(
            descending=True
        ).tolist()[: len(found.features[node])]


class Copied(torch.autograd.Function):
    """A function with a gradient of its own."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        return 3 * gradient


def without_gradient(how: str, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return x + x if how == "sum" else x.index_select(0, torch.arange(x.size(0)))


def written_into(x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
    sums = x.new_zeros(x.size(0), 6)
    sums.scatter_add_(0, edge_index[1].view(-1, 1).expand(-1, 6), x.index_select(0, edge_index[0]))
    return sums


UNUSUAL = {
    "weights of its own output": lambda gnn, x, e: torch.tanh(x @ gnn(x, e).repeat(1, 2).sum(0).view(6, 1)) * gnn(x, e),
    "a function of its own": lambda gnn, x, e: gnn(Copied.apply(x), e),
    "a sum without gradient": lambda gnn, x, e: gnn(without_gradient("sum", x), e),
    "rows without gradient": lambda gnn, x, e: gnn(without_gradient("picked", x), e),
    "sums written into zeros": lambda gnn, x, e: gnn(written_into(x, e), e),
}


class Unusual(torch.nn.Module):
    def __init__(self, use) -> None:
        super().__init__()
        self.use, self.gnn = use, GCN(6, 4, num_layers=2, out_channels=3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.use(self.gnn, x, edge_index)


@pytest.mark.parametrize("name", UNUSUAL)
def test_models_that_do_unusual_things_with_features_have_the_right_gradients(name: str) -> None:
    torch.manual_seed(0)
    model, x = Unusual(UNUSUAL[name]).eval(), torch.randn(5, 6)
    for node in range(5):
        one = explainer_for(model)(x, EDGES, index=node)
        of_edges, of_features = input_gradients(
            model, lambda output, node=node: output[node].log_softmax(-1).max(), x, EDGES
        )
        assert torch.allclose(one.edge_evidence, of_edges, atol=1e-5)
        assert torch.allclose(one.node_evidence, of_features * x, atol=1e-5)


class Initial(torch.nn.Module):
    """A layer that writes into sums of features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCN2Conv(6, 0.3), GCN(6, 4, num_layers=1, out_channels=3)

    def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x, x, edge_index).relu(), edge_index)


def test_models_that_write_into_rows_are_explained_in_batches(matrix: torch.Tensor) -> None:
    torch.manual_seed(0)
    model, x = Initial().eval(), matrix[INDEX]
    parts = NodeParts(model, x, EDGES, {})
    goal = lambda output: output.log_softmax(-1).max(-1).values.sum()  # noqa: E731
    part, of_edges, _ = parts.gradients(model, Inputs(x, EDGES, {}), torch.arange(5), 2**20, goal)
    assert not part.is_whole
    assert not isinstance(part.union.x, SharedRows)
    expected, _ = input_gradients(model, goal, x, EDGES)
    found = torch.zeros(EDGES.size(1)).index_add_(0, part.ego.edge, of_edges)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kind", [GCN, GIN])
def test_rows_are_shared_on_the_whole_graph_too(matrix: torch.Tensor, kind: type) -> None:
    torch.manual_seed(0)
    model, x = kind(6, 4, num_layers=2, out_channels=3, norm=PairNorm()).eval(), matrix[INDEX]
    parts = NodeParts(model, x, EDGES, {})
    goal = lambda output: output.log_softmax(-1).max(-1).values.sum()  # noqa: E731
    part, of_edges, of_features = parts.gradients(model, Inputs(x, EDGES, {}), torch.tensor([3]), 2**20, goal)
    assert part.is_whole
    assert isinstance(part.union.x, SharedRows)
    expected = input_gradients(model, lambda output: goal(output[3:4]), x, EDGES)
    assert torch.allclose(of_edges, expected[0], atol=1e-5)
    assert torch.allclose(of_features.made(), expected[1], atol=1e-5)


def test_sums_of_sums_are_not_computed_over_and_over(matrix: torch.Tensor) -> None:
    x, shared = rows_of(matrix), []
    for _ in range(30):
        x = x + scatter(x.index_select(0, EDGES[0]), EDGES[1], dim_size=5) * 0.1
        shared.append(isinstance(x, SharedRows))
    assert shared[0]
    assert not shared[-1]


def test_factors_are_one_column_or_as_wide_as_the_rows() -> None:
    rows = rows_of(torch.ones(4, 1), torch.arange(4))
    assert (rows * torch.ones(4, 1).expand(4, 5)).shape == (4, 5)


def test_multiplies_once_until_the_weight_changes(matrix: torch.Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    weight, products, calls = torch.ones(6, 2), Products(), []
    matmul = torch.Tensor.__matmul__
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda *args: calls.append(1) or matmul(*args))
    first = rows_of(matrix, products=products).times(weight)
    rows_of(matrix, INDEX.flip(0), products).times(weight)
    assert len(calls) == 1
    weight.mul_(2)
    assert torch.allclose(rows_of(matrix, products=products).times(weight), 2 * first)
    assert len(calls) == 2


def test_weights_made_anew_are_not_mistaken_for_old_ones(matrix: torch.Tensor) -> None:
    rows = rows_of(matrix)
    for number in range(30):
        weight = torch.full((6, 2), float(number))
        assert torch.allclose(rows @ weight, matrix[INDEX] @ weight)


def test_says_so_where_rows_that_are_not_made_are_used_behind_its_back(matrix: torch.Tensor) -> None:
    with pytest.raises(TypeError, match="not made"), torch._C.DisableTorchFunctionSubclass():
        rows_of(matrix).relu()
