"""Rows of one matrix, many of them the same, that are multiplied with weights only once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

aten = torch.ops.aten
_KEPT = 8


class SharedRows(Tensor):
    """Rows of a matrix that looks like an ordinary tensor, but is made only where that cannot be avoided.

    The computation graphs of neighbouring nodes hold the same nodes, and so do copies of them. What a layer makes of
    each node alone, its product with a weight, is then the same as well: it is computed once for every row of the
    matrix, remembered, and picked. Gradients with respect to the rows are ordinary tensors; none flow into the matrix.

    Args:
        matrix: A floating-point matrix of shape ``[num_rows, num_columns]``.
        index: Which of its rows, ``[num_picked]``.
        products: What is remembered; pass on the dictionary of other rows of the same matrix.

    Example:
        >>> matrix, weight = torch.rand(3, 4), torch.rand(4, 2)
        >>> rows = SharedRows(matrix, torch.tensor([2, 0, 2, 1]))
        >>> torch.allclose(rows @ weight, matrix[[2, 0, 2, 1]] @ weight)
        True
    """

    matrix: Tensor
    picked: Tensor
    products: dict[tuple[Any, ...], tuple[Tensor, Tensor]]

    @staticmethod
    def __new__(cls, matrix: Tensor, index: Tensor, products: dict[Any, Any] | None = None) -> SharedRows:
        shape = (index.numel(), matrix.size(1))
        rows = Tensor._make_wrapper_subclass(cls, shape, dtype=matrix.dtype, device=matrix.device)
        rows.matrix, rows.picked, rows.products = matrix.detach(), index, {} if products is None else products
        return rows

    def __init__(self, *_args: Any) -> None:
        super().__init__()

    def made(self) -> Tensor:
        """The rows as an ordinary tensor."""
        return self.matrix.index_select(0, self.picked)

    def times(self, weight: Tensor) -> Tensor:
        """The product of the rows with a matrix of shape ``[num_columns, num_outputs]``."""
        key = weight.data_ptr(), weight._version, weight.shape, weight.stride()
        if key not in self.products:
            if len(self.products) == _KEPT:
                self.products.clear()
            # the weight is kept with its product, so that no other can come to lie where it lies
            self.products[key] = weight, self.matrix @ weight
        return self.products[key][1].index_select(0, self.picked)

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"{type(self).__name__}({list(self.shape)})"

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[Any, Any] | None = None
    ) -> Any:
        if not kwargs:
            if func is aten.mm.default and isinstance(args[0], cls) and not isinstance(args[1], cls):
                return args[0].times(args[1])
            if func is aten.addmm.default and isinstance(args[1], cls):
                return args[0] + args[1].times(args[2])
            if func is aten.index_select.default and isinstance(args[0], cls) and args[1] in (0, -2):
                return cls(args[0].matrix, args[0].picked.index_select(0, args[2]), args[0].products)
            if func is aten.cat.default and _of_one_matrix(args[0]) and args[1:] in ((), (0,), (-2,)):
                return cls(args[0][0].matrix, torch.cat([rows.picked for rows in args[0]]), args[0][0].products)
            if func is aten.detach.default:
                return cls(args[0].matrix, args[0].picked, args[0].products)
        made = tree_map(
            lambda value: value.made() if isinstance(value, cls) else value, (list(args), dict(kwargs or {}))
        )
        return func(*made[0], **made[1])


def _of_one_matrix(parts: Sequence[Tensor]) -> bool:
    first = parts[0]
    return isinstance(first, SharedRows) and all(
        isinstance(rows, SharedRows) and rows.products is first.products for rows in parts
    )
