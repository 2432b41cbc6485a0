"""Whether outputs are the same but for rounding."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gragr_explain.errors import warn_caller

SAME_OUTPUT = 1000
"""How many :func:`rounding_unit` outputs may differ by, and be the same."""


def rounding_unit(dtype: torch.dtype) -> float:
    """What counts as rounding is so many of these: units in the last place, of half precision hundredths of one.

    There a hundred units are more than the numbers themselves, and what a model makes of a graph is rounded only once
    a layer.

    Example:
        >>> rounding_unit(torch.float32) == 2**-23, rounding_unit(torch.bfloat16) == 2**-7 / 100
        (True, True)
    """
    eps = torch.finfo(dtype).eps
    return eps if eps < 1e-6 else eps / 100


def largest_number(output: Tensor) -> float:
    """The largest magnitude of the finite numbers of an output."""
    return float(output.nan_to_num(nan=0, posinf=0, neginf=0).abs().max())


def is_same_output(found: Tensor, expected: Tensor) -> bool:
    """Whether two outputs differ by no more than rounding, and have no numbers in the same places."""
    scale = SAME_OUTPUT * rounding_unit(found.dtype)
    return found.shape == expected.shape and torch.allclose(
        found, expected, rtol=scale, atol=scale * largest_number(expected), equal_nan=True
    )


def difference(found: Tensor, expected: Tensor, typical: float = 0.0) -> float:
    """How far two outputs are apart, in :func:`rounding_unit` of the largest number that is expected.

    Args:
        found: One output.
        expected: The other.
        typical: A magnitude below which nothing counts as large.

    Returns:
        A number of units, infinite where shapes differ or something is not a number.
    """
    if found.shape != expected.shape:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    largest = max(float(expected.abs().max()), typical) or 1.0
    apart = float((found - expected).abs().max()) / (largest * rounding_unit(expected.dtype))
    return math.inf if math.isnan(apart) else apart


def warn_of_chance(output: Tensor, again: Tensor) -> None:
    """Warn where a model in evaluation mode says something else of the same graph when it is called again."""
    if output.is_floating_point() and difference(again.detach(), output.detach()) > SAME_OUTPUT:
        warn_caller(
            "the model in evaluation mode returns other outputs each time it is called, and its explanations will be "
            "others, too; is dropout always on, as by F.dropout(x) without training=self.training?"
        )
