"""Edits of real models: they correct, keep, can be undone, and never leave half of their work behind."""

from __future__ import annotations

import copy
import os
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from edited_models import GNNS, assert_same, other_class, scores, state_of, three_classes, trained
from torch import nn
from torch_geometric.nn import GCN

from gragr_explain import GraGR
from gragr_explain.datasets import load_dataset
from gragr_explain.editing import StitchedMLP, edit, edit_independently, edit_sequence, node_subsets
from gragr_explain.editing import _descent as descent
from gragr_explain.editing import _edit as editing
from gragr_explain.errors import EditingError

METHODS = ["gre+", "gre", "gd"]


@pytest.mark.parametrize("method", METHODS)
def test_every_kind_of_model_is_corrected_and_put_back(any_model, data, method):
    scores(any_model, data).sum().backward()  # gradients of the user's own
    before = state_of(any_model)
    node = int((~data.train_mask).nonzero()[0])
    target = other_class(any_model, data, node)
    done = edit(any_model, data, node, target, method=method, num_subsets=4)
    assert done.success
    assert done.steps >= 1
    assert int(scores(any_model, data)[node].argmax()) == target
    assert done.change > 0
    assert (node, done.prediction_before[node], target) in done.flips
    now = state_of(any_model)
    for name in before:
        if not name.startswith("parameter"):  # running means of a norm, gradients of the user's own
            assert torch.equal(before[name], now[name]), name
    done.undo()
    assert_same(before, any_model)
    done.undo()  # nothing is left to undo
    assert_same(before, any_model)


def test_what_an_edit_reports_is_what_happened(gcn, data, wrong):
    before = scores(gcn, data)
    done = edit(gcn, data, wrong[:2], data.y[wrong[:2]])
    after = scores(gcn, data)
    assert torch.equal(done.prediction_before, before.argmax(-1))
    assert torch.equal(done.prediction_after, after.argmax(-1))
    torch.testing.assert_close(done.probs_before, before.softmax(-1)[wrong[:2]])
    torch.testing.assert_close(done.probs_after, after.softmax(-1)[wrong[:2]])
    rows = [(node, int(before[node].argmax()), int(after[node].argmax())) for node in range(len(data.y))]
    assert done.flips == [row for row in rows if row[1] != row[2]]
    counted = data.test_mask.clone()
    counted[wrong[:2]] = False
    accuracies = [100 * float((each.argmax(-1) == data.y)[counted].double().mean()) for each in (before, after)]
    assert done.accuracy_before == pytest.approx(accuracies[0])
    assert done.drawdown == pytest.approx(accuracies[0] - accuracies[1])
    assert repr(done).startswith(f"Edit(index={wrong[:2]}, ")
    assert repr(done).endswith(f"flips={len(done.flips)}, drawdown={done.drawdown})")


def test_a_rewired_step_keeps_every_subset_to_first_order(gcn, data, wrong, monkeypatch):
    """Against finite differences: along each step of GRE+, no loss of a subset of the other nodes rises."""
    node = wrong[0]
    labels = scores(gcn, data).argmax(-1)
    labels[data.train_mask] = data.y[data.train_mask]
    subsets = node_subsets(labels, torch.tensor([each for each in range(90) if each != node]), 5)
    slopes, lowered = [], []

    def move(parameters, step):
        losses = []
        for size in (0, 1e-3):
            with torch.no_grad():
                part = 0
                for parameter in parameters:
                    parameter.add_(size * step[part : part + parameter.numel()].view_as(parameter))
                    part += parameter.numel()
            output = scores(gcn.double(), data_double)
            losses.append([F.cross_entropy(output[nodes], labels[nodes]).item() for nodes in subsets])
            losses[-1].append(F.cross_entropy(output[node], data.y[node]).item())
        slopes.append([(b - a) / 1e-3 for a, b in zip(*losses, strict=True)])
        lowered.append(slopes[-1].pop() < 0)
        with torch.no_grad():
            for parameter, change in zip(parameters, step.split([p.numel() for p in parameters]), strict=True):
                parameter.add_((1 - 1e-3) * change.view_as(parameter))

    data_double = copy.copy(data)
    data_double.x = data.x.double()
    monkeypatch.setattr(descent, "_move", move)
    assert edit(gcn.double(), data_double, node, int(data.y[node]), num_subsets=5).success
    assert len(slopes) >= 3
    assert all(lowered)
    assert max(max(row) for row in slopes) < 1e-3


