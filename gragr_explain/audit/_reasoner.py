"""The Reasoner of an audit: from evidence to a calibrated probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

_PENALTY = 0.1


@dataclass(frozen=True)
class DoubtReasoner:
    r"""A logistic regression of which each kind of evidence can only speak as it should.

    .. math::
        p(\text{wrong} \mid e) = \sigma\Bigl(a \sum_j w_j \frac{e_j - \mu_j}{\sigma_j} + b\Bigr)

    :math:`w_j` has the sign of its evidence, so that few examples suffice and a reason is never the wrong way round.
    Evidence that is not defined counts as the mean. :math:`a` and :math:`b` calibrate the score (Platt, 1999) on
    examples that its weights were not fitted on.

    Attributes:
        mean: :math:`\mu_j`, ``[num_evidence]``.
        std: :math:`\sigma_j`, ``[num_evidence]``.
        weight: :math:`w_j`, ``[num_evidence]``.
        slope: :math:`a`.
        offset: :math:`b`.
        prior: The share of wrong examples that it was calibrated on.
    """

    mean: np.ndarray
    std: np.ndarray
    weight: np.ndarray
    slope: float
    offset: float
    prior: float

    @classmethod
    def fit(
        cls,
        evidence: np.ndarray,
        wrong: np.ndarray,
        group: np.ndarray,
        sign: np.ndarray,
        share: np.ndarray | None = None,
    ) -> DoubtReasoner:
        """Learn from examples.

        Args:
            evidence: Of shape ``[num_examples, num_evidence]``, NaN where not defined.
            wrong: What each example is, ``[num_examples]``.
            group: Which examples belong together, ``[num_examples]``; weights are calibrated on other groups than
                they were fitted on.
            sign: Which way each kind of evidence may speak: 1, -1, or 0 for either, ``[num_evidence]``.
            share: How much each example counts, ``[num_examples]``; ``None`` for all alike.
        """
        wrong, share = wrong.astype(float), np.ones(len(wrong)) if share is None else share
        mean, std = _mean_and_std(evidence)
        standard = np.nan_to_num((evidence - mean) / std)
        score = np.empty(len(wrong))
        for part in np.unique(group):
            own = group == part
            rest = own if own.all() else ~own
            weight, _ = _fit(standard[rest], wrong[rest], sign, share[rest])
            score[own] = standard[own] @ weight
        weight, _ = _fit(standard, wrong, sign, share)
        (slope,), offset = _fit(score[:, None], wrong, np.ones(1), share, penalty=1e-6)
        return cls(mean, std, weight, float(slope), float(offset), float(np.average(wrong, weights=share)))

    def contributions(self, evidence: np.ndarray) -> np.ndarray:
        """What each kind of evidence adds to the log-odds, ``[num_examples, num_evidence]``."""
        return self.slope * self.weight * np.nan_to_num((evidence - self.mean) / self.std)

    def probability(self, evidence: np.ndarray, prior: float | None = None) -> np.ndarray:
        """The probability of each example to be wrong, ``[num_examples]``.

        Args:
            evidence: Of shape ``[num_examples, num_evidence]``.
            prior: The share of wrong examples where these come from; ``None`` for the same as in the fit.
        """
        odds = self.contributions(evidence).sum(1) + self.offset
        return expit(odds if prior is None else odds + _log_odds(prior) - _log_odds(self.prior))


def _fit(
    evidence: np.ndarray, wrong: np.ndarray, sign: np.ndarray, share: np.ndarray, penalty: float = _PENALTY
) -> tuple[np.ndarray, float]:
    """Weights of the given signs, and the intercept, that minimise the mean log loss and an L2 penalty."""
    share = share / share.sum()

    def loss(found: np.ndarray) -> tuple[float, np.ndarray]:
        weight, odds = found[:-1], evidence @ found[:-1] + found[-1]
        error = share * (expit(odds) - wrong)
        value = share @ (np.logaddexp(0, odds) - wrong * odds) + penalty / 2 * weight @ weight
        return value, np.append(evidence.T @ error + penalty * weight, error.sum())

    allowed = {1: (0, None), -1: (None, 0), 0: (None, None)}
    bounds = [*(allowed[int(way)] for way in sign), (None, None)]
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B").x
    return found[:-1], float(found[-1])


def _mean_and_std(evidence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of what is defined; 0 and 1 where nothing is."""
    count = np.isfinite(evidence).sum(0).clip(1)
    mean = np.nansum(evidence, 0) / count
    std = np.sqrt(np.nansum((evidence - mean) ** 2, 0) / count)
    return mean, np.where(std > 1e-9, std, 1.0)


def _log_odds(share: float) -> float:
    return float(logit(np.clip(share, 1e-4, 1 - 1e-4)))
