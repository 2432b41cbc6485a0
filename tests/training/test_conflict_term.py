"""The conflict loss as a term of the training loss, against finite differences with respect to the parameters."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GIN, GATConv, GraphSAGE

from gragr_explain import GraGR
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.field import GraphOperator, conflict_loss
from gragr_explain.history import hidden_representation
from gragr_explain.training import conflict_term

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
EPSILON = 1e-6


def smooth_model(backbone: str) -> nn.Module:
    """Without kinks, so that finite differences mean something."""
    torch.manual_seed(2)
    model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, act="tanh").double()
    for layer in model.modules():
        if isinstance(layer, GATConv):
            layer.negative_slope = 1.0
        if isinstance(layer, nn.ReLU):
            raise AssertionError("a kink")
    return model


class Setting:
    """A model, a graph and the loss; every call starts from the parameters."""

    def __init__(self, backbone: str, make_data, squared: bool = False) -> None:
        self.data = make_data(num_nodes=16, seed=4, dtype=torch.float64)
        self.model = smooth_model(backbone)
        self.graph = GraphOperator(self.data.edge_index, 16)
        self.squared = squared
        self.wanted = torch.randn(16, 8, dtype=torch.float64)
        self.parameters = list(self.model.parameters())

    def loss(self) -> tuple[Tensor, Tensor]:
        hidden, output = hidden_representation(self.model, self.data.x, self.data.edge_index)
        if self.squared:
            return (hidden - self.wanted).square().sum() / 2, hidden
        known = self.data.train_mask
        return F.cross_entropy(output[known], self.data.y[known]), hidden

    def field(self) -> Tensor:
        loss, hidden = self.loss()
        return torch.autograd.grad(loss, hidden)[0]

    def slope(self, value: Callable[[], Tensor], direction: list[Tensor]) -> float:
        """The derivative of a value along a direction of the parameters, by central differences."""
        found = []
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, part in zip(self.parameters, direction, strict=True):
                    parameter.add_(part, alpha=sign * EPSILON)
            found.append(value().item())
            with torch.no_grad():
                for parameter, part in zip(self.parameters, direction, strict=True):
                    parameter.sub_(part, alpha=sign * EPSILON)
        return (found[0] - found[1]) / (2 * EPSILON)

    def directions(self) -> list[list[Tensor]]:
        """One for each parameter alone, and some for all."""
        alone = [[torch.randn_like(p) * (p is one) for p in self.parameters] for one in self.parameters]
        return alone + [[torch.randn_like(p) for p in self.parameters] for _ in range(3)]


def along(gradient: tuple[Tensor | None, ...], direction: list[Tensor]) -> float:
    return float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True) if g is not None))


@pytest.mark.parametrize("backbone", ["GCN", "GAT", "GraphSAGE"])
def test_the_exact_form_has_the_derivative_of_the_conflict_loss(backbone, make_data):
    setting = Setting(backbone, make_data)
    unit = setting.field().norm(dim=-1).mean()  # a constant to the derivative
    scale = unit.square() * setting.graph.pairs.size(1)

    def value() -> Tensor:
        return conflict_loss(setting.field(), setting.graph) / scale

    term = conflict_term(*setting.loss(), setting.graph, exact=True)
    assert float(term.detach()) > 0
    gradient = torch.autograd.grad(term, setting.parameters, allow_unused=True)
    for direction in setting.directions():
        assert along(gradient, direction) == pytest.approx(setting.slope(value, direction), rel=1e-4, abs=1e-7)
    assert along(gradient, [g.detach() if g is not None else torch.zeros(()) for g in gradient]) > 0


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_value_is_the_mean_over_pairs_in_units_of_the_mean_norm(backbone, exact, make_data):
    setting = Setting(backbone, make_data)
    field, expected, pairs = setting.field(), 0.0, set()
    for i, j in setting.data.edge_index.t().tolist():
        if i != j and (min(i, j), max(i, j)) not in pairs:
            pairs.add((min(i, j), max(i, j)))
            expected += max(0.0, -float(field[i] @ field[j]))
    mean_norm = sum(float(row.norm()) for row in field) / len(field)
    found = conflict_term(*setting.loss(), setting.graph, exact=exact)
    assert found.item() == pytest.approx(expected / len(pairs) / mean_norm**2, rel=1e-9)
    assert found.item() >= 0


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_the_value_does_not_depend_on_the_unit_of_the_loss(scale, make_data):
    setting = Setting("GCN", make_data)
    loss, hidden = setting.loss()
    for exact in (True, False):
        found = conflict_term(loss * scale, hidden, setting.graph, exact=exact)
        assert found.item() == pytest.approx(conflict_term(loss, hidden, setting.graph, exact=exact).item(), rel=1e-9)


@pytest.mark.parametrize("backbone", ["GCN", "GAT", "GraphSAGE"])
def test_the_stopped_form_has_the_derivative_of_its_surrogate(backbone, make_data):
    """The term's derivative with respect to g, held constant, times mu, times dh."""
    setting = Setting(backbone, make_data)
    field = setting.field()
    unit = field.norm(dim=-1).mean()
    leaf = field.clone().requires_grad_()
    scale = unit.square() * setting.graph.pairs.size(1)
    (push,) = torch.autograd.grad(conflict_loss(leaf, setting.graph) / scale, leaf)
    assert bool(push.any())

    term = conflict_term(*setting.loss(), setting.graph, exact=False)
    gradient = torch.autograd.grad(term, setting.parameters, allow_unused=True)
    for direction in setting.directions():
        expected = setting.slope(lambda: (setting.loss()[1] * push * unit).sum(), direction)
        assert along(gradient, direction) == pytest.approx(expected, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_forms_agree_for_a_squared_error_on_the_hidden_representation(backbone, make_data):
    """There g = h - c, so dg/dh = I, where the stopped form puts mu I."""
    setting = Setting(backbone, make_data, squared=True)
    unit = float(setting.field().norm(dim=-1).mean())
    gradients = []
    for exact in (True, False):
        term = conflict_term(*setting.loss(), setting.graph, exact=exact)
        gradients.append(torch.autograd.grad(term, setting.parameters, allow_unused=True))
    assert any(g is not None and bool(g.any()) for g in gradients[0])
    for exact, stopped in zip(*gradients, strict=True):
        assert (exact is None) == (stopped is None)
        if exact is not None:
            torch.testing.assert_close(stopped, exact * unit, rtol=1e-9, atol=1e-12)


def test_the_stopped_form_keeps_no_second_order_graph(make_data):
    """Its one path to the parameters is the hidden representation."""
    setting = Setting("GCN", make_data)
    loss, hidden = setting.loss()
    term = conflict_term(loss, hidden, setting.graph, exact=False)
    above = list(setting.model.convs[1].parameters())
    assert all(g is None for g in torch.autograd.grad(term, above, allow_unused=True, retain_graph=True))
    exact = conflict_term(loss, hidden, setting.graph, exact=True)
    assert any(g is not None for g in torch.autograd.grad(exact, above, allow_unused=True))


@pytest.mark.parametrize("exact", [True, False])
def test_only_the_exact_form_makes_a_graph_of_the_backward_pass(exact, make_data):
    """The other one costs a first-order pass."""
    setting, seen = Setting("GCN", make_data), []
    loss, hidden = setting.loss()
    hidden.register_hook(lambda _: seen.append(torch.is_grad_enabled()))
    conflict_term(loss, hidden, setting.graph, exact=exact)
    assert seen == [exact]


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize(
    ("name", "edges", "loss_of"),
    [
        ("no conflict", [(0, 1), (1, 0)], lambda h: h.sum()),
        ("no edges", [], lambda h: h.sum()),
        ("self-loops only", [(0, 0), (1, 1)], lambda h: h.sum()),
        ("zero gradients", [(0, 1), (1, 0)], lambda h: 0 * h.sum()),
        ("one node without a gradient", [(0, 1), (1, 0)], lambda h: h[0].sum()),
    ],
)
def test_without_conflict_the_term_is_zero_and_changes_nothing(exact, name, edges, loss_of):
    hidden = torch.tensor([[1.0, 2.0], [-1.0, 3.0], [0.5, 0.0]], requires_grad=True)
    graph = GraphOperator(torch.tensor(edges, dtype=torch.long).view(-1, 2).t(), 3)
    term = conflict_term(loss_of(hidden), hidden, graph, exact=exact)
    assert term.item() == 0
    total = loss_of(hidden) + term
    (gradient,) = torch.autograd.grad(total, hidden)
    (plain,) = torch.autograd.grad(loss_of(hidden), hidden)
    assert torch.equal(gradient, plain), name


def test_a_loss_that_is_no_scalar_or_has_no_gradient_is_refused():
    hidden, graph = torch.ones(2, 1, requires_grad=True), GraphOperator(torch.tensor([[0], [1]]), 2)
    for loss, h in ((hidden, hidden), (torch.ones(()), hidden), (hidden.sum(), torch.ones(2, 1))):
        with pytest.raises(InvalidArgumentError, match="scalar loss"):
            conflict_term(loss, h, graph)


def test_neither_form_changes_what_is_already_recorded_of_the_gradient(make_data):
    setting = Setting("GCN", make_data)
    loss, hidden = setting.loss()
    for exact in (True, False):
        conflict_term(loss, hidden, setting.graph, exact=exact)
    assert all(parameter.grad is None for parameter in setting.parameters)
    torch.testing.assert_close(torch.autograd.grad(loss, hidden)[0], setting.field())  # the graph is still there


# in a training -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_one_step_descends_the_loss_of_equation_7(backbone, exact, make_data):
    """The gradient of L + lambda |L| term, where |L| is a constant: lambda is a share of the loss."""
    data = make_data(num_nodes=16, seed=4, dtype=torch.float64)
    model = smooth_model(backbone)
    graph, known = GraphOperator(data.edge_index, 16), data.train_mask
    hidden, output = hidden_representation(model.train(), data.x, data.edge_index)
    loss = F.cross_entropy(output[known], data.y[known])
    total = loss + 0.7 * loss.detach() * conflict_term(loss, hidden, graph, exact=exact)
    expected = torch.autograd.grad(total, list(model.parameters()))

    options = {"conflict": False, "alignment": False, "conflict_weight": 0.7, "exact_conflict": exact}
    trained = GraGR(model, **options).fit(data, epochs=1, weight_decay=0.0, progress=False)

    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert trained.history.curves["loss"] == [pytest.approx(loss.item())]  # the model's own, not the objective


@pytest.mark.parametrize("exact", [True, False])
def test_the_term_is_no_step_of_the_history(exact, data):
    trained = GraGR(GCN(5, 8, 2, 3), conflict_weight=0.5, exact_conflict=exact).fit(data, epochs=6, progress=False)
    assert trained.history.num_steps == 6
    assert len(trained.history.trajectories["norm"].starts) == 6


def test_the_exact_term_lowers_the_conflict(make_data):
    """It does what it is for: less conflict energy after the same training."""
    energies = {}
    for weight in (0.0, 1.0):
        torch.manual_seed(0)
        data = make_data(num_nodes=40, seed=1)
        model = GCN(5, 16, num_layers=2, out_channels=3)
        options = {"conflict_weight": weight, "exact_conflict": weight > 0, "conflict": False, "alignment": False}
        GraGR(model, **options).fit(data, epochs=60, record=False, progress=False)
        hidden, output = hidden_representation(model, data.x, data.edge_index)
        loss = F.cross_entropy(output[data.train_mask], data.y[data.train_mask])
        energies[weight] = conflict_term(loss, hidden, GraphOperator(data.edge_index, 40)).item()
    assert energies[1.0] < 0.8 * energies[0.0]
