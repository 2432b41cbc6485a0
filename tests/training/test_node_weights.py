"""Hypergradients of the weights of nodes and classes, against finite differences of one inner step."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.func import functional_call
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain import GraGR
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.field import GraphOperator, conflict_loss
from gragr_explain.history import hidden_representation
from gragr_explain.training import conflict_hypergradient, reweight, validation_hypergradient

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
STEP = 0.3


def double_model(backbone: str) -> nn.Module:
    torch.manual_seed(1)
    return BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, act="tanh", dropout=0.0).double()


def derivatives(function: Callable[[Tensor], float], at: Tensor, epsilon: float = 1e-5) -> Tensor:
    """Central differences with respect to each entry of a vector."""
    found = []
    for shift in torch.eye(at.numel(), dtype=at.dtype) * epsilon:
        found.append((function(at + shift) - function(at - shift)) / (2 * epsilon))
    return torch.tensor(found, dtype=at.dtype)


class InnerStep:
    """One step of gradient descent on the weighted losses of nodes, or of classes, and what it does to validation."""

    def __init__(self, backbone: str, groups: str, make_data) -> None:
        self.data = make_data(num_nodes=20, seed=3, dtype=torch.float64)
        self.model = double_model(backbone)
        self.parameters = dict(self.model.named_parameters())
        self.groups = groups

    def output(self, parameters: dict[str, Tensor]) -> Tensor:
        return functional_call(self.model, parameters, (self.data.x, self.data.edge_index))

    def losses(self, parameters: dict[str, Tensor]) -> Tensor:
        known = self.data.train_mask
        losses = F.cross_entropy(self.output(parameters)[known], self.data.y[known], reduction="none")
        if self.groups == "class":
            losses = F.one_hot(self.data.y[known]).double().t() @ losses
        return losses / int(known.sum())

    def val_loss(self, parameters: dict[str, Tensor]) -> Tensor:
        known = self.data.val_mask
        return F.cross_entropy(self.output(parameters)[known], self.data.y[known])

    def after(self, gamma: Tensor, step: float) -> dict[str, Tensor]:
        """Theta': where the step goes."""
        gradient = torch.autograd.grad(gamma @ self.losses(self.parameters), list(self.parameters.values()))
        moved = zip(self.parameters.items(), gradient, strict=True)
        return {name: (value - step * part).detach() for (name, value), part in moved}


