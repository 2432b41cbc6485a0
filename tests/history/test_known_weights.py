"""Whether a model's weights are some that its history has seen."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from recorded_models import ALL_MODELS, make_graph, make_model, steps, train
from torch import nn
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN

from gragr_explain import GradientContextExplainer, GradientHistory, GradientRecorder, GraGR, GraGRPlusPlus, edit
from gragr_explain.audit import audit
from gragr_explain.context import influences
from gragr_explain.history import knows_weights
from gragr_explain.history._known_weights import weights_checksum

CHANGED = "none that it had while it was recorded"


@pytest.fixture
def data():
    graph = make_graph(48)
    graph.val_mask = ~graph.train_mask
    return graph


def explained(model, data, **options):
    explainer = Explainer(
        model,
        GradientContextExplainer(**options),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    return explainer(data.x, data.edge_index, index=3)


def warned(call):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call()
    return [str(found.message) for found in caught if CHANGED in str(found.message)]


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_model_at_any_of_its_steps_is_known_and_no_other(name, data):
    model, states = make_model(name), []
    with GradientRecorder(model, data) as history:
        for _ in steps(model, data, 6):
            states.append(copy.deepcopy(model.state_dict()))
            assert knows_weights(history, model) is None  # its next step is yet to come
    assert knows_weights(history, model) is True
    for state in states:
        model.load_state_dict(state)
        assert knows_weights(history, model) is True
    train(model, data, 1)
    assert knows_weights(history, model) is False


@given(st.integers(0, 10), st.floats(-1, 1, width=32).filter(bool))
def test_a_change_of_a_single_weight_is_noticed(where, by):
    model = nn.Linear(10, 1)
    before, numbers = weights_checksum(model), torch.cat([model.weight.detach().view(-1), model.bias.detach()])
    changed = numbers.clone()
    changed[where] += by
    nn.utils.vector_to_parameters(changed, model.parameters())
    assert (weights_checksum(model) == before) == torch.equal(changed, numbers)


def test_the_history_is_not_over_until_the_recording_is(data):
    model = make_model("GCN")
    recorder = GradientRecorder(model, data)
    history = recorder.start()
    train(model, data, 2)
    recorder.stop()
    assert knows_weights(history, model) is True
    recorder.start()
    assert knows_weights(history, model) is None
    train(model, data, 2)
    recorder.stop()
    assert knows_weights(history, model) is True
    assert len(history.checksums) == 5  # before each of four steps, and at the end


def test_files_keep_it_and_those_of_earlier_versions_do_not_know(data, tmp_path):
    model = make_model("GAT")
    with GradientRecorder(model, data) as history:
        train(model, data, 3)
    history.save(tmp_path)
    loaded = GradientHistory.load(tmp_path)
    assert knows_weights(loaded, model) is True
    train(model, data, 1)
    assert knows_weights(loaded, model) is False
    history.checksums = None
    history.save(tmp_path)
    assert knows_weights(GradientHistory.load(tmp_path), model) is None


def test_another_precision_is_known_where_it_holds_the_same_numbers(data):
    model = make_model("GCN")
    with GradientRecorder(model, data) as history:
        train(model, data, 3)
    assert knows_weights(history, copy.deepcopy(model).double()) is True
    assert knows_weights(history, copy.deepcopy(model).half()) is None


def test_another_model_is_not_known(data):
    model = make_model("GCN")
    with GradientRecorder(model, data) as history:
        train(model, data, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        assert knows_weights(history, ALL_MODELS["GCN"]()) is False
    assert knows_weights(history, make_model("GAT")) is False


@pytest.mark.parametrize("kind", [GraGR, GraGRPlusPlus])
def test_what_was_trained_by_the_package_is_known(kind, data):
    trained = kind(GCN(5, 8, 2, 3)).fit(data, epochs=40, patience=10)
    assert knows_weights(trained.history, trained) is True
    assert not warned(lambda: explained(trained, data))


def test_whoever_explains_a_model_that_was_changed_is_told(data):
    model = make_model("GCN")
    with GradientRecorder(model, data) as history:
        train(model, data, 12)
    best = copy.deepcopy(model.state_dict())
    assert not warned(lambda: explained(model, data))
    train(model, data, 3)
    assert len(warned(lambda: explained(model, data))) == 1
    assert len(warned(lambda: explained(nn.DataParallel(model).module, data, history=history))) == 1
    assert len(warned(lambda: influences(model, data, index=3))) == 1
    assert len(warned(lambda: audit(model, data, epochs=2))) == 1
    assert not warned(lambda: explained(model, data, history=False))
    model.load_state_dict(best)
    assert not warned(lambda: explained(model, data))


def test_an_edit_is_told_of_until_it_is_undone(data):
    trained = GraGR(GCN(5, 8, 2, 3)).fit(data, epochs=20)
    node = int(data.val_mask.nonzero()[0])
    done = edit(trained, data, index=node, target=(int(trained(data.x, data.edge_index)[node].argmax()) + 1) % 3)
    assert len(warned(lambda: explained(trained, data))) == 1
    done.undo()
    assert not warned(lambda: explained(trained, data))
