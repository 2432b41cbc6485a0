"""How a psi is distributed over a graph."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BINS = 24


@dataclass(frozen=True)
class Histogram:
    """The bins of a histogram over the inner 99 percent of values.

    Attributes:
        edges: The edges of the bins.
        shares: The share of all values in each bin, those further out counted in the outermost bins.
        scale: ``"log"`` where all values are positive and span more than two orders of magnitude, else ``"linear"``.
    """

    edges: list[float]
    shares: list[float]
    scale: str


def histogram(values: np.ndarray) -> Histogram:
    """The histogram of at least one value.

    Example:
        >>> histogram(np.array([1.0, 2.0, 2.0, 1e4])).scale
        'log'
    """
    edges, scale = _edges(values)
    counts, _ = np.histogram(values.clip(edges[0], edges[-1]), edges)
    return Histogram(edges, (counts / len(values)).tolist(), scale)


def _edges(values: np.ndarray) -> tuple[list[float], str]:
    low, high = np.quantile(values, [0.005, 0.995])
    if values.min() > 0 and low > 0 and high / low > 100:
        return np.geomspace(low, high, BINS + 1).tolist(), "log"
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        margin = 0.5 * max(abs(low), 1e-6)
        low, high = low - margin, high + margin
    return np.linspace(low, high, BINS + 1).tolist(), "linear"
