"""Training for several tasks: every method learns, repeats itself, and copes with missing labels."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GIN, GINEConv

from gragr_explain.training import MULTITASK_METHODS as METHODS
from gragr_explain.training import MultiTaskModel, train_multitask
from gragr_explain.training._schedule import AdaptiveScheduler
from gragr_explain.training.multitask import _gragr
from gragr_explain.training.multitask._balancing import Average
from gragr_explain.training.multitask._batches import check_graphs, collate, task_losses
from gragr_explain.training.multitask._fields import project_tasks
from gragr_explain.training.multitask._gragr import GraGRTasks
from gragr_explain.training.multitask._loop import TaskLoop
from gragr_explain.training.multitask._weights import task_fields, task_validation_hypergradient


def make_graphs(count: int = 24, seed: int = 0) -> list[Data]:
    """Rings and paths of five to eight nodes: is it a ring, is it large, and which colour is the commonest of three."""
    generator = torch.Generator().manual_seed(seed)
    graphs = []
    for index in range(count):
        nodes = int(torch.randint(5, 9, (), generator=generator))
        ring, colour = index % 2, index % 3
        ends = torch.arange(nodes if ring else nodes - 1)
        edges = torch.stack([ends, (ends + 1) % nodes])
        x = 0.3 * torch.randn(nodes, 3, generator=generator)
        x[:, colour] += 1
        graphs.append(
            Data(x=x, edge_index=torch.cat([edges, edges.flip(0)], 1), y=torch.tensor([[ring, int(nodes > 6), colour]]))
        )
    return graphs


def make_model(seed: int = 0, **settings) -> MultiTaskModel:
    torch.manual_seed(seed)
    return MultiTaskModel(GIN(3, 16, 2, 16), 16, [2, 2, 3], **({"pool": "sum"} | settings))


def needs(method: str) -> None:
    packages = {"cagrad": ["cvxpy", "clarabel"], "nash-mtl": ["cvxpy", "ecos"], "upgrad": ["qpsolvers", "quadprog"]}
    if method not in ("gragr", "gragr++", "average", "gradnorm"):
        for name in ["torchjd", *packages.get(method, [])]:
            pytest.importorskip(name)


def equal(first: MultiTaskModel, second: MultiTaskModel) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_learns_all_tasks(method):
    needs(method)
    graphs, model = make_graphs(), make_model()
    batch = collate(graphs, check_graphs(graphs, model.num_classes, "training"), range(len(graphs)), 99, model)[0]
    before = torch.stack(task_losses(model(batch.x, batch.edge_index, batch.batch), batch))
    result = train_multitask(model, graphs, graphs, method=method, epochs=30, batch_size=12, progress=False)
    after = torch.stack(task_losses(model(batch.x, batch.edge_index, batch.batch), batch))
    assert bool((after < before).all())
    assert result.curves["loss"][-1] < 0.7 * result.curves["loss"][0]
    assert max(result.curves["val_acc"]) == result.curves["val_acc"][result.best_epoch] > 0.8
    assert {len(curve) for curve in result.curves.values()} == {30}
    assert result.task_weights.shape == (3,)
    assert float(result.task_weights.mean()) == pytest.approx(1, abs=1e-4)
    assert not model.training


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("method", METHODS)
def test_tasks_without_labels_contribute_nothing(method):
    needs(method)
    graphs = make_graphs(12)
    for index, graph in enumerate(graphs):
        graph.y = graph.y.float()
        graph.y[0, 1] = torch.nan  # nobody has a label for the second task
        if index >= 6:
            graph.y[0, 0] = -1  # and some batches have none for the first
    model = make_model()
    head = [parameter.clone() for parameter in model.heads[1].parameters()]
    result = train_multitask(
        model, graphs, make_graphs(6, seed=1), method=method, epochs=3, batch_size=2, weight_decay=0, progress=False
    )
    assert all(bool(torch.tensor(result.curves[name]).isfinite().all()) for name in ("loss", "val_loss", "val_acc"))
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())
    if method != "gragr++":  # which may go on from other weights than it was given
        assert all(torch.equal(a, b) for a, b in zip(head, model.heads[1].parameters(), strict=True))


class OfEdges(nn.Module):
    """An encoder that sees only the edges."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GINEConv(nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16)), edge_dim=2)

    def forward(self, x, edge_index, edge_attr):
        return self.conv(torch.zeros_like(x), edge_index, edge_attr)


