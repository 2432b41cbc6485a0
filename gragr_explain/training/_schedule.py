"""When to reason: the adaptive scheduler (eq. 14)."""

from __future__ import annotations

import math

from gragr_explain.arguments import check_number


class AdaptiveScheduler:
    r"""Opens the gate of gradient reasoning once the loss has reached a plateau.

    .. math::
        \gamma(t) = 1 \iff \mathcal{L}(t-1) - \mathcal{L}(t) \le \eta_{\text{thresh}} \;\land\; t \ge t_{\min}

    GraGR paper, eq. 14 and algorithm 1. The improvement is relative to :math:`\mathcal{L}(t-1)`, so that the threshold
    does not depend on the loss's unit.

    Args:
        threshold: :math:`\eta_{\text{thresh}}`, the share of the loss by which an epoch must improve it to keep the
            gate closed.
        min_epochs: :math:`t_{\min}`, the number of epochs for which the gate stays closed in any case.

    Raises:
        InvalidArgumentError: If one of the two is negative.

    Example:
        >>> scheduler = AdaptiveScheduler(threshold=0.01, min_epochs=2)
        >>> [scheduler.open(loss) for loss in (1.0, 1.0, 0.5, 0.499)]
        [False, True, False, True]
    """

    def __init__(self, threshold: float = 1e-3, min_epochs: int = 10) -> None:
        check_number("threshold", threshold, least=0)
        check_number("min_epochs", min_epochs, whole=True, least=0)
        self.threshold = threshold
        self.min_epochs = min_epochs
        self._seen = 0
        self._last = math.inf

    def open(self, loss: float) -> bool:
        """Take in the loss of an epoch; whether the next one reasons."""
        at_rest = self._seen > 0 and self._last - loss <= self.threshold * abs(self._last)
        self._last = loss
        self._seen += 1
        return self._seen >= self.min_epochs and at_rest
