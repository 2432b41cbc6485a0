from __future__ import annotations

import copy
import os

import pytest
import torch
from influence_cases import MODELS, graph, node_gradient, recorded
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain.checkpoint import build_model
from gragr_explain.context import Influences, TrainedOn, _curvature, _jacobian, influences
from gragr_explain.datasets import load_dataset
from gragr_explain.editing import StitchedMLP
from gragr_explain.history import class_log_probs, find_history
from gragr_explain.training import GraGR

LAST = {
    "GCN": ("convs.1.",),
    "GAT": ("convs.1.",),
    "GIN": ("convs.1.",),
    "GraphSAGE": ("convs.1.", "norms.0."),
    "jumping": ("convs.2.", "lin."),
    "one layer": ("convs.0.",),
    "one score": ("convs.1.",),
}


@pytest.fixture(params=list(MODELS))
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Data, list[str]]:
    torch.manual_seed(0)
    data = graph(num_classes=2 if request.param == "one score" else 3)
    model = recorded(MODELS[request.param]().double(), data.update({"x": data.x.double()}))
    names = [name for name, _ in model.named_parameters() if name.startswith(LAST[request.param])]
    return model, data, names


def by_loops(model: nn.Module, data: Data, names: list[str], queries: list[int], target: list[int]) -> torch.Tensor:
    """TracIn by its formula, one gradient at a time."""
    history, train = find_history(model), data.train_mask.nonzero().view(-1).tolist()
    assert history is not None
    states = sorted(history.weights.items())
    total = torch.zeros(len(queries), len(train), dtype=torch.double)
    own = copy.deepcopy(model)
    for place, (step, weights) in enumerate(states):
        own.load_state_dict(weights)
        asked = [node_gradient(own, data, names, *pair) for pair in zip(queries, target, strict=True)]
        parts = torch.stack([node_gradient(own, data, names, node, int(data.y[node])) for node in train])
        before = states[place - 1][0] if place else step
        after = states[place + 1][0] if place + 1 < len(states) else step
        total += (after - before) / 2 * torch.stack(asked) @ parts.t() / len(train)
    return total


def by_inverse(model: nn.Module, data: Data, queries: list[int], target: list[int]) -> torch.Tensor:
    """Influence functions by their formula, with the whole matrix."""
    history, train = find_history(model), data.train_mask.nonzero().view(-1).tolist()
    assert history is not None
    names = [name for name, _ in model.named_parameters()]
    late = [weights for _, weights in sorted(history.weights.items())][len(history.weights) // 2 :: 2]
    total, own = torch.zeros(len(queries), len(train), dtype=torch.double), copy.deepcopy(model)
    for weights in late:
        own.load_state_dict(weights)
        log_probs = class_log_probs(own(data.x, data.edge_index)).detach()
        asked = [node_gradient(own, data, names, *pair) for pair in zip(queries, target, strict=True)]
        parts = torch.stack([node_gradient(own, data, names, node, int(data.y[node])) for node in train])
        matrix = torch.zeros(parts.size(1), parts.size(1), dtype=torch.double)
        for node in train:
            for label in range(log_probs.size(1)):
                gradient = node_gradient(own, data, names, node, label)
                matrix += log_probs[node, label].exp() * torch.outer(gradient, gradient) / len(train)
        matrix += 3e-4 * matrix.trace() * torch.eye(len(matrix))
        total += torch.stack(asked) @ torch.linalg.inv(matrix) @ parts.t() / len(train) / len(late)
    return total


@pytest.mark.parametrize("curvature", [True, False])
def test_scores_are_what_their_formulas_give(case, curvature: bool) -> None:
    model, data, names = case
    queries, target = [3, 8, 29], [0, 1, 1]
    found = influences(model, data, queries, target=target, curvature=curvature)
    assert found.index.tolist() == queries
    assert found.target.tolist() == target
    assert found.train.tolist() == data.train_mask.nonzero().view(-1).tolist()
    assert torch.equal(found.label, data.y[data.train_mask])
    given = model, data, queries, target
    expected = by_inverse(*given) if curvature else by_loops(model, data, names, queries, target)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found.scores, expected, rtol=1e-6, atol=1e-8 * float(expected.abs().max()))