@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem")
@pytest.mark.parametrize("method", METHODS)
def test_attributes_of_edges_are_learned_from(method):
    needs(method)
    graphs = make_graphs(12)
    for graph in graphs:
        graph.edge_attr = torch.nn.functional.one_hot(graph.y[0, :2], 2)[0].float().expand(graph.num_edges, -1)
        graph.y = torch.stack([graph.y[:, 0], 1 - graph.y[:, 0]], 1)
    torch.manual_seed(0)
    model = MultiTaskModel(OfEdges(), 16, [2, 2])
    result = train_multitask(model, graphs, graphs, method=method, epochs=40, batch_size=6, progress=False)
    assert result.curves["val_acc"][result.best_epoch] == 1
    scores = model(graphs[0].x, graphs[0].edge_index, edge_attr=graphs[0].edge_attr)
    assert [int(each.argmax()) for each in scores] == graphs[0].y[0].tolist()


def test_weights_of_edges_are_learned_from():
    graphs = make_graphs(8)
    weighted = [graph.clone() for graph in graphs]
    for graph in weighted:
        graph.edge_weight = torch.rand(graph.num_edges)
    models = []
    for some in (graphs, weighted):
        torch.manual_seed(0)
        models.append(MultiTaskModel(GCN(3, 8, 2, 8), 8, [2, 2, 3]))
        train_multitask(models[-1], some, some, epochs=2, progress=False)
    assert not equal(*models)


def test_a_batch_without_any_label_changes_nothing():
    graphs = make_graphs(4)
    for graph in graphs:
        graph.y = torch.full((1, 3), -1)
    for method in ("average", "gragr", "gradnorm"):
        model, untouched = make_model(), make_model()
        train_multitask(
            model, graphs, make_graphs(4), method=method, epochs=2, batch_size=2, weight_decay=0, progress=False
        )
        assert equal(model, untouched)


@pytest.mark.parametrize("method", ["gragr", "gragr++", "average", "gradnorm"])
def test_the_same_seed_gives_the_same_weights(method):
    graphs, models = make_graphs(), []
    for noise in (1, 2, 3):
        model = make_model()
        model.encoder.dropout.p = 0.2
        torch.manual_seed(noise)
        seed = 1 if noise == 3 else 0
        train_multitask(model, graphs, graphs, method=method, epochs=4, batch_size=8, seed=seed, progress=False)
        models.append(model)
        torch.manual_seed(noise)
    assert equal(models[0], models[1])
    assert not equal(models[0], models[2])


@pytest.mark.parametrize("settings", [{}, {"meta": "conflict"}, {"method": "gradnorm"}, {"method": "average"}])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_other_precisions_and_poolings(settings, pool):
    graphs, model = make_graphs(), make_model(pool=pool).double()
    for graph in graphs:
        graph.x = graph.x.double()
    result = train_multitask(model, graphs, graphs, epochs=10, batch_size=12, progress=False, **settings)
    assert result.curves["loss"][-1] < result.curves["loss"][0]
    assert all(parameter.dtype == torch.double for parameter in model.parameters())


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    model = make_model(seed=5)
    torch.manual_seed(5)
    train_multitask(model, make_graphs(4), make_graphs(4), epochs=2, progress=False)
    assert torch.equal(torch.rand(3), expected)


def test_average_is_the_gradient_of_the_mean_loss():
    """One step with gradient descent in Adam's place: the encoder follows the mean, each head its own task."""
    graphs, model = make_graphs(8), make_model()
    batch = collate(graphs, check_graphs(graphs, model.num_classes, "training"), range(8), 8, model)[0]
    losses = task_losses(model(batch.x, batch.edge_index, batch.batch), batch)
    encoder = torch.autograd.grad(sum(losses) / 3, list(model.encoder.parameters()), retain_graph=True)
    heads = torch.autograd.grad(sum(losses), list(model.heads.parameters()))
    plain = GraGRTasks(model, [], meta=None, meta_lr=0, step_size=0.1, tau_cos=-0.1, correct=False)
    for balancer in (Average(model), plain):
        model.zero_grad()
        balancer.backward(batch)
        for parameter, expected in zip(model.encoder.parameters(), encoder, strict=True):
            torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)
        for parameter, expected in zip(model.heads.parameters(), heads, strict=True):
            torch.testing.assert_close(parameter.grad, expected, atol=1e-6, rtol=1e-4)


def test_gragr_passes_the_encoder_backward_once():
    graphs = make_graphs(8)
    model = make_model()
    passes = []
    model.encoder.convs[0].nn.lins[0].weight.register_hook(lambda gradient: passes.append(1))
    train_multitask(model, graphs, method="gragr", meta="conflict", epochs=1, batch_size=8, progress=False)
    assert len(passes) == 1


