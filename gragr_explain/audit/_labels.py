"""The probability that a training label is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from gragr_explain.audit._evidence import SIGN, Outside, evidence
from gragr_explain.audit._planting import KINDS, RATE, plant
from gragr_explain.audit._reasoner import DoubtReasoner
from gragr_explain.audit._retraining import Retraining
from gragr_explain.audit._run import read_run
from gragr_explain.field import GraphOperator
from gragr_explain.history import find_history

_ENOUGH = 300  # planted labels to learn from
_MOST = 3  # plantings of each kind
_ROUNDS = 5
_MOST_WRONG = 0.5  # beyond which given labels say nothing


def count_plantings(num_known: int) -> int:
    """How many times labels are planted, each kind as often as the others.

    Example:
        >>> count_plantings(100), count_plantings(1000)
        (9, 3)
    """
    each = math.ceil(_ENOUGH / max(1, round(RATE * num_known)) / len(KINDS))
    return len(KINDS) * min(_MOST, each)


def plantings(
    retraining: Retraining, outside: Outside, graph: GraphOperator, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Plant wrong labels, train with them, and look at what the training says about every training node.

    Args:
        retraining: How to train.
        outside: What is known of each node without its own label.
        graph: The graph, prepared.
        seed: Of the first planting and its training.

    Yields:
        Evidence of shape ``[num_train, num_evidence]``, and which labels were planted, ``[num_train]``.
    """
    data, known = retraining.data, retraining.data.train_mask
    assert outside.held_out is not None
    for number in range(count_plantings(int(known.sum()))):
        generator = torch.Generator().manual_seed(seed + number)
        kind = KINDS[number % len(KINDS)]
        y = plant(data.y, known, outside.held_out, graph, kind, generator)
        model, planted = retraining.run(y, known, seed + number, record=True)
        history = find_history(model)
        assert history is not None
        run = read_run(model, history, planted, graph)
        found = evidence(run, outside, torch.where(known, y, run.prediction))
        yield found[known].cpu().numpy(), (y != data.y)[known].cpu().numpy()


def doubt_labels(examples: list[tuple[np.ndarray, np.ndarray]]) -> tuple[DoubtReasoner, float]:
    """Learn from plantings which labels are wrong.

    The labels among which wrong ones were planted are not all right themselves, so that the Reasoner is fitted several
    times: each time, a given label counts as right only as far as it probably is, by the fit before.

    Args:
        examples: What :func:`plantings` yields, one planting of each kind in turn.

    Returns:
        The Reasoner, and the share of wrong ones among the given labels: the largest that is possible
        (:func:`largest_share`) if they are wrong in one of the planted ways.
    """
    found, wrong = (np.concatenate(part) for part in zip(*examples, strict=True))
    group = np.repeat(np.arange(len(examples)), [len(part) for _, part in examples])
    kind = group % len(KINDS)
    right = np.ones(len(wrong))
    for _ in range(_ROUNDS):
        reasoner = DoubtReasoner.fit(found, wrong, group, SIGN, right)
        probability = reasoner.probability(found)
        share = max(
            largest_share(probability[wrong & (kind == number)], probability[~wrong]) for number in range(len(KINDS))
        )
        right = np.where(wrong, 1.0, 1 - reasoner.probability(found, share))
    return reasoner, share


def largest_share(wrong: np.ndarray, given: np.ndarray) -> float:
    r"""The largest share of wrong labels that is possible among the given ones, one half at most.

    Above every threshold of doubt, there are at least as many given labels as wrong ones among them,
    :math:`F_{\text{given}}(t) \ge \pi F_{\text{wrong}}(t)`, so that :math:`\pi` is at most the smallest ratio of
    the two (Blanchard, Lee and Scott, *Semi-Supervised Novelty Detection*, JMLR 11, 2010). Thresholds are those above
    which at least half of the wrong labels are. A right label that nothing tells from a wrong one counts as wrong.

    Args:
        wrong: The doubts about labels that are known to be wrong, ``[num_wrong]``.
        given: Those about the given labels, ``[num_given]``.

    Example:
        >>> largest_share(np.array([0.7, 0.8, 0.9, 0.9]), np.array([0.1, 0.1, 0.3, 0.9]))
        0.25
    """
    threshold = np.sort(wrong)[: len(wrong) // 2 + 1]
    above_wrong, above_given = (1 - np.searchsorted(np.sort(doubt), threshold) / len(doubt) for doubt in (wrong, given))
    return float(min(_MOST_WRONG, np.min(above_given / above_wrong)))
