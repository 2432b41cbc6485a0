from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from recorded_models import make_graph, make_model, steps, train

from gragr_explain.history import GradientHistory, GradientRecorder


def numbers(history: GradientHistory) -> int:
    """How many numbers a history holds, curves aside."""
    tensors = [value for record in history.fields.values() for value in vars(record).values()]
    tensors += [trajectory.sums for trajectory in history.trajectories.values()]
    tensors += [*history.snapshots.values(), history.conflict_count]
    return sum(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))


def weight_numbers(history: GradientHistory) -> list[int]:
    return [sum(value.numel() for value in weights.values()) for weights in history.weights.values()]


def test_a_history_does_not_grow_with_the_epochs() -> None:
    sizes = []
    for epochs in (3, 30, 300):
        model, data = make_model("GCN"), make_graph()
        with GradientRecorder(model, data, self_field_every=1) as history:
            train(model, data, epochs)
        sizes.append(numbers(history))
        assert len(set(weight_numbers(history))) == 1
        assert len(history.weights) <= 9
    assert sizes[0] == sizes[1] == sizes[2]


@pytest.mark.parametrize("epochs", [1, 2, 7, 8, 9, 15, 16, 17, 40, 100, 129])
def test_weights_are_few_and_spread_over_the_training(epochs: int) -> None:
    model, data = make_model("one layer"), make_graph()
    with GradientRecorder(model, data) as history:
        for step, _ in enumerate(steps(model, data, epochs)):
            assert len(history.weights) <= 8
            assert min(history.weights) == 0
            assert max(history.weights) <= step
    kept = list(history.weights)
    assert kept == sorted(kept)
    assert kept[0] == 0
    assert kept[-1] == epochs
    assert min(6, epochs + 1) <= len(kept) <= 9
    gaps = {later - earlier for earlier, later in pairwise(kept[:-1])}
    assert len(gaps) <= 1  # evenly, the end aside
    assert kept[-1] - kept[-2] <= max(gaps, default=1)
    final = history.weights[epochs]
    assert all(torch.equal(final[key], value) for key, value in model.state_dict().items())


def test_stopping_and_starting_at_every_epoch_keeps_few_weights() -> None:
    model, data = make_model("one layer"), make_graph()
    recorder = GradientRecorder(model, data)
    training: Iterator[torch.Tensor] = steps(model, data, 100)
    for epoch in range(100):
        with recorder:
            next(training)
        assert len(recorder.history.weights) <= 9
        assert max(recorder.history.weights) == epoch + 1
    assert recorder.history.num_steps == 100


def test_only_the_fields_that_are_asked_for_are_kept_whole() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data, snapshots=[0, 4, 99]) as history:
        train(model, data, 6)
    assert set(history.snapshots) == {("training", 0), ("training", 4)}


def test_nothing_recorded_holds_on_to_the_autograd_graph() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data, snapshots=[1]) as history:
        train(model, data, 3)
    tensors = [*vars(history.fields["self"]).values(), *vars(history.fields["training"]).values()]
    tensors += [trajectory.sums for trajectory in history.trajectories.values()]
    tensors += [value for weights in history.weights.values() for value in weights.values()]
    tensors += [*history.snapshots.values()]
    assert not any(isinstance(value, torch.Tensor) and value.requires_grad for value in tensors)
