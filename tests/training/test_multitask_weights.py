"""The mathematics of task weights and task conflicts."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_multitask import make_graphs, make_model
from torch.func import functional_call

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.field import task_conflict_energy
from gragr_explain.history import message_passing_layers
from gragr_explain.training.multitask._batches import check_graphs, collate, task_losses
from gragr_explain.training.multitask._fields import project_tasks, task_context
from gragr_explain.training.multitask._gradnorm import GradNorm
from gragr_explain.training.multitask._weights import (
    descend,
    task_conflict_hypergradient,
    task_fields,
    task_validation_hypergradient,
)


def batch_of(graphs, model):
    for graph in graphs:
        graph.x = graph.x.double()
    return collate(graphs, check_graphs(graphs, model.num_classes, "training"), range(len(graphs)), 99, model)[0]


@pytest.mark.parametrize("pool", ["mean", "sum", "max"])
@pytest.mark.parametrize("unlabelled", [False, True])
def test_validation_hypergradient_is_the_finite_difference_of_one_step(pool, unlabelled):
    model = make_model(pool=pool).double()
    graphs = make_graphs(6)
    if unlabelled:
        for graph in graphs:
            graph.y[0, 2] = -1
    train, val = batch_of(graphs, model), batch_of(make_graphs(6, seed=1), model)
    weights, step_size = torch.tensor([1.4, 0.7, 0.9], dtype=torch.double), 0.05
    before = [parameter.clone() for parameter in model.parameters()]
    found = task_validation_hypergradient(model, train, val, weights, step_size)
    assert model.training
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())

    encoder = dict(model.encoder.named_parameters())

    def after_step(gamma):
        losses = task_losses(model(train.x, train.edge_index, train.batch), train)
        total = sum(g * loss for g, loss in zip(gamma, losses, strict=True)) / 3
        gradients = torch.autograd.grad(total, list(encoder.values()))
        moved = {f"encoder.{n}": p - step_size * g for (n, p), g in zip(encoder.items(), gradients, strict=True)}
        losses = task_losses(functional_call(model, moved, (val.x, val.edge_index, val.batch)), val)
        return float(sum(losses).detach()) / 3

    model.eval()
    for task in range(3):
        nudge = torch.zeros(3, dtype=torch.double)
        nudge[task] = 1e-4
        expected = (after_step(weights + nudge) - after_step(weights - nudge)) / 2e-4
        assert float(found[task]) == pytest.approx(expected, rel=1e-3, abs=1e-9)
    assert (float(found[2]) == 0) == unlabelled


def test_conflict_hypergradient_is_the_derivative_of_the_conflict():
    fields = torch.randn(4, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    weights = torch.tensor([0.5, 1.5, 1.2, 0.8], dtype=torch.double, requires_grad=True)
    flat = (weights.view(-1, 1, 1) * fields).flatten(1)
    loss = torch.triu((-(flat @ flat.T)).clamp(min=0), diagonal=1).sum()
    (expected,) = torch.autograd.grad(loss, weights)
    assert float(expected.abs().sum()) > 0
    torch.testing.assert_close(task_conflict_hypergradient(fields, weights.detach()), expected)


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6), st.floats(0, 3))
def test_descent_keeps_weights_positive_and_their_mean(hypergradient, rate):
    slope = torch.tensor(hypergradient, dtype=torch.double)
    weights = torch.linspace(0.5, 1.5, len(slope), dtype=torch.double)
    moved = descend(weights, slope, rate)
    assert bool((moved > 0).all())
    assert float(moved.mean()) == pytest.approx(1)
    if 1e-3 < rate < 0.1 and float(slope.std()) > 1e-3:
        low, high = int(slope.argmin()), int(slope.argmax())
        assert moved[low] / weights[low] > moved[high] / weights[high]


def test_descent_finds_the_best_weights_of_a_quadratic():
    """Theorem 2: on L_val = |mean(gamma_i a_i) - b|^2, whose optimum is known."""
    targets, wanted = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.7, 0.3])
    weights = torch.ones(2)
    for step in range(400):
        slope = targets @ (weights @ targets / 2 - wanted)
        weights = descend(weights, slope, 0.1 / (1 + step))
    torch.testing.assert_close(weights, torch.tensor([1.4, 0.6]), atol=0.02, rtol=0)


def test_one_task_has_nothing_to_be_weighed_against():
    with pytest.raises(InvalidArgumentError, match="two tasks or more to weigh, got 1"):
        descend(torch.ones(1), torch.ones(1), 0.1)


@given(st.integers(2, 5), st.integers(1, 6), st.integers(0, 1000), st.floats(-0.5, 0))
def test_projection_removes_what_opposes_and_nothing_else(num_tasks, rows, seed, tau_cos):
    fields = torch.randn(num_tasks, rows, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.double)
    context = task_context(fields)
    projected, conflict = project_tasks(fields, tau_cos)
    cosine = torch.cosine_similarity(fields, context, dim=-1)
    assert torch.equal(conflict, cosine < tau_cos)
    assert torch.equal(projected[~conflict], fields[~conflict])
    inner = torch.linalg.vecdot(projected, context)[conflict]
    torch.testing.assert_close(inner, torch.zeros_like(inner), atol=1e-9, rtol=0)
    assert bool((projected.norm(dim=-1) <= fields.norm(dim=-1) + 1e-9).all())


def test_projection_of_two_opposed_tasks_ends_their_conflict():
    fields = torch.tensor([[[1.0, 0.2]], [[-1.0, 0.2]]])
    projected, _ = project_tasks(fields)
    assert float(task_conflict_energy(fields)) > 0.9
    assert float(task_conflict_energy(projected)) == 0


def test_projection_wants_two_tasks():
    with pytest.raises(InvalidGraphError, match=r"two tasks or more, got \[1, 4, 3\]"):
        project_tasks(torch.rand(1, 4, 3))


def test_task_fields_are_the_gradients_of_the_losses():
    model = make_model().double()
    batch = batch_of(make_graphs(5), model)
    shared = model.represent(batch.x, batch.edge_index, batch.batch, batch.num_graphs)
    losses = task_losses([head(shared) for head in model.heads], batch)
    expected = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0] for loss in losses])
    torch.testing.assert_close(task_fields(model, shared, batch), expected)


def test_gradnorm_pulls_gradient_norms_towards_their_targets():
    model = make_model()
    with torch.no_grad():
        model.heads[2].weight *= 20  # a task whose gradients drown the others
    graphs = make_graphs(6)
    batch = collate(graphs, check_graphs(graphs, model.num_classes, "training"), range(6), 6, model)[0]
    losses = task_losses(model(batch.x, batch.edge_index, batch.batch), batch)
    layer = list(message_passing_layers(model.encoder)[-1].parameters())
    norms = torch.stack(
        [
            torch.cat([g.flatten() for g in torch.autograd.grad(loss, layer, retain_graph=True)]).norm()
            for loss in losses
        ]
    )
    weights = torch.ones(3, requires_grad=True)
    target = norms.mean()  # in the first step all tasks have trained equally far
    (expected,) = torch.autograd.grad((weights * norms - target).abs().sum(), weights)
    balancer = GradNorm(model)
    balancer.backward(batch)
    torch.testing.assert_close(balancer.weights.grad, expected)
    assert expected.tolist()[2] > 0
    assert balancer.weights.argmin() == 2
    assert float(balancer.weights.mean()) == pytest.approx(1)


def test_gradnorm_speeds_up_the_tasks_that_have_learned_least():
    """Relative to the losses at the beginning: that of the first task has trebled."""
    model = make_model().double()
    batch = batch_of(make_graphs(6), model)
    losses = torch.stack(task_losses(model(batch.x, batch.edge_index, batch.batch), batch))
    layer = list(message_passing_layers(model.encoder)[-1].parameters())
    gradients = [torch.autograd.grad(loss, layer, retain_graph=True) for loss in losses]
    norms = torch.stack([torch.cat([part.flatten() for part in each]).norm() for each in gradients])
    rate = torch.tensor([3.0, 1.0, 1.0], dtype=torch.double)
    target = norms.mean() * (rate / rate.mean()) ** 1.5
    balancer = GradNorm(model)
    balancer.start = losses.detach() / rate
    balancer.backward(batch)
    torch.testing.assert_close(balancer.weights.grad, (norms - target).sign() * norms)
    assert balancer.weights.argmax() == 0
    torch.testing.assert_close(balancer.start, losses.detach() / rate)  # what they began with stays
