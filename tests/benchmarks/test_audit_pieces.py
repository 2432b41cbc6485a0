"""The audit's benchmark: wrong labels as they are announced, models as they would be, scores against loops."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data

from benchmarks._training import new_model
from benchmarks.audit._noise import KINDS, add_noise
from benchmarks.audit._scores import BINS, calibration_bins, calibration_error, risk_coverage_area
from benchmarks.audit._training import _light

CLASSES = 4


def graph(seed: int = 0, count: int = 60) -> Data:
    generator = torch.Generator().manual_seed(seed)
    data = Data(
        x=(torch.rand(count, 20, generator=generator) < 0.2).float(),
        edge_index=torch.randint(count - 5, (2, 3 * count), generator=generator),
        y=torch.randint(CLASSES, (count,), generator=generator),
    )
    part = torch.rand(count, generator=generator)
    data.train_mask, data.val_mask = part < 0.5, (part >= 0.5) & (part < 0.8)
    return data


@given(st.integers(0, 1000), st.sampled_from(list(KINDS)), st.sampled_from([0.05, 0.1, 0.2]))
def test_so_many_labels_are_wrong_and_of_the_announced_kind(seed, kind, rate):
    data = graph(seed)
    noisy = add_noise(data, kind, rate, CLASSES, seed)
    wrong = noisy != data.y
    for mask in (data.train_mask, data.val_mask):
        assert int((wrong & mask).sum()) == round(rate * int(mask.sum()))
    assert not bool((wrong & ~data.train_mask & ~data.val_mask).any())
    assert torch.equal(noisy, add_noise(data, kind, rate, CLASSES, seed))
    for node in wrong.nonzero().view(-1).tolist():
        if kind == "pair":
            assert noisy[node] == (data.y[node] + 1) % CLASSES
        if kind == "neighbour":
            source, target = data.edge_index
            around = set(source[target == node].tolist()) | set(target[source == node].tolist())
            others = {int(data.y[other]) for other in around} - {int(data.y[node])}
            assert not others or int(noisy[node]) in others


@pytest.mark.parametrize("backbone", ["GCN", "GraphSAGE"])
@pytest.mark.parametrize("edges", [True, False])
def test_the_sparse_first_layer_is_the_layer(backbone, edges):
    data = graph()
    model = new_model(backbone, data, CLASSES, seed=0).eval()
    light = _light(copy.deepcopy(model), data)
    seen = data.edge_index if edges else data.edge_index[:, :0]
    torch.testing.assert_close(light(data.x, seen), model(data.x, seen))
    for network in (model, light):
        network(data.x, seen).square().sum().backward()
    for (name, own), other in zip(light.named_parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, msg=name, rtol=1e-4, atol=1e-4)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40, unique_by=lambda pair: pair[0]))
def test_scores_against_loops(pairs):
    doubt, wrong = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    kept = [wrong[np.argsort(doubt)[:count]].mean() for count in range(1, len(pairs) + 1)]
    assert risk_coverage_area(doubt, wrong) == pytest.approx(np.mean(kept))
    bins = np.array(calibration_bins(doubt, wrong))
    gaps = 0.0
    for place in range(BINS):
        inside = [pair for pair in pairs if min(int(pair[0] * BINS), BINS - 1) == place]
        assert bins[place].tolist() == pytest.approx(
            [len(inside), sum(p for p, _ in inside), sum(w for _, w in inside)]
        )
        gaps += abs(sum(p for p, _ in inside) - sum(w for _, w in inside))
    assert calibration_error(bins) == pytest.approx(gaps / len(pairs))
