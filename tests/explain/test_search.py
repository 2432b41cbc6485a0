"""The search for needed and sufficient edges, against brute force."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from predictions import Bent, Broken, Pairs, Parts, Watched, bent, problem, subsets
from torch import Tensor

from gragr_explain.explain.search import Where, _search, search
from gragr_explain.explain.search._greedy import greedy_search
from gragr_explain.explain.search._worth import Ranking


def value(trials: Pairs, kept: Tensor, sufficiency: float = 1) -> float:
    masks = torch.stack([kept, ~kept]).float()
    p = trials.scores(masks).sigmoid().view(2)
    return float(sufficiency * p[0] - p[1])


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
    found = value(trials, search(trials, length=6, where=Where.EVERYWHERE) > 0)
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


@given(st.integers(0, 10_000), st.integers(1, 5))
@settings(max_examples=40, deadline=None)
def test_a_greedy_search_never_fails_where_edges_do_not_interact(seed: int, num_parts: int) -> None:
    trials = problem(seed, num_parts, interaction=0.0)
    _, has_failed = greedy_search(trials, torch.ones(6 * num_parts), classes=True, length=6)
    assert not has_failed.any()


def test_how_much_gradients_count_is_not_what_they_foretell() -> None:
    trials = problem(3, num_parts=5, num_edges=30, interaction=0.0)
    for factor in (0.1, 10.0):
        found, has_failed = greedy_search(trials, torch.full((150,), factor), classes=True, length=10)
        assert not has_failed.any()
        torch.testing.assert_close(found.mask(trials.edge_part, 10), search(trials))


def test_rankings_are_refined_only_where_the_search_has_failed() -> None:
    needs_two = Bent(torch.tensor([[0.3, 0.2, 0.1, 0.7, 0.7, -1.0]]), torch.zeros(1, 6, 6), torch.tensor([-1.2]))
    both = Parts([problem(0, interaction=0.0), needs_two])
    assert greedy_search(both, torch.ones(12), classes=True, length=2)[1].tolist() == [False, True]
    found = search(both, length=2, where=Where.FAILED)
    assert torch.equal(found[:6], search(both, length=2)[:6])
    assert torch.equal(found[6:], search(both, length=2, where=Where.EVERYWHERE)[6:])


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_each_part_has_the_ranking_of_one_search_or_the_other(seed: int) -> None:
    trials = bent(seed, num_parts=8)
    _, has_failed = greedy_search(trials, torch.ones(48), classes=True, length=4)
    refined = search(trials, length=4, where=Where.EVERYWHERE)
    expected = refined.where(has_failed[trials.edge_part], search(trials, length=4))
    assert torch.equal(search(trials, length=4, where=Where.FAILED), expected)
    alone = [search(trials.only(torch.tensor([part])), length=4, where=Where.FAILED) for part in range(8)]
    torch.testing.assert_close(torch.cat(alone), expected, atol=1e-5, rtol=0)


def test_refining_where_the_search_has_failed_gains_most_of_what_refining_everywhere_gains() -> None:
    def mean_worth(where: Where) -> float:
        trials = [bent(seed, num_edges=8) for seed in range(200)]
        return sum(value(each, search(each, length=4, where=where) > 0.5) for each in trials) / 200

    greedy, failed, refined = (mean_worth(where) for where in Where)
    assert refined > greedy
    assert failed - greedy > 0.6 * (refined - greedy)


@pytest.mark.parametrize(
    ("where", "num_edges", "expected"),
    [
        (Where.FAILED, 64, 64),
        (Where.FAILED, 65, None),
        (Where.EVERYWHERE, 64, 64),
        (Where.EVERYWHERE, 129, 32),
        (Where.EVERYWHERE, 1024, 20),
        (Where.EVERYWHERE, 1025, None),
        (Where.NOWHERE, 64, None),
    ],
)
def test_fewer_edges_are_tried_in_larger_parts(where, num_edges, expected, monkeypatch) -> None:
    seen = []

    def noted(trials, factor, place, stays, *, classes, length, shortlist):
        assert int(stays.max()) == num_edges
        seen.append(shortlist)
        return Ranking(place, torch.zeros(1, dtype=torch.long), torch.zeros(num_edges))

    monkeypatch.setattr(_search, "refine", noted)
    weight = torch.full((1, num_edges), 0.5)
    search(Bent(weight, torch.zeros(1, 1, 1).expand(1, num_edges, num_edges), torch.tensor([-4.0])), where=where)
    assert seen == ([] if expected is None else [expected])


@pytest.mark.parametrize("where", Where)
def test_where_no_edge_changes_anything_or_scores_are_no_log_odds(where: Where) -> None:
    flat = Pairs(torch.zeros(1, 3), torch.zeros(1, 3, 3), torch.zeros(1))
    assert search(flat, where=where).tolist() == [0, 0, 0]
    assert search(Pairs(torch.zeros(0, 3), torch.zeros(0, 3, 3), torch.zeros(0)), where=where).shape == (0,)
    trials = Pairs(torch.tensor([[100.0, -50.0, 70.0]]), torch.zeros(1, 3, 3), torch.tensor([0.0]))
    assert (search(trials, classes=False, where=where) > 0).tolist() == [True, False, True]


def test_no_more_masks_have_gradients_at_once_than_allowed() -> None:
    trials = Watched(*vars(problem(0, num_edges=100)).values())
    search(trials, length=3, where=Where.EVERYWHERE)
    assert trials.seen
    assert max(trials.seen) <= trials.at_once


@pytest.mark.parametrize("where", Where)
def test_where_probabilities_are_certain_scores_decide(where: Where) -> None:
    trials = Pairs(torch.tensor([[5.0, -1.0, 3.0, 2.0, 1.0, 0.0]]), torch.zeros(1, 6, 6), torch.tensor([60.0]))
    assert (search(trials, length=3, where=where) > 0.5).tolist() == [True, False, True, True, False, False]


def test_a_set_to_which_a_model_has_no_answer_is_none() -> None:
    trials = Broken(torch.tensor([[5.0, -1.0, 3.0, 2.0]]), torch.zeros(1, 4, 4), torch.tensor([-4.0]))
    assert search(trials, length=2, where=Where.EVERYWHERE).argsort(descending=True)[:2].tolist() == [2, 0]
