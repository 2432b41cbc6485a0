"""Remembering the last result while what it was computed from stays the same."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from gragr_explain.inputs import same_numbers

T = TypeVar("T")


class Memo(Generic[T]):
    """Keeps one result for as long as the very objects it came from are alive and unchanged.

    A tensor counts as unchanged while it holds the same numbers; a model, while it is made of the same kinds of
    modules, and all its parameters, buffers, functions and plain settings such as a dropout rate are what they were.
    Contents are compared, since optimisers, and whoever shares a tensor's memory, write unseen. A copy of a memo, or
    one that was pickled, remembers nothing.
    """

    def __init__(self) -> None:
        self._unchanged: list[Callable[[Any], bool]] | None = None
        self._result: T | None = None

    def __reduce__(self) -> tuple[type[Memo[T]], tuple[()]]:
        return type(self), ()

    def get(self, sources: Sequence[Any], compute: Callable[[], T]) -> T:
        """The remembered result, or a new one where a source has changed."""
        if (
            self._result is None
            or self._unchanged is None
            or len(sources) != len(self._unchanged)
            or not all(unchanged(source) for unchanged, source in zip(self._unchanged, sources, strict=True))
        ):
            self._unchanged = None
            self._result = compute()
            self._unchanged = [_remember(source) for source in sources]
        return self._result


def _remember(source: Any) -> Callable[[Any], bool]:
    """A test whether an object is this one, and as it is now."""
    if source is None or isinstance(source, str | int | float):
        return lambda other: type(other) is type(source) and other == source
    if isinstance(source, list | tuple | dict) or (isinstance(source, Tensor) and source.layout != torch.strided):
        return lambda other: False  # nobody can tell whether these have changed
    alive, before = weakref.ref(source), [part.clone() if isinstance(part, Tensor) else part for part in _state(source)]
    return lambda other: alive() is other and _same(before, _state(other))


def _state(source: Any) -> list[Any]:
    if isinstance(source, nn.Module):
        kinds = [(place, type(module)) for place, module in source.named_modules()]
        settings = [value for module in source.modules() for value in vars(module).values()]
        plain = [value for value in settings if isinstance(value, bool | int | float | str)]
        functions = [weakref.ref(value) for value in settings if callable(value) and type(value).__weakrefoffset__]
        return [kinds, plain, functions, *(value.detach() for value in (*source.parameters(), *source.buffers()))]
    return [source.detach()] if isinstance(source, Tensor) else []


def _same(before: list[Any], now: list[Any]) -> bool:
    def alike(first: Any, second: Any) -> bool:
        if isinstance(first, Tensor) and isinstance(second, Tensor):
            return first.device == second.device and first.dtype == second.dtype and same_numbers(first, second)
        return bool(first == second)

    return len(before) == len(now) and all(alike(*pair) for pair in zip(before, now, strict=True))
