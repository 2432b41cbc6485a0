"""Sets of a known number of edges, against brute force, rankings, and real models."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import Broken, Pairs, Parts, best_by_brute_force, problem, subset, worth_of
from torch import Tensor

from gragr_explain import GradientContextExplainer
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain.search import Where, search
from gragr_explain.explain.search._exchanges import exchanged


def found_by(trials: Pairs, length: int, *, ranked: bool = False) -> float:
    return worth_of(trials, search(trials, length=length, where=Where.EVERYWHERE, ranked=ranked) > 0.5)


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_no_single_step_improves_a_set_and_none_is_better_than_the_best(seed: int, length: int, num_edges: int) -> None:
    trials = problem(seed, num_edges=num_edges, interaction=2.0)
    mask = search(trials, length=length, where=Where.EVERYWHERE, ranked=False)
    kept = mask > 0.5
    assert int(kept.sum()) <= length
    own = worth_of(trials, kept)
    assert own <= best_by_brute_force(trials, length) + 1e-6
    for gone in (*kept.nonzero().view(-1).tolist(), None):
        for come in (*(~kept).nonzero().view(-1).tolist(), None):
            other = kept.clone()
            if gone is not None:
                other[gone] = False
            if come is not None:
                other[come] = True
            if int(other.sum()) <= length:
                assert worth_of(trials, other) <= own + 2e-4


def test_sets_are_the_best_of_their_size_mostly_and_better_than_rankings() -> None:
    gaps = {True: 0.0, False: 0.0}
    for seed in range(40):
        trials = problem(seed, num_edges=8, interaction=2.0)
        for ranked in gaps:
            gaps[ranked] += best_by_brute_force(trials, 3) - found_by(trials, 3, ranked=ranked)
    assert gaps[False] < 0.002 * 40
    assert gaps[False] < 0.2 * gaps[True]


@given(st.integers(0, 10_000), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_set_is_never_worse_than_the_ranking_it_goes_on_from(seed: int, length: int) -> None:
    trials = problem(seed, num_edges=9, interaction=2.0)
    assert found_by(trials, length) >= found_by(trials, length, ranked=True) - 1e-6


def test_the_best_three_edges_need_not_contain_the_best_two() -> None:
    pairs = torch.zeros(1, 6, 6)
    pairs[0, [0, 0, 1], [1, 2, 2]] = 5.0  # the first three edges only work all together,
    pairs[0, :5, 5] = -4.0  # and nothing does beside the last one
    trials = Pairs(torch.tensor([[-3.0, -3.0, -3.0, 1.5, 1.4, 0.0]]), pairs, torch.tensor([-2.0]))
    chosen = {
        length: (search(trials, length=length, where=Where.EVERYWHERE, ranked=False) > 0.5).nonzero().view(-1).tolist()
        for length in (2, 3)
    }
    assert chosen == {2: [3, 4], 3: [0, 1, 2]}


class TwoMotifs(Pairs):
    """Two motifs that share an edge: one of four edges, which speaks louder, and one of three."""

    def scores(self, masks: Tensor) -> Tensor:
        motifs = 10 * masks[:, [0, 1, 2, 3]].prod(1, keepdim=True) + 6 * masks[:, [0, 4, 5]].prod(1, keepdim=True)
        return super().scores(masks) + motifs


@pytest.mark.parametrize("num_edges", [6, 10])
def test_what_no_single_step_leads_to_is_left_of_all_edges(num_edges: int) -> None:
    nothing = torch.zeros(1, num_edges)
    trials = TwoMotifs(nothing, torch.zeros(1, num_edges, num_edges), torch.tensor([-3.0]))
    mask = search(trials, length=3, where=Where.EVERYWHERE, ranked=False)
    assert (mask > 0.5).nonzero().view(-1).tolist() == [0, 4, 5]


@given(st.integers(0, 10_000), st.integers(1, 3))
@settings(max_examples=15, deadline=None)
def test_parts_do_not_know_of_each_other(seed: int, length: int) -> None:
    sizes = torch.tensor([1, 2, 5, 40, 3, 6])
    trials = Parts([problem(seed + size, num_edges=size, interaction=0.5) for size in sizes.tolist()])
    together = search(trials, length=length, where=Where.EVERYWHERE, ranked=False).split(sizes.tolist())
    for alone, mask in zip(trials.parts, together, strict=True):
        own = search(alone, length=length, where=Where.EVERYWHERE, ranked=False)
        torch.testing.assert_close(own, mask, atol=1e-5, rtol=0)


def test_the_mask_is_ordered_and_speaks_of_other_edges_only_where_the_set_is_full() -> None:
    trials = problem(1, num_edges=12, interaction=0.0)
    mask = search(trials, length=4, where=Where.EVERYWHERE, ranked=False)
    chosen = mask[mask > 0.5].sort(descending=True).values
    torch.testing.assert_close(chosen, 1 - 0.1 * torch.arange(4, dtype=chosen.dtype) / 4)
    worthless = Pairs(torch.full((1, 4), -1.0), torch.zeros(1, 4, 4), torch.zeros(1))
    assert not search(worthless, length=2, where=Where.EVERYWHERE, ranked=False).any()


def test_edges_that_do_nothing_are_in_no_set() -> None:
    trials = Pairs(torch.tensor([[0.0, 5.0, 0.0, 0.0, 0.0, 0.0]]), torch.zeros(1, 6, 6), torch.tensor([-2.0]))
    for length in (1, 3, 10):
        mask = search(trials, length=length, where=Where.EVERYWHERE, ranked=False)
        assert mask.nonzero().view(-1).tolist() == [1]
    nothing = Pairs(torch.zeros(1, 4), torch.zeros(1, 4, 4), torch.zeros(1))
    assert not search(nothing, length=2, where=Where.EVERYWHERE, ranked=False).any()


def test_exchanges_alone_leave_sizes_as_they_are() -> None:
    trials = Pairs(torch.tensor([[3.0, -1.0, 2.0, 1.0]]), torch.zeros(1, 4, 4), torch.tensor([-2.0]))
    start, everything = subset((1,), 4), torch.ones(4, dtype=torch.bool)
    found, worth = exchanged(trials, start, everything, classes=True)
    assert found.tolist() == [True, False, False, False]
    assert float(worth) == pytest.approx(worth_of(trials, found))
    found, _ = exchanged(trials, start, everything, classes=True, most=3)
    assert found.tolist() == [True, False, True, True]
    found, _ = exchanged(trials, everything, everything, classes=True, most=4)
    assert found.tolist() == [True, False, True, True]


def test_a_set_to_which_a_model_has_no_answer_is_none() -> None:
    trials = Broken(torch.tensor([[5.0, -1.0, 3.0, 2.0]]), torch.zeros(1, 4, 4), torch.tensor([-4.0]))
    assert search(trials, length=2, where=Where.EVERYWHERE, ranked=False).isfinite().all()


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6, 1e15])
def test_regression_of_any_scale(scale: float) -> None:
    weight = torch.tensor([[5.0, 3.0, 1.0, -1.0, -2.0, -6.0]])
    trials = Pairs(scale * weight, torch.zeros(1, 6, 6), torch.zeros(1))
    mask = search(trials, classes=False, length=2, where=Where.EVERYWHERE, ranked=False)
    assert (mask > 0.5).tolist() == [True, True, False, False, False, False]


def test_what_is_no_choice():
    with pytest.raises(InvalidArgumentError, match="refine to be True or None for a set that is not ranked, got False"):
        GradientContextExplainer(refine=False, ranked=False)
    with pytest.raises(InvalidTypeError, match="ranked"):
        GradientContextExplainer(ranked=3)
