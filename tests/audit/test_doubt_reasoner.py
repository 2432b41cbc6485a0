"""The Reasoner of an audit as mathematics: signs, optimality, probabilities, the share of wrong labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, logit

from gragr_explain.audit._evidence import SIGN as LABEL_SIGN
from gragr_explain.audit._labels import doubt_labels, largest_share
from gragr_explain.audit._reasoner import DoubtReasoner, _fit


def examples(count=4000, rate=0.1, seed=0, strength=1.5):
    """Two kinds of evidence that speak as they should, one that does not matter, one that is never defined."""
    random = np.random.default_rng(seed)
    wrong = random.random(count) < rate
    evidence = random.normal(size=(count, 4))
    evidence[:, 0] += strength * wrong
    evidence[:, 1] = 3 - 10 * (evidence[:, 1] + wrong)
    evidence[:, 3] = np.nan
    return evidence, wrong


SIGN = np.array([1, -1, 0, 1])


def fitted(**options):
    evidence, wrong = examples(**options)
    return DoubtReasoner.fit(evidence, wrong, np.arange(len(wrong)) % 3, SIGN)


@given(st.integers(0, 10_000), st.integers(10, 80), st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=4))
def test_weights_are_the_best_of_their_signs(seed, count, sign):
    """At the minimum, the slope is zero, or a weight is at zero and would have to turn round to gain."""
    random = np.random.default_rng(seed)
    evidence, wrong = random.normal(size=(count, len(sign))), random.random(count) < 0.4
    share = random.random(count) + 0.1
    weight, offset = _fit(evidence, wrong.astype(float), np.array(sign), share)
    error = (expit(evidence @ weight + offset) - wrong) * share / share.sum()
    slope = evidence.T @ error + 0.1 * weight
    for way, own, gain in zip(sign, weight, slope, strict=True):
        assert own * way >= 0
        if own != 0 or way == 0:
            assert abs(gain) < 1e-3
        else:
            assert gain * way > -1e-3
    if 0 < wrong.sum() < count:
        assert abs(error.sum()) < 1e-3


def test_evidence_speaks_as_it_should_or_not_at_all():
    evidence, wrong = examples()
    against = DoubtReasoner.fit(evidence, wrong, np.arange(len(wrong)) % 3, np.array([-1, 1, 0, 1]))
    assert against.weight[0] == 0
    assert against.weight[1] == 0
    right = fitted()
    assert right.weight[0] > 0 > right.weight[1]
    assert right.weight[3] == 0


def test_contributions_add_up_to_the_log_odds():
    reasoner = fitted()
    evidence, _ = examples(count=50, seed=3)
    odds = reasoner.contributions(evidence).sum(1) + reasoner.offset
    np.testing.assert_allclose(reasoner.probability(evidence), expit(odds))
    shifted = odds + logit(0.3) - logit(reasoner.prior)
    np.testing.assert_allclose(reasoner.probability(evidence, 0.3), expit(shifted))


def test_what_is_not_defined_says_nothing():
    reasoner = fitted()
    evidence, _ = examples(count=5)
    evidence[:, :3] = np.nan
    np.testing.assert_array_equal(reasoner.contributions(evidence), 0)
    whole = np.full((9, 2), np.nan)
    unknown = DoubtReasoner.fit(whole, np.arange(9) < 3, np.arange(9) % 3, np.array([1, -1]))
    np.testing.assert_allclose(unknown.probability(whole), 1 / 3, atol=1e-3)


def test_probabilities_are_shares():
    reasoner = fitted(count=20_000)
    evidence, wrong = examples(count=20_000, seed=1)
    probability = reasoner.probability(evidence)
    assert probability.mean() == pytest.approx(wrong.mean(), abs=0.01)
    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 1)):
        part = (low <= probability) & (probability < high)
        assert probability[part].mean() == pytest.approx(wrong[part].mean(), abs=0.05)


@pytest.mark.parametrize("rate", [0.02, 0.1, 0.3])
def test_probabilities_where_the_share_is_another_one(rate):
    reasoner = fitted(count=20_000, strength=2.5)
    evidence, wrong = examples(count=20_000, rate=rate, seed=1, strength=2.5)
    assert reasoner.probability(evidence, rate).mean() == pytest.approx(wrong.mean(), abs=0.01)


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2])
def test_labels_among_which_wrong_ones_are_planted_are_wrong_themselves(rate):
    """Nobody says which of the given labels are wrong; the share comes out, and the probabilities with it."""
    random = np.random.default_rng(0)
    planted, given = [], []
    for seed in range(6):
        evidence, wrong = drawn_evidence(2000, rate, seed)
        chosen = random.random(2000) < 0.1
        other, _ = drawn_evidence(2000, 1.0, 100 + seed)
        planted.append((np.where(chosen[:, None], other, evidence), chosen))
        given.append((evidence, wrong))
    reasoner, share = doubt_labels(planted)
    evidence, wrong = given[0]
    probability = reasoner.probability(evidence, share)
    assert share == pytest.approx(rate, abs=0.025)
    assert probability.mean() == pytest.approx(wrong.mean(), abs=0.04)
    if rate:
        assert (probability > 0.5).sum() == pytest.approx(wrong.sum(), rel=0.3)
        assert wrong[probability > 0.5].mean() > 0.85


def drawn_evidence(count, rate, seed):
    """Each kind of evidence as strong as the others, in the way it may speak."""
    random = np.random.default_rng(seed)
    wrong = random.random(count) < rate
    return random.normal(size=(count, len(LABEL_SIGN))) + LABEL_SIGN * wrong[:, None], wrong


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
    st.lists(st.integers(0, 9), min_size=1, max_size=30),
)
def test_the_largest_share_against_all_thresholds(wrong, given_labels):
    ratios = []
    for threshold in wrong:
        above = sum(value >= threshold for value in wrong) / len(wrong)
        if above >= 0.5:
            ratios.append(sum(value >= threshold for value in given_labels) / len(given_labels) / above)
    expected = min(0.5, *ratios)
    assert largest_share(np.array(wrong), np.array(given_labels)) == pytest.approx(expected)


def test_no_more_than_half_of_all_labels_are_wrong():
    assert largest_share(np.ones(10), np.ones(10)) == 0.5


@pytest.mark.parametrize("wrong", [np.zeros(30), np.ones(30)])
def test_examples_that_are_all_alike(wrong):
    evidence = np.random.default_rng(0).normal(size=(30, 2))
    reasoner = DoubtReasoner.fit(evidence, wrong.astype(bool), np.arange(30) % 3, np.array([1, -1]))
    np.testing.assert_allclose(reasoner.probability(evidence), wrong, atol=0.02)


def test_one_group_alone():
    evidence, wrong = examples(count=200)
    reasoner = DoubtReasoner.fit(evidence, wrong, np.zeros(200), SIGN)
    assert reasoner.probability(evidence).mean() == pytest.approx(wrong.mean(), abs=0.01)


def test_weights_that_fit_chance_alone_are_not_believed():
    """How much a score counts is learned where the weights have not been: on the examples of the other groups."""
    random = np.random.default_rng(0)
    evidence, wrong = random.normal(size=(60, 20)), random.random(60) < 0.3
    reasoner = DoubtReasoner.fit(evidence, wrong, np.arange(60) % 3, np.zeros(20))
    assert reasoner.slope < 1