def test_selection_takes_the_seed_of_the_lowest_validation_loss():
    graphs = make_graphs()
    model = MultiTaskModel(GCN(3, 8, 2, 8), 8, [2, 2, 3])
    seen = []
    original = TaskLoop.again

    def again(self, seed):
        loop = original(self, seed)
        seen.append(loop)
        return loop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaskLoop, "again", again)
        result = train_multitask(model, graphs, graphs, method="average", epochs=10, num_seeds=3, progress=False)
    epochs = min(len(loop.curves["val_loss"]) for loop in seen)
    alone = [loop.curves["val_loss"][epochs - 1] for loop in seen]
    chosen = min(range(3), key=lambda place: alone[place])
    assert len(seen) == 3
    assert result.curves["val_loss"][epochs - 1] == alone[chosen]
    assert len(result.curves["loss"]) == 10
    assert result.selection_seconds > 0


@pytest.mark.parametrize("norm", ["GraphNorm", "InstanceNorm", "BatchNorm"])
def test_what_is_said_of_a_graph_does_not_hang_on_its_batch(norm):
    graphs = make_graphs(6)
    for place, graph in enumerate(graphs):
        graph.x += 3 * place
    model = MultiTaskModel(GCN(3, 8, 2, norm=norm), 8, [2, 2, 3])
    train_multitask(model, graphs, graphs, epochs=2, meta=None, progress=False)
    labels = check_graphs(graphs, model.num_classes, "training")
    together = collate(graphs, labels, range(6), 99, model)[0]
    for place, graph in enumerate(graphs):
        for mine, all_of_them in zip(model(graph.x, graph.edge_index), together.logits(model), strict=True):
            torch.testing.assert_close(mine[0], all_of_them[place], rtol=1e-4, atol=1e-5)


def test_layers_get_their_shapes_from_the_graphs():
    model = MultiTaskModel(GCN(-1, 8, 2), 8, [2, 2, 3])
    result = train_multitask(model, make_graphs(), make_graphs(), epochs=3, progress=False)
    assert len(result.curves["loss"]) == 3


def test_training_needs_no_gradients_from_outside():
    plain, model = make_model(), make_model()
    train_multitask(plain, make_graphs(), make_graphs(), epochs=3, progress=False)
    with torch.no_grad():
        train_multitask(model, make_graphs(), make_graphs(), epochs=3, progress=False)
    assert equal(plain, model)


def test_a_large_seed_selects_among_seeds_too():
    train_multitask(
        make_model(), make_graphs(8), make_graphs(8), method="gragr++", epochs=3, seed=2**62, progress=False
    )


def one_batch(graphs, model):
    return collate(graphs, check_graphs(graphs, model.num_classes, "training"), range(len(graphs)), 99, model)[0]


def corrected(model, **options):
    """GraGR without weights, for a threshold that most pairs of tasks are below."""
    settings = {"meta": None, "meta_lr": 0, "step_size": 0.1, "tau_cos": 0.9, "correct": True}
    return GraGRTasks(model, [], **{**settings, **options})