def test_products_are_captums_where_rows_are_independent() -> None:
    """On a graph without edges, a GCN is an MLP."""
    captum = pytest.importorskip("captum.influence")
    torch.manual_seed(0)
    data = graph(edges=0)
    model = recorded(GCN(5, 6, num_layers=2, out_channels=3, bias=False), data)
    history = find_history(model)
    steps = sorted(history.weights)
    count = [(after - before) / 2 for before, after in zip([steps[0], *steps], [*steps[1:], steps[-1]], strict=False)]
    mlp = nn.Sequential(nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False)).eval()

    def load(module, step):
        weights = history.weights[step]
        module.load_state_dict({"0.weight": weights["convs.0.lin.weight"], "2.weight": weights["convs.1.lin.weight"]})
        return count[steps.index(step)]

    train = data.train_mask.nonzero().view(-1)
    tracer = captum.TracInCPFast(
        mlp,
        mlp[2],
        torch.utils.data.TensorDataset(data.x[train], data.y[train]),
        steps,
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=4,
    )
    expected = tracer.influence((data.x, data.y)) / len(train)
    found = influences(model, data, target=data.y, curvature=False)
    torch.testing.assert_close(found.scores, expected.detach(), rtol=1e-4, atol=1e-6)


def test_the_same_for_one_as_for_all_and_in_every_call(case) -> None:
    model, data, _ = case
    whole = influences(model, data)
    assert torch.equal(whole.scores, influences(model, data).scores)
    assert torch.equal(whole.target, class_log_probs(model(data.x, data.edge_index)).argmax(-1))
    ready = TrainedOn(model, data)
    for node in (0, 17):
        torch.testing.assert_close(ready.influences(node).scores[0], whole.scores[node])
    mask = torch.zeros(30, dtype=torch.bool)
    mask[[4, 9]] = True
    torch.testing.assert_close(ready.influences(mask).scores, whole.scores[[4, 9]])
    assert ready.influences([]).scores.shape == (0, int(data.train_mask.sum()))


def test_nothing_is_left_on_the_model(case) -> None:
    model, data, _ = case
    model.train()
    model.convs[0].eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    influences(model, data, 0)
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


