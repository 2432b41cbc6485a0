"""The weights that a history kept, as those of a module around the recorded one."""

from __future__ import annotations

import copy

import pytest
import torch
from recorded_models import MODELS, make_graph, make_model, train
from torch import nn
from torch.func import functional_call

from gragr_explain import GradientRecorder, GraGR
from gragr_explain.errors import HistoryError
from gragr_explain.history import recorded_weights


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