def test_the_encoder_follows_the_projected_gradients_of_the_tasks():
    """Of one layer, no gradient of a node is corrected."""
    torch.manual_seed(0)
    model = MultiTaskModel(GIN(3, 16, 1), 16, [2, 2, 3], pool="sum")
    batch = one_batch(make_graphs(8), model)
    shared = batch.represented(model)
    fields = task_fields(model, shared, batch)
    projected, _ = project_tasks(fields, 0.9)
    assert not torch.allclose(projected, fields)
    expected = torch.autograd.grad(shared, list(model.encoder.parameters()), projected.sum(0) / 3)
    corrected(model).backward(batch)
    for parameter, gradient in zip(model.encoder.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize(("pool", "layers"), [("mean", 1), ("sum", 1), ("max", 2)])
def test_the_gradients_of_nodes_are_corrected_where_they_can_differ(pool, layers, monkeypatch):
    """At the last layer, all nodes of a graph have the same gradient, unless the largest is taken of them."""
    fields = []
    monkeypatch.setattr(_gragr, "correct_field", lambda field, *_: (fields.append(field), (0 * field, None))[1])
    model = make_model(pool=pool)
    corrected(model).backward(one_batch(make_graphs(8), model))
    assert len(fields) == layers
    assert not any(bool(parameter.grad.any()) for parameter in model.encoder.convs[0].parameters())
    assert any(bool(parameter.grad.any()) for parameter in model.encoder.convs[1].parameters()) == (layers == 1)


def test_one_in_eight_steps_has_a_hypergradient(monkeypatch):
    slopes = []
    monkeypatch.setattr(_gragr, "task_validation_hypergradient", lambda *_: (slopes.append(1), torch.zeros(3))[1])
    model = make_model()
    batch = one_batch(make_graphs(4), model)
    balancer = GraGRTasks(model, [batch], meta="validation", meta_lr=0.1, step_size=0.1, tau_cos=-0.1, correct=False)
    counts = []
    for _ in range(17):
        balancer.backward(batch)
        counts.append(len(slopes))
    assert counts == [1] * 8 + [2] * 8 + [3]


def test_a_task_without_labels_in_a_batch_is_one_of_those_the_loss_is_the_mean_of():
    graphs, model = make_graphs(8), make_model()
    for graph in graphs:
        graph.y[0, 1] = -1
    batch = one_batch(graphs, model)
    losses = task_losses(model(batch.x, batch.edge_index, batch.batch), batch)
    expected = torch.autograd.grad((losses[0] + losses[2]) / 3, list(model.encoder.parameters()))
    for balancer in (Average(model), corrected(model, correct=False)):
        model.zero_grad()
        balancer.backward(batch)
        for parameter, gradient in zip(model.encoder.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, atol=1e-6, rtol=1e-4)


def test_accuracy_is_the_mean_over_tasks_however_few_labels_one_has():
    graphs, model = make_graphs(12), make_model()
    for graph in graphs[1:]:
        graph.y[0, 0] = -1
    batch = one_batch(graphs, model)
    hits = [scores.argmax(-1) == y for scores, y in zip(batch.logits(model.eval()), batch.y, strict=True)]
    labelled = [float(right[y >= 0].float().mean()) for right, y in zip(hits, batch.y, strict=True)]
    _, accuracy = TaskLoop(model, [batch], [batch], 0.01, 0.0).judge([batch])
    assert accuracy == pytest.approx(sum(labelled) / 3)


def test_a_seed_without_a_finite_validation_loss_is_not_chosen(monkeypatch):
    graphs, judged = make_graphs(8), []
    judge = TaskLoop.judge

    def lost(self, batches):
        judged.append(id(self))
        loss, accuracy = judge(self, batches)
        return (math.nan, accuracy) if id(self) == judged[0] else (loss, accuracy)

    monkeypatch.setattr(TaskLoop, "judge", lost)
    result = train_multitask(make_model(), graphs, graphs, method="average", epochs=4, num_seeds=3, progress=False)
    assert all(math.isfinite(loss) for loss in result.curves["val_loss"])


def test_the_hypergradient_is_of_the_model_without_dropout():
    model = make_model().train()
    model.encoder.dropout.p = 0.5
    batch = one_batch(make_graphs(8), model)
    first, second = (task_validation_hypergradient(model, batch, batch, torch.ones(3), 0.1) for _ in range(2))
    assert torch.equal(first, second)
    assert model.training


def test_epochs_train_with_dropout_and_are_judged_without():
    model, modes = make_model(), []
    model.encoder.dropout.p = 0.5
    batch = one_batch(make_graphs(8), model)

    class Watching(Average):
        def backward(self, batch):
            modes.append(self.model.training)
            return super().backward(batch)

    loop = TaskLoop(model, [batch], [batch], 0.01, 0.0)
    assert loop.judge([batch]) == loop.judge([batch])
    loop.epoch(Watching(model), 0)
    assert modes == [True]


def test_tasks_without_labels_keep_their_weight_and_the_others_their_sum():
    balancer = corrected(make_model(), meta_lr=0.5)
    balancer.weights = torch.tensor([1.5, 0.9, 0.6])
    first, second, third = balancer._descend(torch.tensor([1.0, 7.0, -1.0]), [0, 2]).tolist()
    assert second == pytest.approx(0.9)
    assert first + third == pytest.approx(2.1)
    assert first < 1.5
    assert torch.equal(balancer._descend(torch.tensor([1.0, 7.0, -1.0]), [2]), balancer.weights)


def test_until_a_scheduler_opens_the_mean_is_descended():
    model, steps = make_model(), []
    batch = one_batch(make_graphs(8), model)

    class Watching(Average):
        def backward(self, batch):
            steps.append(loop.done)
            return super().backward(batch)

    loop = TaskLoop(model, [batch], [batch], 0.01, 0.0)
    loop.run(Watching(model), 5, AdaptiveScheduler(threshold=1e9, min_epochs=3), None)
    assert steps == [3, 4]
