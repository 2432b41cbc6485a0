"""The weights that a history kept, as those of a module around the recorded one."""

from __future__ import annotations

import copy

import pytest
import torch
from recorded_models import MODELS, make_graph, make_model, train
from torch import nn
from torch.func import functional_call
from torch_geometric.nn import GCN

from gragr_explain import GradientRecorder, GraGR
from gragr_explain.errors import HistoryError
from gragr_explain.history import GradientHistory, recorded_weights


class Outer(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.scale, self.inner = nn.Parameter(torch.full((1,), 3.0)), inner

    def forward(self, x, edge_index):
        return self.scale * self.inner(x, edge_index)


@pytest.mark.parametrize("name", list(MODELS))
def test_a_wrapped_model_is_what_it_was_at_each_step(name):
    data, model = make_graph(), make_model(name)
    with GradientRecorder(model, data) as history:
        train(model, data, epochs=12)
    outer, before = Outer(model.eval()), copy.deepcopy(model)
    states = list(recorded_weights(outer))
    assert [step for step, _ in states] == sorted(history.weights)
    assert len(states) > 3
    for step, weights in states:
        before.load_state_dict(history.weights[step])
        output = functional_call(outer, weights, (data.x, data.edge_index))
        torch.testing.assert_close(output, 3 * before(data.x, data.edge_index))


def test_a_gragr_wraps_a_model_too():
    data = make_graph()
    trained = GraGR(make_model("GCN")).fit(data, epochs=3, progress=False)
    states = dict(recorded_weights(trained))
    assert all(name.startswith("model.") for name in states[0])
    final = functional_call(trained, states[3], (data.x, data.edge_index))
    torch.testing.assert_close(final, trained(data.x, data.edge_index))


def test_no_history_and_that_of_another_model():
    data, model = make_graph(), make_model("GCN")
    with pytest.raises(HistoryError, match="expected a model whose training was recorded"):
        list(recorded_weights(model))
    with GradientRecorder(model, data) as history:
        train(model, data, epochs=2)
    other = make_model("GAT")
    history.attach(other)
    with pytest.raises(HistoryError, match="expected a history of this GAT"):
        list(recorded_weights(other))


class Beside(nn.Module):
    """A model with a gate beside it, which opens while it trains."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner
        self.register_buffer("gate", torch.zeros(()))

    def forward(self, x, edge_index):
        return self.gate + self.inner(x, edge_index)


@pytest.mark.parametrize("deep", [False, True])
def test_what_is_around_a_model_is_as_it_was_too(deep, tmp_path):
    data, beside = make_graph(), Beside(make_model("GCN"))
    recorder = GradientRecorder(beside.inner, data, around=lambda: {"gate": beside.gate, "gone": beside.gate})
    with recorder:
        for gate in range(20):
            beside.gate.fill_(gate)
            train(beside, data, epochs=1)
    recorder.history.save(tmp_path)
    GradientHistory.load(tmp_path).attach(beside.inner)
    model, name = (nn.ModuleDict({"whole": beside}), "whole.gate") if deep else (beside, "gate")
    found = {step: float(weights[name]) for step, weights in recorded_weights(model)}
    assert found == {0: 0, 4: 4, 8: 8, 12: 12, 16: 16, 20: 19}
    assert all("gone" not in name for _, weights in recorded_weights(model) for name in weights)
    assert all(name.startswith(("convs", "norms")) for _, weights in recorded_weights(beside.inner) for name in weights)


@pytest.mark.parametrize("switch", [{"pathway": True, "pathway_threshold": 0.0}, {"attention": "training"}])
def test_a_gragr_is_what_it_was_at_each_step(switch):
    """The pathway opens, and the attention begins, after the first step."""
    data, seen = make_graph(), []
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 8, 2, 3), **switch)

    def see(module, _inputs, output):
        if module.training:
            seen.append(output.detach())

    handle = trained.register_forward_hook(see)
    trained.fit(data, epochs=60, progress=False)
    handle.remove()
    assert trained.attention is not None or float(trained.pathway.beta) == 1
    seen.append(trained(data.x, data.edge_index))
    for step, weights in recorded_weights(trained):
        output = functional_call(trained, weights, (data.x, data.edge_index))
        torch.testing.assert_close(output, seen[step], rtol=1e-4, atol=1e-4)


def test_a_history_from_before_has_what_is_around_as_it_is_now():
    data = make_graph()
    trained = GraGR(make_model("GCN"), pathway=True, pathway_threshold=0.0, pathway_epochs=1)
    trained.fit(data, epochs=5, progress=False)
    trained.history.around.clear()
    assert all(name.startswith("model.") for _, weights in recorded_weights(trained) for name in weights)


def test_tied_weights_are_there_once():
    data, model = make_graph(), make_model("GraphSAGE")
    model.convs[0].lin_r.weight = model.convs[0].lin_l.weight
    with GradientRecorder(model, data):
        train(model, data, epochs=3)
    weights = dict(recorded_weights(model))[3]
    assert len({"convs.0.lin_r.weight", "convs.0.lin_l.weight"} & weights.keys()) == 1
    found = functional_call(model.eval(), weights, (data.x, data.edge_index))
    torch.testing.assert_close(found, model(data.x, data.edge_index))
