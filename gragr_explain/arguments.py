"""Arguments checked once at the edge: numbers, names, and what has to be of one type."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from numbers import Integral, Real
from typing import Any

from gragr_explain.errors import InvalidArgumentError, InvalidTypeError

_LARGEST = 2**63 - 1  # what a tensor's size can be


def check_type(name: str, value: Any, kind: type, *, optional: bool = False) -> None:
    """Check that an argument is of a type, or ``None`` where it is optional.

    Raises:
        InvalidTypeError: If it is not.
    """
    if not (isinstance(value, kind) or (optional and value is None)):
        raise InvalidTypeError(f"expected {name} as a {kind.__name__}, got {type(value).__name__}")


def check_names(name: str, names: Any, count: int | None = None) -> None:
    """Check that an argument is a sequence of names, not one name, and as many as are wanted, where that is known.

    Raises:
        InvalidTypeError: If it is no sequence.
        InvalidArgumentError: If there are not as many, or one cannot be written to a file.
    """
    is_sequence = hasattr(names, "__len__") and hasattr(names, "__getitem__")
    if isinstance(names, str | bytes | Mapping) or not is_sequence:
        raise InvalidTypeError(f"expected {name} as a sequence of names, got {names!r}")
    if count is not None and len(names) != count:
        raise InvalidArgumentError(f"expected {count} {name}, got {len(names)}")
    try:
        "".join(map(str, names)).encode()
    except UnicodeEncodeError as error:
        raise InvalidArgumentError(
            f"expected {name} that are Unicode text, got half of a surrogate pair, {error.object[error.start]!r}"
        ) from error


def check_number(
    name: str,
    value: Any,
    *,
    whole: bool = False,
    least: float | None = None,
    within: str | None = None,
    optional: bool = False,
) -> None:
    """Check that an argument is a number and no NaN, and in the range that is asked for.

    Args:
        name: What to call it.
        value: The argument.
        whole: Whether it has to be an integer, which has to fit into 64 bits.
        least: What it is at least; it then has to be finite.
        within: The interval that it is in, such as ``"(0, 1]"`` or ``"[0, inf)"``.
        optional: Whether it may be ``None``.

    Raises:
        InvalidTypeError: If it is no number, or no integer where one is wanted.
        InvalidArgumentError: If it is NaN or out of range.

    Example:
        >>> check_number("dropout", 0.5, within="[0, 1)")
        >>> check_number("dropout", 1.0, within="[0, 1)")
        Traceback (most recent call last):
        gragr_explain.errors.InvalidArgumentError: expected dropout in [0, 1), got 1.0
    """
    if optional and value is None:
        return
    kind: Any = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind):
        raise InvalidTypeError(f"expected {name} as {'an integer' if whole else 'a number'}, got {value!r}")
    if whole and not -_LARGEST <= value <= _LARGEST:
        raise InvalidArgumentError(f"expected {name} of 64 bits, got {value}")
    if least is not None and not least <= value < inf:
        raise InvalidArgumentError(f"expected {name} of at least {least}, got {value}")
    if within is not None and not _is_within(value, within):
        raise InvalidArgumentError(f"expected {name} in {within}, got {value}")
    if value != value:
        raise InvalidArgumentError(f"expected {name} as a number, got {value}")


def _is_within(value: float, interval: str) -> bool:
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    below = value <= high if interval[-1] == "]" else value < high
    return above and below
