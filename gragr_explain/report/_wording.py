"""Numbers and names in sentences."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share as a percentage that never rounds up to all, or down to none.

    Example:
        >>> percent(0.505), percent(0.9999), percent(1.0)
        ('50\\xa0%', '99.9\\xa0%', '100\\xa0%')
    """
    value = 100 * share
    digits = 1 if 0 < value < 1 or 99 < value < 100 else 0
    return f"{min(max(value, 0.1), 99.9) if digits else value:.{digits}f}\N{NO-BREAK SPACE}%"


def quoted(name: object) -> str:
    """A name in quotation marks."""
    return f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK}"


def counted(number: int, thing: str) -> str:
    """A number of things.

    Example:
        >>> counted(0, "node"), counted(1, "node"), counted(1200, "node")
        ('no node', 'one node', '1,200 nodes')
    """
    return {0: f"no {thing}", 1: f"one {thing}"}.get(number, f"{number:,} {thing}s")
