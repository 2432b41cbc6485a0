"""The search for needed and sufficient edges, against brute force."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gragr_explain.explain._search import SUFFICIENCY, search


@dataclass(frozen=True)
class Pairs:
    """Log-odds with interactions: mask w + mask Q mask + b, for several parts of the same size."""

    weight: Tensor
    pairs: Tensor
    bias: Tensor

    dtype = torch.float32

    @property
    def num_parts(self) -> int:
        return self.weight.size(0)

    @property
    def edge_part(self) -> Tensor:
        return torch.arange(self.num_parts).repeat_interleave(self.weight.size(1))

    def scores(self, masks: Tensor) -> Tensor:
        each = masks.view(len(masks), *self.weight.shape)
        return (each * self.weight).sum(-1) + torch.einsum("mpi,pij,mpj->mp", each, self.pairs, each) + self.bias

    def only(self, parts: Tensor) -> Pairs:
        return Pairs(self.weight[parts], self.pairs[parts], self.bias[parts])


def problem(seed: int, num_parts: int = 1, num_edges: int = 6, interaction: float = 1.0) -> Pairs:
    generator = torch.Generator().manual_seed(seed)
    weight = 2 * torch.randn(num_parts, num_edges, generator=generator)
    pairs = interaction * torch.randn(num_parts, num_edges, num_edges, generator=generator)
    return Pairs(weight, pairs, torch.randn(num_parts, generator=generator))


def value(trials: Pairs, kept: Tensor) -> float:
    masks = torch.stack([kept, ~kept]).float()
    p = trials.scores(masks).sigmoid().view(2)
    return float(SUFFICIENCY * p[0] - p[1])


def subsets(num_edges: int, length: int) -> list[Tensor]:
    found = []
    for size in range(length + 1):
        for some in combinations(range(num_edges), size):
            kept = torch.zeros(num_edges, dtype=torch.bool)
            kept[list(some)] = True
            found.append(kept)
    return found


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_finds_the_best_set_where_edges_do_not_interact(seed: int) -> None:
    trials = problem(seed, interaction=0.0)
    mask = search(trials, length=6)
    best = max(value(trials, kept) for kept in subsets(6, 6))
    assert value(trials, mask > 0) == pytest.approx(best, abs=1e-5)


@given(st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_is_never_below_nothing_or_a_single_edge_and_seldom_below_the_best(seed: int) -> None:
    trials = problem(seed)
    found = value(trials, search(trials, length=6, width=6) > 0)
    assert found >= max(value(trials, kept) for kept in subsets(6, 1)) - 1e-5


def test_is_close_to_the_best_set_on_average() -> None:
    found, best, by_gradient = [], [], []
    for seed in range(60):
        trials = problem(seed)
        found.append(value(trials, search(trials, length=6) > 0))
        best.append(max(value(trials, kept) for kept in subsets(6, 6)))
        ones = torch.ones(1, 6, requires_grad=True)
        (gradient,) = torch.autograd.grad(trials.scores(ones).sum(), ones)
        by_gradient.append(value(trials, gradient[0] > 0))
    worst = value(trials, torch.zeros(6, dtype=torch.bool))
    assert worst < 0
    gap, gradient_gap = (sum(best) - sum(each) for each in (found, by_gradient))
    assert gap < 0.02 * len(best)
    assert gap < 0.2 * gradient_gap


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=25, deadline=None)
def test_parts_do_not_know_of_each_other(seed: int, num_parts: int) -> None:
    trials = problem(seed, num_parts, num_edges=25, interaction=0.2)
    together = search(trials, length=4).view(num_parts, -1)
    for part in range(num_parts):
        alone = search(trials.only(torch.tensor([part])), length=4)
        assert torch.allclose(together[part], alone, atol=1e-5)


def test_mask_is_a_ranking() -> None:
    trials = Pairs(torch.tensor([[5.0, -1.0, 3.0, 2.0, 1.0, 0.0]]), torch.zeros(1, 6, 6), torch.tensor([-4.0]))
    mask = search(trials, length=2)
    assert mask[0] == 1
    assert mask[2] == 0.75
    assert 0.5 > mask[3] > mask[4] > 0  # what the last gradients still speak for
    assert mask[[1, 5]].tolist() == [0, 0]


def test_edges_that_only_work_together_are_found() -> None:
    pairs = torch.zeros(1, 4, 4)
    pairs[0, 0, 1] = 8.0
    trials = Pairs(torch.tensor([[-1.0, -1.0, 0.5, -2.0]]), pairs, torch.tensor([-3.0]))
    assert (search(trials, length=4)[:2] > 0).all()


def test_equal_edges_keep_their_order_whatever_the_rounding() -> None:
    weight = torch.full((1, 5), 2.0)
    noisy = weight + torch.tensor([0.0, 1e-7, -1e-7, 2e-7, 0.0])
    for each in (weight, noisy):
        mask = search(Pairs(each, torch.zeros(1, 5, 5), torch.tensor([-5.0])), length=5)
        assert mask.tolist() == sorted(mask.tolist(), reverse=True)


def test_scores_that_are_no_log_odds() -> None:
    trials = Pairs(torch.tensor([[100.0, -50.0, 70.0]]), torch.zeros(1, 3, 3), torch.tensor([0.0]))
    assert (search(trials, classes=False) > 0).tolist() == [True, False, True]


def test_nothing_to_choose_from() -> None:
    assert search(Pairs(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0))).shape == (0,)
    flat = search(Pairs(torch.zeros(1, 3), torch.zeros(1, 3, 3), torch.zeros(1)))
    assert flat.tolist() == [0, 0, 0]