@pytest.mark.parametrize("groups", ["node", "class"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_validation_hypergradient_is_that_of_one_inner_step(backbone, groups, make_data):
    inner = InnerStep(backbone, groups, make_data)
    losses = inner.losses(inner.parameters)
    gamma = torch.linspace(0.5, 1.5, losses.numel(), dtype=torch.float64)
    end = {name: value.requires_grad_() for name, value in inner.after(gamma, STEP).items()}
    val_gradient = torch.autograd.grad(inner.val_loss(end), list(end.values()))

    found = validation_hypergradient(losses, list(inner.parameters.values()), val_gradient, STEP)

    expected = derivatives(lambda g: inner.val_loss(inner.after(g, STEP)).item(), gamma)
    assert bool((expected.abs() > 1e-6).any())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_at_theta_the_hypergradient_is_that_of_an_infinitely_small_step(backbone, make_data):
    inner = InnerStep(backbone, "node", make_data)
    parameters = list(inner.parameters.values())
    val_gradient = torch.autograd.grad(inner.val_loss(inner.parameters), parameters)
    found = validation_hypergradient(inner.losses(inner.parameters), parameters, val_gradient)
    small, gamma = 1e-4, torch.ones(10, dtype=torch.float64)
    expected = derivatives(lambda g: inner.val_loss(inner.after(g, small)).item(), gamma, 1e-2) / small
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-4)

    def gradients(loss: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(loss, parameters, retain_graph=True)

    by_hand = [
        -sum((g * v).sum() for g, v in zip(gradients(loss), val_gradient, strict=True))
        for loss in inner.losses(inner.parameters)
    ]
    torch.testing.assert_close(found, torch.stack(by_hand))


def test_the_graph_of_the_losses_is_kept(make_data):
    inner = InnerStep("GCN", "node", make_data)
    parameters = list(inner.parameters.values())
    losses = inner.losses(inner.parameters)
    direction = [torch.ones_like(parameter) for parameter in parameters]
    first = validation_hypergradient(losses, parameters, direction)
    torch.testing.assert_close(validation_hypergradient(losses, parameters, direction), first)
    assert not first.requires_grad
    losses.mean().backward()
    assert all(parameter.grad is not None for parameter in parameters)


def test_parameters_that_no_loss_reaches_have_no_say():
    used, unused = torch.ones(2, requires_grad=True), torch.ones(3, requires_grad=True)
    losses = used * torch.tensor([2.0, 3.0])
    gradient = [torch.tensor([1.0, -1.0]), torch.full((3,), torch.nan)]
    assert validation_hypergradient(losses, [used, unused], gradient).tolist() == [-2.0, 3.0]
    assert validation_hypergradient(losses, [unused], gradient[1:]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("groups", ["node", "class"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_conflict_hypergradient_is_the_derivative_of_the_conflict_loss(backbone, groups, make_data):
    inner = InnerStep(backbone, groups, make_data)
    graph, known = GraphOperator(inner.data.edge_index, 20), inner.data.train_mask
    hidden, output = hidden_representation(inner.model, inner.data.x, inner.data.edge_index)
    losses = F.cross_entropy(output[known], inner.data.y[known], reduction="none")
    if groups == "class":
        losses = F.one_hot(inner.data.y[known]).double().t() @ losses
    gamma = torch.linspace(0.5, 1.5, losses.numel(), dtype=torch.float64)

    def value(weights: Tensor) -> float:
        (field,) = torch.autograd.grad(weights @ losses, hidden, retain_graph=True)
        return conflict_loss(field, graph).item()

    assert value(gamma) > 0
    found = conflict_hypergradient(losses, gamma, hidden, graph)
    torch.testing.assert_close(found, derivatives(value, gamma), rtol=1e-5, atol=1e-9)
    assert not found.requires_grad


def test_without_conflict_its_hypergradient_is_zero():
    hidden = torch.ones(3, 2, requires_grad=True)
    losses = hidden.sum(1)
    for edges in ([[0, 1], [1, 0]], [[], []]):
        graph = GraphOperator(torch.tensor(edges, dtype=torch.long), 3)
        assert conflict_hypergradient(losses, torch.ones(3), hidden, graph).tolist() == [0, 0, 0]


def test_shapes_that_do_not_fit():
    theta, graph = torch.ones(2, requires_grad=True), GraphOperator(torch.tensor([[0], [1]]), 2)
    with pytest.raises(InvalidArgumentError, match=r"each of 1 parameters.*\[\] and 1"):
        validation_hypergradient(theta.sum(), [theta], [theta])
    with pytest.raises(InvalidArgumentError, match=r"each of 1 parameters.*\[2\] and 0"):
        validation_hypergradient(theta * 2, [theta], [])
    with pytest.raises(InvalidArgumentError, match=r"weights of shape \[2\], got \[3\]"):
        conflict_hypergradient(theta * 2, torch.ones(3), theta.view(2, 1), graph)


# the step ------------------------------------------------------------------------------------------------------------

rates = st.sampled_from([None, 1e-3, 0.5, 20.0])
numbers = st.integers(-100, 100)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    size = draw(st.integers(1, 8))
    weights = torch.tensor(draw(st.lists(st.integers(0, 9), min_size=size, max_size=size)), dtype=torch.float64)
    weights = weights / weights.mean() if bool(weights.any()) else torch.ones(size, dtype=torch.float64)
    slope = draw(st.lists(numbers, min_size=size, max_size=size))
    return weights, torch.tensor(slope, dtype=torch.float64) * draw(st.sampled_from([1e-8, 1.0, 1e8]))


@given(steps(), rates)
def test_new_weights_are_not_negative_and_have_a_mean_of_one(case: tuple[Tensor, Tensor], rate: float | None) -> None:
    weights, slope = case
    found = reweight(weights, slope, rate)
    assert bool((found >= 0).all())
    assert float(found.mean()) == pytest.approx(1.0)
    torch.testing.assert_close(reweight(weights, slope * 7, rate), found)  # the unit of the objective does not matter


@given(steps(), rates)
def test_a_loss_that_helps_more_gains_at_least_as_much(case: tuple[Tensor, Tensor], rate: float | None) -> None:
    """From equal weights, the new ones are in the order of the descent that they give."""
    slope = case[1]
    found = reweight(torch.ones_like(slope), slope, rate)
    ordered = found[slope.argsort()]
    assert bool((ordered.diff() <= 1e-12).all())


@given(steps())
def test_without_a_rate_only_losses_count_whose_descent_lowers_the_objective(case: tuple[Tensor, Tensor]) -> None:
    weights, slope = case
    found = reweight(weights, slope, None)
    if bool((slope < 0).any()):
        assert torch.equal(found > 0, slope < 0)
        torch.testing.assert_close(found, -slope.clamp(max=0) / -slope.clamp(max=0).mean())
    else:
        assert torch.equal(found, weights)


@pytest.mark.parametrize("rate", [None, 0.1])
@pytest.mark.parametrize("slope", [[0.0, 0.0], [torch.nan, 1.0], [torch.inf, -1.0], [-torch.inf, 2.0]])
def test_a_hypergradient_that_says_nothing_changes_nothing(slope, rate):
    weights = torch.tensor([0.5, 1.5])
    assert torch.equal(reweight(weights, torch.tensor(slope), rate), weights)


def test_weights_that_would_all_vanish_stay():
    weights = torch.tensor([0.5, 1.5])
    assert torch.equal(reweight(weights, torch.tensor([1.0, 1.0]), 100.0), weights)
    assert torch.equal(reweight(weights, torch.tensor([1.0, 2.0]), None), weights)


def test_a_rate_of_zero_changes_nothing():
    weights = torch.tensor([0.5, 1.5])
    assert torch.equal(reweight(weights, torch.tensor([-3.0, 1.0]), 0.0), weights)


# in a training -------------------------------------------------------------------------------------------------------


def expected_weights(model: nn.Module, data, meta: str, objective: str, rate: float) -> Tensor:
    """The weights of nodes after the first epoch, by finite differences with respect to each weight."""
    known, y = data.train_mask, data.y[data.train_mask]
    group = F.one_hot(y).double() if meta == "class" else torch.eye(len(y), dtype=torch.float64)
    hidden, output = hidden_representation(model, data.x, data.edge_index)
    losses = group.t() @ F.cross_entropy(output[known], y, reduction="none")
    parameters = list(model.parameters())
    if objective == "validation":
        val_loss = F.cross_entropy(output[data.val_mask], data.y[data.val_mask])
        target = torch.autograd.grad(val_loss, parameters, retain_graph=True)

        def value(weights: Tensor) -> float:
            gradient = torch.autograd.grad(weights @ losses, parameters, retain_graph=True)
            return -float(sum((g * t).sum() for g, t in zip(gradient, target, strict=True)))
    else:
        graph = GraphOperator(data.edge_index, data.num_nodes)

        def value(weights: Tensor) -> float:
            (field,) = torch.autograd.grad(weights @ losses, hidden, retain_graph=True)
            return conflict_loss(field, graph).item()

    ones = torch.ones(group.size(1), dtype=torch.float64)
    slope = derivatives(value, ones)
    return group @ reweight(ones, slope, None if (meta, objective) == ("node", "validation") else rate)


@pytest.mark.parametrize("objective", ["validation", "conflict"])
@pytest.mark.parametrize("meta", ["node", "class"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_first_epoch_of_a_training_takes_this_step(backbone, meta, objective, make_data):
    data, model = make_data(num_nodes=20, seed=3, dtype=torch.float64), double_model(backbone)
    untrained = copy.deepcopy(model)
    expected = expected_weights(copy.deepcopy(model), data, meta, objective, rate=0.4)
    options = {"conflict": False, "alignment": False, "meta": meta, "meta_objective": objective, "meta_lr": 0.4}
    trained = GraGR(model, **options).fit(data, epochs=1, weight_decay=0.0, progress=False)

    torch.testing.assert_close(trained.loss_weights, expected, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(expected, torch.ones_like(expected))
    output = untrained(data.x, data.edge_index)[data.train_mask]
    losses = F.cross_entropy(output, data.y[data.train_mask], reduction="none")
    gradient = torch.autograd.grad((expected * losses).mean(), list(untrained.parameters()))
    for parameter, wanted in zip(model.parameters(), gradient, strict=True):
        torch.testing.assert_close(parameter.grad, wanted, rtol=1e-4, atol=1e-7)
    assert trained.history.curves["loss"] == [pytest.approx(losses.mean().item())]  # unweighted


@pytest.mark.parametrize(
    "options", [{"meta": "node"}, {"meta": "class"}, {"meta": "node", "meta_objective": "conflict"}]
)
def test_a_training_has_weights_and_records_each_epoch_once(options, data):
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 8, 2, 3, dropout=0.5), **options).fit(data, epochs=8, progress=False)
    weights = trained.loss_weights
    assert weights.shape == (int(data.train_mask.sum()),)
    assert bool((weights >= 0).all())
    assert not weights.requires_grad
    assert trained.history.num_steps == 8
    assert len(trained.history.trajectories["norm"].starts) == 8
    if options["meta"] == "class":
        y = data.y[data.train_mask]
        assert all(len(weights[y == label].unique()) == 1 for label in y.unique())


def test_without_meta_there_are_no_weights(data):
    assert GraGR(GCN(5, 8, 2, 3)).fit(data, epochs=2, progress=False).loss_weights is None


def test_a_class_without_a_training_node_has_no_weight_and_does_no_harm(data):
    data.train_mask &= data.y != 1
    trained = GraGR(GCN(5, 8, 2, 3), meta="class", meta_lr=0.5).fit(data, epochs=5, progress=False)
    assert bool(trained.loss_weights.isfinite().all())


def test_frozen_parameters_take_no_part(data):
    torch.manual_seed(0)
    model = GCN(5, 8, 2, 3)
    model.convs[1].requires_grad_(False)
    before = model.convs[1].lin.weight.clone()
    trained = GraGR(model, meta="node").fit(data, epochs=3, progress=False)
    assert torch.equal(model.convs[1].lin.weight, before)
    assert bool(trained.loss_weights.isfinite().all())


def test_nodes_with_flipped_labels_weigh_less(make_data):
    """What it is for: learning to reweight, with clean validation labels."""
    torch.manual_seed(0)
    data = make_data(num_nodes=120, seed=5)
    data.x[:, :3] += 2 * F.one_hot(data.y, 3)
    flipped = torch.zeros(120, dtype=torch.bool)
    flipped[data.train_mask.nonzero().view(-1)[::3]] = True
    data.y = torch.where(flipped, (data.y + 1) % 3, data.y)
    model = GraphSAGE(5, 16, num_layers=2, out_channels=3)
    weights = GraGR(model, meta="node").fit(data, epochs=30, progress=False).loss_weights
    noisy = flipped[data.train_mask]
    assert float(weights[noisy].mean()) < 0.5 * float(weights[~noisy].mean())
