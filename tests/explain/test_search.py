"""The search for needed and sufficient edges, against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from math import comb
from typing import ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gragr_explain.explain import _search
from gragr_explain.explain._beam import _Beam
from gragr_explain.explain._greedy import greedy_search
from gragr_explain.explain._search import search
from gragr_explain.explain._worth import SUFFICIENCY


@dataclass(frozen=True)
class Pairs:
    """Log-odds with interactions: mask w + mask Q mask + b, for several parts of the same size."""

    weight: Tensor
    pairs: Tensor
    bias: Tensor

    dtype = torch.float32
    at_once = 3

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
        return type(self)(self.weight[parts], self.pairs[parts], self.bias[parts])


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
    assert mask[2] == pytest.approx(0.95)
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


def on_the_way(worth: dict[frozenset[int], float], order: Sequence[int], length: int) -> float:
    """What the first 1, 2, 3, ... edges of an order are worth, each at least as much as fewer, added up."""
    found = [worth[frozenset(order[:size])] for size in range(length + 1)]
    return sum(max(found[: size + 1]) for size in range(1, length + 1))


def test_a_wide_search_finds_nearly_the_best_ranking() -> None:
    gaps = {1: 0.0, 8: 0.0, 20: 0.0}
    for seed in range(60):
        trials = problem(seed, interaction=2.0)
        worth = {frozenset(kept.nonzero().view(-1).tolist()): value(trials, kept) for kept in subsets(6, 4)}
        best = max(on_the_way(worth, order, 4) for order in permutations(range(6), 4))
        for width in gaps:
            mask = search(trials, length=4, width=width)
            order = [edge for edge in mask.argsort(descending=True, stable=True).tolist() if mask[edge] > 0]
            gaps[width] += best - on_the_way(worth, order, 4)
    assert gaps[20] < 1e-4  # no size has more than 20 sets
    assert 0.01 < gaps[8] < 0.5 * gaps[1]


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=25, deadline=None)
def test_a_beam_holds_every_set_once(seed: int, steps: int) -> None:
    trials = problem(seed, num_parts=2)
    beam = _Beam(trials, classes=True)
    for step in range(1, steps + 1):
        beam.extend(step, beam.candidates(step, None, tries=6), width=100)
    there = beam.worth > -torch.inf
    assert there.sum(0).tolist() == [comb(6, steps)] * 2
    for part in range(2):
        sets = beam.place.view(-1, 2, 6)[there[:, part], part]
        assert (sets > 0).unique(dim=0).size(0) == comb(6, steps)
        assert (sets.sort(1).values[:, 6 - steps :] == torch.arange(1, steps + 1)).all()  # each place once
        worth = [value(trials.only(torch.tensor([part])), kept > 0) for kept in sets]
        assert beam.worth[there[:, part], part].tolist() == pytest.approx(worth, abs=5e-3)  # scores count a little


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_parts_of_a_beam_do_not_know_of_each_other(seed: int, length: int) -> None:
    sizes = torch.tensor([1, 2, 5, 70, 3, 130])
    trials = Parts([problem(seed + size, num_edges=size, interaction=0.5) for size in sizes.tolist()])
    together = search(trials, length=length, width=4).split(sizes.tolist())
    for alone, mask in zip(trials.parts, together, strict=True):
        torch.testing.assert_close(search(alone, length=length, width=4), mask, atol=1e-5, rtol=0)


@dataclass(frozen=True)
class Parts:
    """Predictions of parts of different sizes."""

    parts: list[Pairs]

    dtype = torch.float32
    at_once = 3

    @property
    def num_parts(self) -> int:
        return len(self.parts)

    @property
    def edge_part(self) -> Tensor:
        return torch.arange(len(self.parts)).repeat_interleave(torch.tensor([p.weight.size(1) for p in self.parts]))

    def scores(self, masks: Tensor) -> Tensor:
        split = masks.split([part.weight.size(1) for part in self.parts], dim=1)
        return torch.cat([part.scores(mask) for part, mask in zip(self.parts, split, strict=True)], 1)

    def only(self, parts: Tensor) -> Parts:
        return Parts([self.parts[part] for part in parts.tolist()])


def test_three_edges_that_only_work_together_are_found_by_a_wide_search() -> None:
    pairs = torch.zeros(1, 6, 6)
    pairs[0, [0, 0, 1], [1, 2, 2]] = 5.0
    trials = Pairs(torch.tensor([[-4.0, -4.0, -4.0, 0.5, 0.4, 0.3]]), pairs, torch.tensor([-3.0]))
    assert (search(trials, length=3, width=8) > 0.5).tolist() == [True, True, True, False, False, False]


class Bent(Pairs):
    """Log-odds jump where the sum of what edges give passes 0; elsewhere gradients say little."""

    def scores(self, masks: Tensor) -> Tensor:
        return 8 * (2 * super().scores(masks)).tanh()


def bent(seed: int, num_parts: int = 1, num_edges: int = 6) -> Bent:
    return Bent(*vars(problem(seed, num_parts, num_edges, interaction=2.0)).values())


def test_several_sets_are_followed_only_where_one_has_failed() -> None:
    needs_two = Bent(torch.tensor([[0.3, 0.2, 0.1, 0.7, 0.7, -1.0]]), torch.zeros(1, 6, 6), torch.tensor([-1.2]))
    both = Parts([problem(0, interaction=0.0), needs_two])
    assert greedy_search(both, torch.ones(12), classes=True, length=2)[1].tolist() == [False, True]
    found = search(both, length=2, width=8, greedy_first=True)
    assert torch.equal(found[:6], search(both, length=2)[:6])
    assert torch.equal(found[6:], search(both, length=2, width=8)[6:])


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_greedy_search_never_fails_where_edges_do_not_interact(seed: int, num_parts: int) -> None:
    trials = problem(seed, num_parts, interaction=0.0)
    _, has_failed = greedy_search(trials, torch.ones(6 * num_parts), classes=True, length=6)
    assert not has_failed.any()


def test_how_much_gradients_count_is_not_what_they_foretell() -> None:
    trials = problem(3, num_parts=5, num_edges=30, interaction=0.0)
    for factor in (0.1, 10.0):
        mask, has_failed = greedy_search(trials, torch.full((150,), factor), classes=True, length=10)
        assert not has_failed.any()
        torch.testing.assert_close(mask, search(trials))


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_each_part_has_the_ranking_of_one_search_or_the_other(seed: int) -> None:
    trials = bent(seed, num_parts=8)
    _, has_failed = greedy_search(trials, torch.ones(48), classes=True, length=4)
    expected = search(trials, length=4, width=8).where(has_failed[trials.edge_part], search(trials, length=4))
    assert torch.equal(search(trials, length=4, width=8, greedy_first=True), expected)
    alone = [search(trials.only(torch.tensor([part])), length=4, width=8, greedy_first=True) for part in range(8)]
    torch.testing.assert_close(torch.cat(alone), expected, atol=1e-5, rtol=0)


def test_a_beam_where_one_set_has_failed_gains_most_of_what_a_beam_everywhere_gains() -> None:
    def mean_worth(**options) -> float:
        trials = [bent(seed, num_edges=8) for seed in range(200)]
        return sum(value(each, search(each, length=4, **options) > 0.5) for each in trials) / 200

    greedy, first, wide = mean_worth(), mean_worth(width=8, greedy_first=True), mean_worth(width=8)
    assert wide > greedy
    assert first - greedy > 0.6 * (wide - greedy)


@pytest.mark.parametrize(("num_edges", "again"), [(64, True), (65, False)])
def test_large_parts_are_not_searched_again(num_edges: int, again: bool, monkeypatch) -> None:
    seen = []
    monkeypatch.setattr(_search, "beam_search", lambda some, *_, **__: seen.append(1) or torch.ones(num_edges))
    weight = torch.full((1, num_edges), 0.5)
    trials = Bent(weight, torch.zeros(1, num_edges, num_edges), torch.tensor([-4.0]))
    search(trials, width=8, greedy_first=True)
    assert bool(seen) == again


def test_a_large_part_is_searched_greedily_whatever_the_width() -> None:
    generator = torch.Generator().manual_seed(0)
    each = torch.randn(1, 5000, generator=generator)
    trials = Pairs(each, torch.zeros(1, 1, 1).expand(1, 5000, 5000), torch.tensor([0.0]))
    assert torch.equal(search(trials, length=4, width=8), search(trials, length=4))


def test_a_wide_search_where_no_edge_changes_anything_or_scores_are_no_log_odds() -> None:
    flat = Pairs(torch.zeros(1, 3), torch.zeros(1, 3, 3), torch.zeros(1))
    assert search(flat, width=4).tolist() == [0, 0, 0]
    assert search(Pairs(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0)), width=4).shape == (0,)
    trials = Pairs(torch.tensor([[100.0, -50.0, 70.0]]), torch.zeros(1, 3, 3), torch.tensor([0.0]))
    assert (search(trials, classes=False, width=4) > 0).tolist() == [True, False, True]


def test_no_more_masks_have_gradients_at_once_than_allowed() -> None:
    trials = Watched(*vars(problem(0, num_edges=100)).values())
    search(trials, length=3, width=8)
    assert trials.seen
    assert max(trials.seen) <= trials.at_once


class Watched(Pairs):
    """Notes how many masks with gradients are handed over at once."""

    seen: ClassVar[list[int]] = []

    def scores(self, masks: Tensor) -> Tensor:
        if masks.requires_grad:
            self.seen.append(len(masks))
        return super().scores(masks)


@pytest.mark.parametrize("width", [1, 8])
def test_where_probabilities_are_certain_scores_decide(width: int) -> None:
    trials = Pairs(torch.tensor([[5.0, -1.0, 3.0, 2.0, 1.0, 0.0]]), torch.zeros(1, 6, 6), torch.tensor([60.0]))
    assert (search(trials, length=3, width=width) > 0.5).tolist() == [True, False, True, True, False, False]


class Broken(Pairs):
    """Has no answer to the first edge alone."""

    def scores(self, masks: Tensor) -> Tensor:
        broken = (masks[:, 0] > 0) & (masks.sum(1) == 1)
        return super().scores(masks).masked_fill(broken.unsqueeze(1), torch.nan)


def test_a_set_to_which_a_model_has_no_answer_is_none() -> None:
    trials = Broken(torch.tensor([[5.0, -1.0, 3.0, 2.0]]), torch.zeros(1, 4, 4), torch.tensor([-4.0]))
    assert search(trials, length=2, width=4).argsort(descending=True)[:2].tolist() == [2, 0]


def test_a_wide_search_of_many_edges_tries_what_is_promised() -> None:
    weight = torch.linspace(1, 0.01, 100).unsqueeze(0)
    trials, factor = Pairs(weight, torch.zeros(1, 100, 100), torch.tensor([-4.0])), torch.ones(100)
    mask = search(trials, length=3, width=4)
    assert mask.argsort(descending=True, stable=True).tolist() == list(range(100))
    assert (mask > 0.5).sum() == 3
    assert (mask > 0).all()  # what the last gradients still speak for
    factor[1] = 0
    assert search(trials, factor, length=3, width=4)[:5].argsort(descending=True).tolist() == [0, 2, 3, 4, 1]


@pytest.mark.parametrize(
    ("size", "expected"), [(64, (8, 64)), (65, (8, 32)), (1024, (8, 4)), (1025, (4, 4)), (4096, (2, 4)), (4097, None)]
)
def test_the_beam_becomes_narrower_as_parts_grow(size: int, expected: tuple[int, int] | None, monkeypatch) -> None:
    seen: list[tuple[int, int] | None] = []

    def beam(trials, factor, *, classes, length, width, tries):
        seen.append((width, tries))
        return torch.zeros(size)

    def greedy(trials, factor, *, classes, length):
        seen.append(None)
        return torch.zeros(size), torch.tensor([False])

    monkeypatch.setattr(_search, "beam_search", beam)
    monkeypatch.setattr(_search, "greedy_search", greedy)
    trials = Pairs(torch.ones(1, size), torch.zeros(1, 1, 1).expand(1, size, size), torch.zeros(1))
    search(trials, width=8)
    assert seen == [expected]
