"""Rows of one matrix, many of them the same, that are multiplied with weights only once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._pytree import tree_map

from gragr_explain.explain._products import Source

_MOST_STEPS = 32

Step = Callable[[Tensor], Tensor]
"""Something done to rows that may as well be done to their products with a weight: picking, weighing, adding up."""


class SharedRows(Tensor):
    """Rows of a matrix that look like an ordinary tensor, but are made only where that cannot be avoided.

    The computation graphs of neighbouring nodes hold the same nodes, and so do copies of them. What a layer makes of
    each node alone, its product with a weight, is then the same as well: it is computed once for every row of the
    matrix, remembered, and picked. Where rows are weighed and added up first, as by layers that send messages before
    they multiply them with a weight, the same is done to the rows of the product, which has fewer columns.

    Args:
        source: What the rows are made of.
        picked: Which rows of the source they are, ``[num_rows]``; ``None`` for what is more than picked.
        function: How they are made of those of the source, where they are more than picked.
        num_rows: How many they are then.
        num_steps: How many steps that takes.

    Example:
        >>> from gragr_explain.explain._products import Products
        >>> matrix, weight = torch.rand(3, 4), torch.rand(4, 2)
        >>> rows = SharedRows(Source(matrix, Products()), torch.tensor([2, 0, 2, 1]))
        >>> torch.allclose(rows @ weight, matrix[[2, 0, 2, 1]] @ weight)
        True
    """

    source: Source
    picked: Tensor | None
    function: Step
    num_steps: int

    @staticmethod
    def __new__(
        cls,
        source: Source,
        picked: Tensor | None,
        function: Step | None = None,
        num_rows: int = 0,
        num_steps: int = 1,
    ) -> SharedRows:
        matrix, num_rows = source.matrix, num_rows if picked is None else picked.numel()
        rows = Tensor._make_wrapper_subclass(cls, (num_rows, matrix.size(1)), dtype=matrix.dtype, device=matrix.device)
        rows.source, rows.picked, rows.num_steps = source, picked, num_steps
        rows.function = _picking(picked) if function is None else function
        return rows

    def __init__(self, *_args: Any) -> None:
        super().__init__()

    def watched(self) -> SharedRows:
        """The same rows, with gradients with respect to them."""
        return SharedRows(Watched(self), torch.arange(self.size(0), device=self.device))

    def made(self) -> Tensor:
        """The rows as an ordinary tensor."""
        return self.function(self.source.rows())

    def some(self, rows: slice) -> Tensor:
        """Some of the rows, which are only picked, as an ordinary tensor."""
        assert self.picked is not None
        return self.source.matrix.index_select(0, self.picked[rows])

    def times(self, weight: Tensor) -> Tensor:
        """Their product with a weight of shape ``[num_columns, num_outputs]``."""
        if self.picked is None and weight.size(1) > self.size(1):
            return self.made() @ weight  # what is done to rows is done to fewer columns
        return self.function(self.source.times(weight))

    def at(self, index: Tensor) -> SharedRows:
        """Some of the rows, ``[num_kept]``."""
        if self.picked is not None and (torch.is_grad_enabled() or not isinstance(self.source, Watched)):
            return SharedRows(self.source, self.picked.index_select(0, index))
        return self.then(lambda rows: rows.index_select(0, index), index.numel())

    def then(self, step: Step, num_rows: int) -> SharedRows:
        """The rows after a step, ``[num_rows]``."""
        before, after = self.function, _as_now(step)
        return SharedRows(self.source, None, lambda every: after(before(every)), num_rows, self.num_steps + 1)

    def plus(self, other: SharedRows) -> SharedRows:
        """The sum with as many rows that are made of the same source."""
        both = _as_now(lambda every: self.function(every) + other.function(every))
        return SharedRows(self.source, None, both, self.size(0), self.num_steps + other.num_steps)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{type(self).__name__}({list(self.shape)})"

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RULES and (found := _RULES[func](*args, **kwargs)) is not NotImplemented:
            return found
        if not _only_describes(func):
            args, kwargs = tree_map(lambda value: value.made() if isinstance(value, cls) else value, (args, kwargs))
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **kwargs)

    @classmethod
    def __torch_dispatch__(cls, func: Any, *_args: Any, **_kwargs: Any) -> Any:  # type: ignore[override]
        raise TypeError(f"{func} was called with rows that are not made")


def _as_now(step: Step) -> Step:
    """A step without gradients where there are none now."""
    return step if torch.is_grad_enabled() else torch.no_grad()(step)


def _picking(index: Tensor | None) -> Step:
    assert index is not None
    return lambda every: every.index_select(0, index)


class Watched(Source):
    """Rows with respect to which there are gradients.

    Args:
        shared: The rows.

    Attributes:
        leaf: The rows as they are, where they were needed.
        leaves: Their products with weights, ``[num_rows, num_outputs]``, and these weights.
    """

    def __init__(self, shared: SharedRows) -> None:
        super().__init__(shared.source.matrix, shared.source.products)
        self.shared = shared
        self.leaf: Tensor | None = None
        self.leaves: list[tuple[Tensor, Tensor]] = []

    def rows(self) -> Tensor:
        """The rows."""
        if not torch.is_grad_enabled():
            return self.shared.made()
        if self.leaf is None:
            self.leaf = self.shared.made().requires_grad_()
        return self.leaf

    def times(self, weight: Tensor) -> Tensor:
        """Their product with a weight."""
        product = self.shared.times(weight)
        if torch.is_grad_enabled():
            self.leaves.append((product.requires_grad_(), weight.detach()))
        return product


_CONTENTS = {"T", "mT", "H", "mH", "real", "imag", "data", "grad"}
_DESCRIPTIONS = {"size", "dim", "ndimension", "numel", "nelement", "is_floating_point", "is_complex", "get_device"}
_DESCRIPTIONS |= {"element_size", "__len__", "__hash__"}


def _only_describes(func: Any) -> bool:
    """Whether a function tells what a tensor is like, and not what is in it."""
    if func.__name__ == "__get__":
        return func.__self__.__name__ not in _CONTENTS
    return func.__name__ in _DESCRIPTIONS


class _Zeros:
    """As many rows of zeros."""

    def __init__(self, num_rows: int) -> None:
        self.num_rows = num_rows

    def __call__(self, rows: Tensor) -> Tensor:
        return rows.new_zeros(self.num_rows, rows.size(1))


def _linear(input: Any, weight: Any, bias: Tensor | None = None) -> Any:
    product = NotImplemented if isinstance(weight, SharedRows) else _matmul(input, weight.t())
    return product if bias is None or product is NotImplemented else product + bias


def _matmul(input: Any, other: Any, **options: Any) -> Any:
    plain = isinstance(input, SharedRows) and not isinstance(other, SharedRows) and other.dim() == 2
    if not plain or options or _is_computed(other) or torch.is_autocast_enabled(input.device.type):
        return NotImplemented
    return input.times(other)


def _is_computed(weight: Tensor) -> bool:
    """Whether gradients flow through a weight to what it was computed from; a parameter may be turned or cut."""
    view_of = weight._base if weight._is_view() else None
    return weight.grad_fn is not None and not (view_of is not None and view_of.is_leaf)


def _index_select(input: Any, dim: int, index: Tensor, **options: Any) -> Any:
    return NotImplemented if options or dim not in (0, -2) else input.at(index)


def _cat(tensors: Any, dim: int = 0, **options: Any) -> Any:
    picked = []
    for rows in tensors:
        if not isinstance(rows, SharedRows) or rows.picked is None or rows.source is not tensors[0].source:
            return NotImplemented
        if isinstance(rows.source, Watched) and not torch.is_grad_enabled():
            return NotImplemented
        picked.append(rows.picked)
    return NotImplemented if options or dim not in (0, -2) else SharedRows(tensors[0].source, torch.cat(picked))


def _mul(input: Any, other: Any, **options: Any) -> Any:
    rows, factor = (input, other) if isinstance(input, SharedRows) else (other, input)
    factor = _factor_of(rows, factor)
    return NotImplemented if options or factor is None else rows.then(lambda each: each * factor, rows.size(0))


def _div(input: Any, other: Any, **options: Any) -> Any:
    factor = _factor_of(input, other) if isinstance(input, SharedRows) else None
    return NotImplemented if options or factor is None else input.then(lambda each: each / factor, input.size(0))


def _factor_of(rows: SharedRows, factor: Any) -> Any:
    """A number for all rows, or one for each, ``[num_rows, 1]``; ``None`` for what is neither."""
    if isinstance(factor, int | float):
        return factor
    if not isinstance(factor, Tensor) or isinstance(factor, SharedRows) or factor.dtype != rows.dtype:
        return None
    if factor.numel() == 1 and factor.dim() <= 2:
        return factor.reshape(())
    same_in_a_row = factor.dim() == 2 and (factor.size(1) == 1 or factor.stride(1) == 0)
    fits = same_in_a_row and factor.size(0) == rows.size(0) and factor.size(1) in (1, rows.size(1))
    return factor[:, :1] if fits else None


def _add(input: Any, other: Any, **options: Any) -> Any:
    if options or not isinstance(input, SharedRows) or not isinstance(other, SharedRows):
        return NotImplemented
    if input.source is not other.source or input.shape != other.shape:
        return NotImplemented
    # both sides take all of their steps again: where sums are added to sums, that soon is too many
    return input.plus(other) if input.num_steps + other.num_steps <= _MOST_STEPS else NotImplemented


def _new_zeros(input: SharedRows, *size: Any, **options: Any) -> Any:
    shape = size[0] if size and isinstance(size[0], Sequence) else size
    if options or len(shape) != 2 or shape[1] != input.size(1):
        return torch.zeros(*size, **{"dtype": input.dtype, "device": input.device, **options})
    return SharedRows(input.source, None, _Zeros(shape[0]), shape[0])


def _new_ones(input: SharedRows, *size: Any, **options: Any) -> Any:
    return torch.ones(*size, **{"dtype": input.dtype, "device": input.device, **options})


def _scatter_add_(input: Any, dim: int, index: Tensor, src: Any) -> Any:
    zeros = input.function if isinstance(input, SharedRows) else None
    if not isinstance(zeros, _Zeros) or not isinstance(src, SharedRows) or dim not in (0, -2):
        return NotImplemented
    if index.shape != src.shape or index.stride(1) != 0:
        return NotImplemented
    into = index[:, :1]
    return src.then(lambda each: zeros(each).scatter_add_(0, into.expand_as(each), each), zeros.num_rows)


def _expand_as(input: Any, other: Tensor) -> Any:
    return NotImplemented if isinstance(input, SharedRows) else input.expand(other.shape)


def _dropout(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    return NotImplemented if training else input


_RULES: dict[Any, Callable[..., Any]] = {
    F.linear: _linear,
    F.dropout: _dropout,
    torch.cat: _cat,
    Tensor.new_zeros: _new_zeros,
    Tensor.new_ones: _new_ones,
    Tensor.scatter_add_: _scatter_add_,
    Tensor.expand_as: _expand_as,
    Tensor.detach: lambda rows: rows.then(Tensor.detach, rows.size(0)),
    Tensor.contiguous: lambda rows, **_options: rows,
    **dict.fromkeys((torch.mm, Tensor.mm, torch.matmul, Tensor.matmul, Tensor.__matmul__), _matmul),
    **dict.fromkeys((torch.index_select, Tensor.index_select), _index_select),
    **dict.fromkeys((torch.mul, Tensor.mul, Tensor.__mul__, Tensor.__rmul__), _mul),
    **dict.fromkeys((torch.div, Tensor.div, Tensor.__truediv__), _div),
    **dict.fromkeys((torch.add, Tensor.add, Tensor.__add__, Tensor.__radd__), _add),
}
"""What is done to rows that are not made. What gives ``NotImplemented`` is done to made ones, as all else is."""