class Largest(TorchDispatchMode):
    """The size of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        for part in out if isinstance(out, tuple | list) else [out]:
            if isinstance(part, torch.Tensor) and part.is_contiguous():
                self.size = max(self.size, part.numel())
        return out


def test_memory_does_not_grow_with_the_number_of_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    data = graph(num_nodes=300, edges=600)
    model = recorded(GCN(5, 6, num_layers=2, out_channels=3), data)
    whole = influences(model, data)
    monkeypatch.setattr(_jacobian, "_MOST_ENTRIES", 2**13)
    with Largest() as largest:
        again = influences(model, data)
    assert largest.size <= max(whole.scores.numel(), 2**14)
    torch.testing.assert_close(again.scores, whole.scores)
    with Largest() as largest:
        influences(model, data, range(40))
    assert largest.size <= 2**14


def test_few_directions_hold_nearly_all_of_the_curvature(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    data = graph(num_nodes=120, edges=240)
    model = recorded(GCN(5, 40, num_layers=2, out_channels=3), data, epochs=60)
    found = []
    for count in (8, 64, 1000):
        monkeypatch.setattr(_curvature, "_MOST_DIRECTIONS", count)
        found.append(influences(model, data, ~data.train_mask).scores)
    few, some, all_ = (each.flatten() for each in found)
    assert torch.nn.functional.cosine_similarity(some, all_, dim=0) > 0.95
    assert torch.nn.functional.cosine_similarity(few, all_, dim=0) < 0.95


def test_a_model_whose_training_was_not_recorded() -> None:
    torch.manual_seed(0)
    data = graph()
    model = recorded(GCN(5, 6, num_layers=2, out_channels=3), data)
    history = find_history(model)
    own = {name: value.clone() for name, value in model.state_dict().items()}
    history.weights = dict.fromkeys(range(4), own)
    expected = influences(model, data, [3, 4]).scores
    del model.gradient_history
    torch.testing.assert_close(influences(model, data, [3, 4]).scores, expected)


def test_a_wrong_label_speaks_against_what_is_right() -> None:
    torch.manual_seed(0)
    data = graph(num_nodes=60, edges=40)
    right = data.y.clone()
    data.y = data.y.clone()
    flipped = data.train_mask.nonzero().view(-1)[:3]
    data.y[flipped] = (data.y[flipped] + 1) % 3
    model = recorded(GCN(5, 6, num_layers=2, out_channels=3), data, epochs=60)
    found = influences(model, data, ~data.train_mask, target=right[~data.train_mask])
    mean, is_flipped = found.scores.mean(0), torch.isin(found.train, flipped)
    assert float(mean[is_flipped].mean()) < float(mean[~is_flipped].mean()) - float(mean[~is_flipped].std())
    assert int(found.train[mean.argmin()]) in flipped.tolist()


def test_scores_foretell_retraining() -> None:
    data = graph(num_nodes=60, edges=60)

    def retrained(mask: torch.Tensor) -> nn.Module:
        torch.manual_seed(0)
        changed = data.clone()
        changed.train_mask = mask
        return recorded(GCN(5, 16, num_layers=2, out_channels=3), changed, epochs=60)

    model = retrained(data.train_mask)
    found = influences(model, data, ~data.train_mask)
    before = class_log_probs(model(data.x, data.edge_index)).detach()
    rises = []
    for node in found.train.tolist():
        mask = data.train_mask.clone()
        mask[node] = False
        after = class_log_probs(retrained(mask)(data.x, data.edge_index)).detach()
        rises.append((before - after)[found.index, found.target])
    truth = torch.stack(rises, dim=1)
    ranks = torch.stack([found.scores, truth]).argsort(dim=-1).argsort(dim=-1).double()
    ranks = torch.nn.functional.normalize(ranks - ranks.mean(-1, keepdim=True), dim=-1)
    assert float((ranks[0] * ranks[1]).sum(-1).mean()) > 0.4
    assert float((found.scores * truth).sum()) > 0


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN", "GraphSAGE"])
def test_on_real_data_labels_speak_for_their_own_class(name: str) -> None:
    if "GRAGR_DATA" not in os.environ:
        pytest.skip("GRAGR_DATA names no folder of data sets")
    data = load_dataset("Texas").data
    data.x = data.x[:, data.x.sum(0).topk(64).indices].contiguous()
    torch.manual_seed(0)
    model = recorded(build_model(name, 64, 5, hidden_channels=16), data, epochs=30)
    found = influences(model, data, data.test_mask)
    same = found.label == found.target.unsqueeze(1)
    assert bool(found.scores.isfinite().all())
    assert float(found.scores[same].mean()) > 0 > float(found.scores[~same].mean())


def test_proponents_and_opponents_are_sorted_and_of_their_sign() -> None:
    scores = torch.tensor([[0.5, -2.0, 0.0, 3.0, -1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    train = torch.tensor([10, 11, 12, 13, 14])
    found = Influences(torch.tensor([7, 8]), torch.tensor([0, 1]), train, train % 2, scores)
    assert found.proponents() == [(13, 3.0), (10, 0.5)]
    assert found.opponents() == [(11, -2.0), (14, -1.0)]
    assert found.proponents(count=1) == [(13, 3.0)]
    assert found.proponents(1, 2) == [(10, 1.0), (11, 1.0)]  # of equal ones, the first
    assert found.opponents(1) == []


def test_a_model_that_wraps_the_recorded_one() -> None:
    torch.manual_seed(0)
    data = graph()
    trained = GraGR(GCN(5, 6, num_layers=2, out_channels=3)).fit(data, epochs=12, progress=False)
    torch.testing.assert_close(influences(trained, data, 1).scores, influences(trained.model, data, 1).scores)


def test_a_frozen_layer_is_left_out() -> None:
    torch.manual_seed(0)
    data = graph()
    model = GCN(5, 6, num_layers=2, out_channels=3)
    model.convs[1].requires_grad_(False)
    recorded(model, data)
    names = ["convs.0.bias", "convs.0.lin.weight"]
    expected = by_loops(model, data, names, [2], [1])
    found = influences(model, data, 2, target=1, curvature=False)
    torch.testing.assert_close(found.scores.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("curvature", [True, False])
def test_a_pathway_that_has_opened(curvature: bool) -> None:
    """The pathway is part of what is trained, and at each recorded step it is as open as it was."""
    data = graph()
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 6, num_layers=2, out_channels=3), pathway=True, pathway_threshold=0.0, pathway_epochs=2)
    trained.fit(data, epochs=40, progress=False)
    assert float(trained.pathway.beta) == 1
    found = influences(trained, data, 3, curvature=curvature).scores
    assert bool(found.isfinite().all())
    assert bool(found.any())


def test_a_wrapper_with_weights_of_its_own() -> None:
    """They are as they are now."""
    data = graph()
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 6, num_layers=2, out_channels=3)).fit(data, epochs=20, progress=False)
    found = influences(StitchedMLP(trained, data), data, 3).scores
    assert bool(found.isfinite().all())


def test_a_parameter_of_no_dimension() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gnn, self.scale = GCN(5, 6, num_layers=2, out_channels=3), nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.scale * self.gnn(x, edge_index)

    data = graph()
    assert influences(Scaled(), data).scores.shape == (30, int(data.train_mask.sum()))
