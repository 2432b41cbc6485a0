"""Running statistics and trajectories of drawn sequences, against numpy on all of them."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from gragr_explain.history import FieldRecord, Trajectory

sequences = st.lists(st.lists(st.integers(-8, 8), min_size=6, max_size=6), min_size=1, max_size=30)


@given(sequences)
def test_a_field_record_is_numpy_over_the_sequence(drawn: list[list[int]]) -> None:
    fields = np.array(drawn, dtype=np.float64).reshape(-1, 3, 2) / 4
    record = FieldRecord.empty(torch.zeros(3, 2, dtype=torch.float64))
    for observed in fields:
        norm = record.update(torch.tensor(observed))
        np.testing.assert_allclose(norm, np.linalg.norm(observed, axis=-1))
    norms = np.linalg.norm(fields, axis=-1)
    np.testing.assert_allclose(record.mean, fields.mean(0), atol=1e-12)
    np.testing.assert_allclose(record.norm_mean, norms.mean(0), atol=1e-12)
    np.testing.assert_allclose(record.norm_std, norms.std(0), atol=1e-7)
    for node in range(3):
        turns = [
            fields[t, node] @ fields[t + 1, node] / norms[t, node] / norms[t + 1, node]
            for t in range(len(fields) - 1)
            if norms[t, node] > 0 and norms[t + 1, node] > 0
        ]
        found = float(record.persistence[node])
        assert np.isclose(found, np.mean(turns), atol=1e-12) if turns else np.isnan(found)


def test_an_observation_that_is_not_finite_is_left_out() -> None:
    record = FieldRecord.empty(torch.zeros(2, 3))
    for value in (1.0, torch.nan, torch.inf, 3.0):
        record.update(torch.full((2, 3), value))
    assert record.count == 2
    assert torch.equal(record.mean, torch.full((2, 3), 2.0))


@given(st.integers(1, 5).map(lambda half: 2 * half), st.lists(st.integers(-100, 100), max_size=90))
def test_a_trajectory_is_the_means_of_equal_slices(slots: int, values: list[int]) -> None:
    trajectory = Trajectory(num_nodes=2, slots=slots)
    for value in values:
        trajectory.add(torch.tensor([value, -2 * value]))
    stride = trajectory.stride
    assert trajectory.count == len(values)
    assert trajectory.sums.shape == (slots, 2)
    assert trajectory.starts == list(range(0, len(values), stride))
    assert len(trajectory.starts) <= slots
    assert stride == 1 or len(trajectory.starts) > slots // 2  # merged only when there was no room left
    for start, (first, second) in zip(trajectory.starts, trajectory.values.tolist(), strict=True):
        mean = np.mean(values[start : start + stride])
        assert np.isclose(first, mean, atol=1e-4)
        assert np.isclose(second, -2 * mean, atol=1e-4)


def test_an_empty_trajectory_has_no_slices() -> None:
    assert Trajectory(num_nodes=3).starts == []
    assert Trajectory(num_nodes=3).values.shape == (0, 3)


def test_tiny_gradients_do_not_turn_by_more_than_they_can() -> None:
    record = FieldRecord.empty(torch.zeros(500, 3))
    for seed in range(2):
        record.update(torch.randn(500, 3, generator=torch.Generator().manual_seed(seed)) * 3e-23)
    assert not bool((record.persistence.abs() > 1).any())


def test_what_is_undefined_does_not_count() -> None:
    trajectory, values = Trajectory(num_nodes=1, slots=2), [torch.nan, 1.0, 2.0, 6.0, torch.nan, torch.nan, torch.nan]
    for value in values:
        trajectory.add(torch.tensor([value]))
    assert trajectory.stride == 4
    assert trajectory.values[0].tolist() == [3.0]
    assert bool(trajectory.values[1].isnan())
