"""Recording does not change what is recorded."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from recorded_models import ALL_MODELS, count_hooks, make_graph, make_model, train

from gragr_explain.history import GradientRecorder


@pytest.mark.parametrize("with_data", [False, True], ids=["model alone", "with data"])
@pytest.mark.parametrize("name", ALL_MODELS)
def test_parameters_are_bit_identical_with_and_without(name: str, with_data: bool) -> None:
    plain, recorded, data = make_model(name), make_model(name), make_graph()
    losses = train(plain, data, 12)
    with GradientRecorder(recorded, data if with_data else None, self_field_every=2, snapshots=range(3)) as history:
        assert train(recorded, data, 12) == losses
    assert history.num_steps == 12
    for (key, expected), found in zip(plain.state_dict().items(), recorded.state_dict().values(), strict=True):
        assert torch.equal(found, expected), key
    for (key, expected), found in zip(plain.named_parameters(), recorded.parameters(), strict=True):
        assert torch.equal(found.grad, expected.grad), key


@pytest.mark.parametrize("name", ["GCN", "hand-written"])
def test_the_random_state_is_left_alone(name: str) -> None:
    states = []
    for recording in (False, True):
        model, data = make_model(name), make_graph()
        torch.manual_seed(5)
        if recording:
            with GradientRecorder(model, data):
                model(data.x, data.edge_index).square().mean().backward()
        else:
            model(data.x, data.edge_index).square().mean().backward()
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_no_hook_stays_behind(name: str) -> None:
    model, data = make_model(name), make_graph()
    before = count_hooks(model)
    with GradientRecorder(model, data):
        assert count_hooks(model) > before
        train(model, data, 2)
    assert count_hooks(model) == before


def test_an_exception_in_the_loop_removes_the_hooks_and_passes() -> None:
    model, data = make_model("GCN"), make_graph()
    recorder = GradientRecorder(model, data)

    def loop() -> None:
        with recorder:
            train(model, data, 3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    assert count_hooks(model) == 0
    train(model, data, 2)
    assert recorder.history.num_steps == 3


def test_an_exception_in_the_forward_pass_does_not_confuse_the_next() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data) as history:
        with pytest.raises(RuntimeError):
            model(data.x[:, :2], data.edge_index)
        train(model, data, 2)
    assert history.num_steps == 2
    assert history.field("training").shape == (24, 8)


def test_hooks_of_others_stay() -> None:
    model, data = make_model("GCN"), make_graph()
    calls = []
    model.convs[0].register_forward_hook(lambda *_: calls.append(1))
    with GradientRecorder(model, data):
        train(model, data, 1)
    assert count_hooks(model) == 1
    assert len(calls) == 2


def test_a_copy_made_while_recording_is_not_recorded() -> None:
    """As loops do that keep the best model."""
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data) as history:
        train(model, data, 2)
        best, counted = copy.deepcopy(model), history.num_steps
        train(best, data, 3)
        assert history.num_steps == counted
        train(model, data, 2)
    train(best, data, 3)
    assert history.num_steps == 4


def test_a_copy_made_while_recording_can_be_saved() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data):
        train(model, data, 2)
        best = copy.deepcopy(model)
        stored = pickle.dumps(model)
    for other in (best, pickle.loads(stored), pickle.loads(pickle.dumps(best))):
        assert torch.equal(other.eval()(data.x, data.edge_index), best(data.x, data.edge_index))
    hooks = [hook for layer in best.modules() for hook in layer._forward_hooks.values()]
    assert all(hook._act is None for hook in hooks)  # nothing of the recorder is kept alive


def test_a_backward_pass_that_is_differentiated_itself_can_be_recorded() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data) as history:
        loss = model(data.x, data.edge_index).square().mean()
        gradients = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        sum(gradient.square().sum() for gradient in gradients).backward()
    assert history.num_steps >= 1
    assert not history.field("training").requires_grad
    assert not history.field("self").requires_grad


@pytest.mark.parametrize("how", ["bfloat16", "autocast", "float64"])
def test_other_precisions_are_recorded(how: str) -> None:
    model, data = make_model("GCN"), make_graph()
    if how != "autocast":
        model, data.x = model.to(getattr(torch, how)), data.x.to(getattr(torch, how))
    with GradientRecorder(model, data) as history, torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        train(model, data, 3)
    expected = torch.float64 if how == "float64" else torch.float32
    assert {history.field(name).dtype for name in ("self", "training")} == {expected}
    assert bool(history.field("training").any())
    assert history.conflict_count is not None