def test_one_subset_of_gre_plus_is_gre(gcn, data, wrong):
    node, target = wrong[0], int(data.y[wrong[0]])
    first = edit(gcn, data, node, target, method="gre")
    weights = [each.clone() for each in gcn.parameters()]
    first.undo()
    second = edit(gcn, data, node, target, method="gre+", num_subsets=1)
    assert first.steps == second.steps
    for one, other in zip(weights, gcn.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_the_same_edit_twice_is_the_same(gcn, data, wrong):
    results = []
    for _ in range(2):
        done = edit(gcn, data, wrong[:3], data.y[wrong[:3]])
        results.append(state_of(gcn))
        done.undo()
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def test_what_has_no_effect_on_predictions_does_not_lengthen_the_steps(data):
    """The Reasoner of a GraGR, which is as long as the model or longer."""
    torch.manual_seed(0)
    model = GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(data, 30, progress=False)
    alone = copy.deepcopy(model.model)
    target = other_class(model, data, 5)
    done = edit(model, data, 5, target, steps=1, max_steps=1)
    same = edit(alone, data, 5, target, steps=1, max_steps=1)
    assert (done.success, done.steps, done.change) == (same.success, same.steps, same.change)
    assert torch.equal(done.probs_after, same.probs_after)


def test_no_step_is_longer_than_a_twentieth_of_the_model(data, monkeypatch):
    torch.manual_seed(0)
    model = GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(data, 30, progress=False)
    shares, move = [], descent._move

    def watched(parameters, step):
        length = torch.cat([each.detach().flatten() for each in model.model.parameters()]).norm()
        shares.append(float(step.norm() / length))
        move(parameters, step)

    monkeypatch.setattr(descent, "_move", watched)
    assert edit(model, data, 5, other_class(model, data, 5), steps=1).success
    assert 0 < max(shares) <= 0.05 + 1e-6


def test_targets_are_no_part_of_what_is_kept(gcn, data):
    """A training node with a wrong label is corrected as if that label were not there."""
    node = int(data.train_mask.nonzero()[0])
    target = other_class(gcn, data, node)
    without = copy.copy(data)
    without.train_mask = data.train_mask.clone()
    without.train_mask[node] = False
    done = edit(gcn, data, node, target, num_subsets=3)
    weights = state_of(gcn)
    done.undo()
    edit(gcn, without, node, target, num_subsets=3)
    assert_same(weights, gcn)


@pytest.mark.parametrize("method", ["gre+", "gre"])
def test_only_the_labels_of_training_nodes_are_read(gcn, data, wrong, method):
    node, target = wrong[0], int(data.y[wrong[0]])
    weights = []
    for labels in (data.y, data.y.where(data.train_mask, -1)):
        unknown = copy.copy(data)
        unknown.y = labels
        done = edit(gcn, unknown, node, target, method=method)
        weights.append(state_of(gcn))
        done.undo()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_a_target_that_is_right_already_takes_no_step(gcn, data):
    node = 5
    before = state_of(gcn)
    done = edit(gcn, data, node, int(scores(gcn, data)[node].argmax()))
    assert done.success
    assert done.steps == 0
    assert done.flips == []
    assert done.change == 0
    assert_same(before, gcn)
    done.undo()
    assert_same(before, gcn)


@pytest.mark.parametrize("method", METHODS)
def test_many_at_once(gcn, data, wrong, method):
    done = edit(gcn, data, wrong, data.y[wrong], method=method)
    assert done.success, done.reason
    assert torch.equal(scores(gcn, data)[wrong].argmax(-1), data.y[wrong])


def test_one_after_another_keeps_what_is_corrected(gcn, data, wrong):
    before = state_of(gcn)
    done = edit_sequence(gcn, data, wrong, data.y[wrong])
    assert [int(each.index) for each in done] == wrong
    right = [node for node, each in zip(wrong, done, strict=True) if each.success]
    assert len(right) >= len(wrong) - 1
    assert torch.equal(scores(gcn, data)[right].argmax(-1), data.y[right])
    for first, second in pairwise(done):
        assert torch.equal(first.prediction_after, second.prediction_before)
    for each in reversed(done):
        each.undo()
    assert_same(before, gcn)


def test_independent_edits_are_each_of_the_model_as_it_is(gcn, data, wrong):
    before = state_of(gcn)
    done = edit_independently(gcn, data, wrong[:3], data.y[wrong[:3]], num_subsets=4)
    assert_same(before, gcn)
    for each in done:
        alone = edit(gcn, data, int(each.index), int(each.target), num_subsets=4)
        assert alone.steps == each.steps
        assert torch.equal(alone.prediction_after, each.prediction_after)
        alone.undo()
        each.undo()  # nothing is left to undo
    assert_same(before, gcn)


def test_undo_out_of_order_is_refused(gcn, data, wrong):
    first, second = edit_sequence(gcn, data, wrong[:2], data.y[wrong[:2]])
    now = state_of(gcn)
    with pytest.raises(EditingError, match="undo later edits first"):
        first.undo()
    assert_same(now, gcn)
    second.undo()
    first.undo()


def test_modes_are_put_back(data):
    torch.manual_seed(0)
    model = trained(GCN(8, 16, num_layers=2, out_channels=3, dropout=0.5, norm="batch_norm"), data).train()
    model.convs[0].eval()
    modes = [module.training for module in model.modules()]
    edit(model, data, 4, (int(data.y[4]) + 1) % 3, num_subsets=3)
    assert [module.training for module in model.modules()] == modes


def test_only_what_requires_gradients_changes(gcn, data, wrong):
    gcn.convs[0].requires_grad_(False)
    before = state_of(gcn.convs[0])
    assert edit(gcn, data, wrong[0], int(data.y[wrong[0]])).success
    assert_same(before, gcn.convs[0])
    assert not any(each.requires_grad for each in gcn.convs[0].parameters())


def test_an_edit_under_no_grad(gcn, data, wrong):
    with torch.no_grad():
        assert edit(gcn, data, wrong[0], int(data.y[wrong[0]])).success
    assert torch.is_grad_enabled()


def test_given_up_leaves_the_model_as_it_was(gcn, data, wrong, monkeypatch):
    monkeypatch.setattr(descent, "_LONGEST", 1e-6)
    before = state_of(gcn)
    done = edit(gcn, data, wrong[0], int(data.y[wrong[0]]), max_steps=2)
    assert not done.success
    assert "after 2 steps" in done.reason
    assert done.flips == []
    assert_same(before, gcn)


class Failing(nn.Module):
    """A GCN that fails, is interrupted, or returns NaN in its n-th call."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.calls, self.fails_at = model, 0, -1
        self.register_buffer("count", torch.zeros(1))
        self.failure: BaseException | None = None

    def forward(self, x, edge_index):
        self.calls += 1
        self.count += 1  # a buffer that changes in evaluation mode
        output = self.model(x, edge_index)
        if self.calls != self.fails_at:
            return output
        if self.failure is not None:
            raise self.failure
        return output * torch.nan


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), MemoryError(), ValueError("mine"), None])
@pytest.mark.parametrize("fails_at", [1, 2, 4])
def test_a_step_that_fails_leaves_no_trace(gcn, data, wrong, failure, fails_at):
    model = Failing(gcn).train()
    edit(model, data, wrong[0], int(data.y[wrong[0]])).undo()
    model.calls, model.fails_at, model.failure = 0, fails_at, failure
    weights = state_of(model)
    with pytest.raises(type(failure) if failure is not None else EditingError):
        edit(model, data, wrong[0], int(data.y[wrong[0]]))
    assert_same(weights, model)
    assert model.training


@pytest.mark.parametrize("function", [edit_sequence, edit_independently])
def test_an_interruption_undoes_the_whole_sequence(gcn, data, wrong, function):
    model = Failing(gcn)
    model.fails_at, model.failure = 12, KeyboardInterrupt()
    before = state_of(gcn)
    with pytest.raises(KeyboardInterrupt):
        function(model, data, wrong, data.y[wrong])
    assert_same(before, gcn)


def test_a_gragr_model_keeps_its_reasoner_and_history(data):
    torch.manual_seed(0)
    model = GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(data, epochs=20, progress=False)
    node = int((~data.train_mask).nonzero()[0])
    reasoner = state_of(model.reasoner)
    before = state_of(model)
    done = edit(model, data, node, other_class(model, data, node))
    assert done.success
    assert model.history is not None
    assert_same(reasoner, model.reasoner)
    done.undo()
    assert_same(before, model)


def test_models_of_probabilities_log_probabilities_and_two_classes(data):
    class Ends(nn.Module):
        def __init__(self, end):
            super().__init__()
            torch.manual_seed(0)
            self.model, self.end = GCN(8, 16, num_layers=2, out_channels=3), end

        def forward(self, x, edge_index):
            return self.end(self.model(x, edge_index))

    for end in (lambda s: s.softmax(-1), lambda s: s.log_softmax(-1), lambda s: s[:, 0], lambda s: s[:, :1]):
        model = Ends(end).eval()
        data.y = data.y.clamp(max=1)
        output = model(data.x, data.edge_index)
        was = int(output[3].argmax()) if output.dim() == 2 and output.size(1) > 1 else int(output[3] > 0)
        done = edit(model, data, 3, 1 - min(was, 1), num_subsets=2)
        assert done.success
        assert int(done.prediction_before[3]) == was


@pytest.mark.parametrize("backbone", list(GNNS))
def test_a_stitched_mlp_starts_as_its_gnn_and_is_edited_alone(backbone, data):
    torch.manual_seed(0)
    gnn = trained(GNNS[backbone](8, 16, num_layers=2, out_channels=3), data)
    stitched = StitchedMLP(gnn, data).eval()
    assert torch.equal(scores(stitched, data), scores(gnn, data))
    assert all(each.requires_grad for each in gnn.parameters())  # the GNN that was handed over is left alone
    before = state_of(stitched.model)
    node = int((~data.train_mask).nonzero()[0])
    done = edit(stitched, data, node, other_class(gnn, data, node), num_subsets=3)
    assert done.success
    assert_same(before, stitched.model)
    assert not torch.equal(scores(stitched, data), scores(gnn, data))
    fitted = StitchedMLP(gnn, data).fit(data)
    assert_same(before, fitted.model)
    assert all(each.grad is None for each in fitted.parameters())
    with torch.no_grad():
        losses = [
            F.cross_entropy(scores(each, data)[data.train_mask], data.y[data.train_mask]) for each in (fitted, gnn)
        ]
    assert losses[0] < losses[1]
    with torch.no_grad():
        sizes = [
            sum(float(each.norm()) for each in StitchedMLP(gnn, data).fit(data, weight_decay=decay).mlp.parameters())
            for decay in (0, 0.1)
        ]
    assert sizes[1] < sizes[0]


def test_a_stitched_mlp_leaves_predictions_without_a_label_as_they_are(gcn, data):
    """The divergence from the GNN counts all nodes: with few training nodes, it holds the rest in place."""
    data.train_mask = torch.arange(90) < 6
    own = scores(gcn, data).log_softmax(-1)
    fitted = StitchedMLP(gcn, data).fit(data, weight_decay=0)
    changed = F.kl_div(scores(fitted, data).log_softmax(-1), own, reduction="none", log_target=True).sum(1)
    free = StitchedMLP(gcn, data)  # as if there were no node but those of training
    train = data.subgraph(data.train_mask)
    free.fit(train, weight_decay=0)
    changed_freely = F.kl_div(scores(free, data).log_softmax(-1), own, reduction="none", log_target=True).sum(1)
    assert changed[~data.train_mask].mean() < 0.5 * changed_freely[~data.train_mask].mean()


def test_a_zero_model_can_be_edited(data):
    """Weights of length zero bound no step."""
    model = nn.Linear(8, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    assert edit(model, data, 0, 2, method="gd").success


@pytest.mark.skipif("GRAGR_DATA" not in os.environ, reason="GRAGR_DATA names no folder of data sets")
@pytest.mark.parametrize("backbone", list(GNNS))
def test_on_texas_gre_plus_keeps_more_than_descent(backbone):
    data = load_dataset("Texas").data
    data.x = data.x[:, data.x.sum(0).topk(200).indices]
    torch.manual_seed(0)
    model = trained(GNNS[backbone](200, 32, num_layers=2, out_channels=5), data, epochs=40)
    with torch.no_grad():
        right = scores(model, data).argmax(-1) == data.y
    wrong = (~right & data.val_mask).nonzero().view(-1)[:5]
    flipped = {}
    for method in ("gd", "gre+"):
        done = edit_independently(model, data, wrong, data.y[wrong], method=method)
        assert all(each.success for each in done)
        flipped[method] = sum(len(each.flips) for each in done)
    assert flipped["gre+"] < flipped["gd"]


def test_larger_data_are_edited_alike():
    data = three_classes(600)
    torch.manual_seed(0)
    model = trained(GCN(8, 16, num_layers=2, out_channels=3), data)
    node = int((~data.train_mask).nonzero()[0])
    assert edit(model, data, node, other_class(model, data, node)).success


def test_an_edit_of_another_models_tensors_cannot_be_undone(gcn, data, wrong):
    done = edit(gcn, data, wrong[0], int(data.y[wrong[0]]))
    gcn.load_state_dict(copy.deepcopy(gcn.state_dict()), assign=True)
    with pytest.raises(EditingError, match="tensors have been replaced"):
        done.undo()


def test_a_buffer_that_holds_nan_is_no_change(gcn, data, wrong):
    gcn.register_buffer("note", torch.tensor([torch.nan, 1.0]))
    before = state_of(gcn)
    done = edit(gcn, data, wrong[0], int(data.y[wrong[0]]))
    assert done.change > 0
    done.undo()
    for name, value in state_of(gcn).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0, equal_nan=True)


def test_no_more_steps_are_planned_than_may_be_taken(gcn, data, wrong):
    done = edit(gcn, data, wrong[0], int(data.y[wrong[0]]), steps=100, max_steps=5)
    assert done.success
    assert done.steps <= 5


def test_labels_in_a_column_tell_the_cost_as_others_do(gcn, data, wrong):
    costs = []
    for y in (data.y, data.y.view(-1, 1), data.y.view(-1, 1).double()):
        asked = data.clone()
        asked.y = y
        done = edit(gcn, asked, wrong[0], int(data.y[wrong[0]]), method="gd")
        costs.append((done.accuracy_before, done.accuracy_after))
        done.undo()
    assert costs[0] == costs[1] == costs[2]
    assert None not in costs[0]


def test_no_target_of_a_sequence_is_kept_as_it_is(gcn, data, wrong, monkeypatch):
    kept, subsets = [], editing.node_subsets

    def noted(y, nodes, count):
        kept.append(nodes)
        return subsets(y, nodes, count)

    monkeypatch.setattr(editing, "node_subsets", noted)
    edit_sequence(gcn, data, wrong[:3], data.y[wrong[:3]])
    assert len(kept) == 3
    assert not bool(torch.isin(torch.cat(kept), torch.tensor(wrong[:3])).any())


def test_a_sequence_keeps_what_was_corrected_and_not_what_was_given_up(gcn, data, wrong, monkeypatch):
    kept, descend = [], editing.descend

    def watched(request, *rest):
        kept.append(None if request.kept is None else request.kept[0].tolist())
        return (0, False) if len(kept) == 1 else descend(request, *rest)

    monkeypatch.setattr(editing, "descend", watched)
    done = edit_sequence(gcn, data, wrong[:3], data.y[wrong[:3]])
    assert [each.success for each in done] == [False, True, True]
    assert kept == [None, None, wrong[1:2]]


def test_targets_that_are_right_are_kept_while_others_are_corrected(gcn, data, wrong, monkeypatch):
    kept, rewired = [], descent._rewired

    def noted(gradient, losses, parameters):
        kept.append(len(losses))
        return rewired(gradient, losses, parameters)

    monkeypatch.setattr(descent, "_rewired", noted)
    right = next(node for node in range(90) if node not in wrong)
    target = [int(scores(gcn, data)[right].argmax()), int(data.y[wrong[0]])]
    assert edit(gcn, data, [right, wrong[0]], target, num_subsets=3).success
    assert kept[0] == 3 + 1


def test_a_stitched_mlp_is_drawn_by_its_seed_and_leaves_the_global_random_state_alone(gcn, data):
    state = torch.get_rng_state()
    first, again, other = (StitchedMLP(gcn, data, seed=seed).mlp[0].weight for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
