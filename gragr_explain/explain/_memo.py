"""Remembering the last result while what it was computed from stays the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor, nn

T = TypeVar("T")


class Memo(Generic[T]):
    """Keeps one result for as long as the very objects it came from are alive and unchanged.

    Tensors count as unchanged while nothing was written into them in place; a model, while that holds for all its
    parameters and buffers.
    """

    def __init__(self) -> None:
        self._key: list[tuple[Any, int]] | None = None
        self._result: T | None = None

    def get(self, sources: Sequence[Any], compute: Callable[[], T]) -> T:
        """The remembered result, or a new one where a source has changed."""
        key = [_state(part) for source in sources for part in _parts(source)]
        if self._key is None or not _same(self._key, key) or self._result is None:
            self._result = compute()
            self._key = key
        return self._result


def _parts(source: Any) -> list[Any]:
    if isinstance(source, nn.Module):
        return [source, *source.parameters(), *source.buffers()]
    return [source]


def _state(part: Any) -> tuple[Any, int]:
    if isinstance(part, Tensor):
        return weakref.ref(part), -1 if part.is_inference() else part._version
    if isinstance(part, nn.Module):
        return weakref.ref(part), 0
    return part, 0


def _same(old: list[tuple[Any, int]], new: list[tuple[Any, int]]) -> bool:
    def alike(first: Any, second: Any) -> bool:
        if isinstance(first, weakref.ref) and isinstance(second, weakref.ref):
            return first() is not None and first() is second()
        return type(first) is type(second) and first == second

    return len(old) == len(new) and all(
        before[1] == after[1] and alike(before[0], after[0]) for before, after in zip(old, new, strict=True)
    )
