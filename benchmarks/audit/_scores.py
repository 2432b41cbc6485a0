"""How well doubts are ordered, and how true their probabilities are."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import average_precision_score, matthews_corrcoef, roc_auc_score

BINS = 10


def detection(doubt: np.ndarray, wrong: np.ndarray, flagged: np.ndarray | None) -> dict[str, float]:
    """Scores of one method on the labels of one graph.

    Args:
        doubt: Higher for more doubtful labels, ``[num_train]``.
        wrong: Which labels are wrong, likewise.
        flagged: Which of them the method says are wrong; ``None`` for as many as there are.
    """
    count = int(wrong.sum())
    first = np.zeros(len(wrong), dtype=bool)
    first[np.argsort(-doubt, kind="stable")[:count]] = True
    return {
        "auroc": float(roc_auc_score(wrong, doubt)),
        "ap": float(average_precision_score(wrong, doubt)),
        "precision": float(wrong[first].mean()),
        "mcc": float(matthews_corrcoef(wrong, first if flagged is None else flagged)),
    }


def risk_coverage_area(doubt: np.ndarray, wrong: np.ndarray) -> float:
    """The mean error of the predictions that are kept, over all numbers of them, the least doubtful first.

    Example:
        >>> risk_coverage_area(np.array([0.1, 0.2, 0.3]), np.array([False, False, True])).__round__(4)
        0.1111
    """
    errors = wrong[np.argsort(doubt, kind="stable")].astype(float)
    return float((errors.cumsum() / np.arange(1, len(errors) + 1)).mean())


def calibration_bins(probability: np.ndarray, wrong: np.ndarray) -> list[list[float]]:
    """The number, the sum of probabilities and the number of wrong ones in each of ten equal parts of [0, 1].

    Example:
        >>> calibration_bins(np.array([0.02, 0.97, 1.0]), np.array([False, True, True]))[9]
        [2.0, 1.97, 2.0]
    """
    place = np.minimum((probability * BINS).astype(int), BINS - 1)
    sums = (np.bincount(place, weight, BINS) for weight in (np.ones(len(place)), probability, wrong))
    return [list(row) for row in np.stack(list(sums), axis=1).tolist()]


def calibration_error(bins: np.ndarray) -> float:
    """The mean distance between probability and share, over bins of :func:`calibration_bins`, ``[10, 3]``."""
    return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / bins[:, 0].sum())
