"""What a recorder does not see, and where warnings point."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from recorded_models import count_hooks, make_graph, make_model
from torch_geometric.explain import Explainer

from gragr_explain import GradientContextExplainer, explain_many, influences
from gragr_explain.history import GradientRecorder


def train(model, data, epochs: int, *, training: bool, grad_after: bool = False) -> None:
    """A loop whose passes are in one mode, with a look at the model in evaluation mode after each step."""
    optimizer = torch.optim.Adam(model.parameters())
    model.train(training)
    for _ in range(epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(data.x, data.edge_index), data.y).backward()
        optimizer.step()
        mode = model.training
        model.eval()
        with torch.set_grad_enabled(grad_after):
            model(data.x, data.edge_index)
        model.train(mode)


def recorded(model, data, in_training: int, in_evaluation: int):
    """The history of so many epochs in training mode, and then so many in evaluation mode."""
    with GradientRecorder(model, data) as history:
        train(model, data, in_training, training=True)
        train(model, data, in_evaluation, training=False)
    return history


def test_training_in_evaluation_mode_is_noticed():
    model, data = make_model("GCN"), make_graph()
    with pytest.warns(UserWarning, match=r"^12 updates .* evaluation mode, .* and 0 steps are"):
        history = recorded(model, data, 0, 12)
    assert history.num_steps == 0
    with pytest.warns(UserWarning, match=r"^8 updates .* and 3 steps are"):
        recorded(model, data, 3, 8)


@pytest.mark.parametrize("grad_after", [True, False])
def test_looks_at_the_model_are_no_training(grad_after):
    model, data = make_model("GCN"), make_graph()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with GradientRecorder(model, data) as history:
            train(model, data, 5, training=True, grad_after=grad_after)
            best = {name: value.clone() for name, value in model.state_dict().items()}
            model.eval()
            explain(model, data, 1)
            model.load_state_dict(best)
    assert history.num_steps == 5


def test_a_history_that_is_replaced_is_named():
    model, data = make_model("GCN"), make_graph()
    first = recorded(model, data, 4, 0)
    with pytest.warns(UserWarning, match="history of 4 steps is replaced"):
        second = recorded(model, data, 2, 0)
    assert (first.num_steps, second.num_steps) == (4, 2)


def test_a_model_that_begins_anew_replaces_its_history_without_a_word():
    model, data = make_model("GCN"), make_graph()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            model.reset_parameters()
            assert recorded(model, data, 2, 0).num_steps == 2


def test_nothing_is_lost_where_warnings_are_errors():
    model, data = make_model("GCN"), make_graph()
    recorded(model, data, 3, 0)
    hooks, recorder = count_hooks(model), GradientRecorder(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="is replaced"):
            recorder.start()
        assert count_hooks(model) == hooks
        model.reset_parameters()
        history = recorder.start()
        train(model, data, 2, training=True)
        train(model, data, 4, training=False)
        with pytest.raises(UserWarning, match="in evaluation mode"):
            recorder.stop()
    assert count_hooks(model) == hooks
    assert history.num_steps == 2
    assert history.checksums is not None
    assert len(history.weights) > 1


def test_a_recorder_goes_on_without_a_word():
    model, data = make_model("GCN"), make_graph()
    recorder = GradientRecorder(model, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with recorder as history:
                train(model, data, 3, training=True)
    assert history.num_steps == 6


def explain(model, data, index: int):
    explainer = Explainer(
        model,
        GradientContextExplainer(),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    return explainer, explainer(data.x, data.edge_index, index=index)


def test_each_model_is_warned_of_at_the_line_that_asks():
    """Warnings of a line of ours would be shown for the first model alone."""
    data, models = make_graph(), []
    for _ in range(2):
        model = make_model("GCN")
        recorded(model, data, 3, 0)
        with torch.no_grad():
            next(model.parameters()).mul_(1.5)
        models.append(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        explainer, _ = explain(models[0], data, 1)
        influences(models[0], data, 1)
        influences(models[1], data, 1)
        explain_many(explain(models[1], data, 1)[0], data, [1], progress=False)
    said = [each for each in caught if "weights are none" in str(each.message)]
    assert {each.filename for each in said} == {__file__}
    assert len({each.lineno for each in said}) >= 3
    assert explainer.model is models[0]
