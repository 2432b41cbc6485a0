"""A matrix that is multiplied with weights only once."""

from __future__ import annotations

from typing import Any

from torch import Tensor

_KEPT = 8


class Products:
    """The products of one matrix with weights, each computed once.

    Attributes:
        width: The most columns that a product has had.
        are_enough: Whether no row of the matrix was needed as it is.
    """

    def __init__(self) -> None:
        self.width, self.are_enough = 0, True
        self._kept: dict[tuple[Any, ...], tuple[Tensor, Tensor]] = {}

    def of(self, matrix: Tensor, weight: Tensor) -> Tensor:
        """The product of the matrix, always the same, with a weight of shape ``[num_columns, num_outputs]``."""
        key = weight.data_ptr(), weight._version, weight.shape, weight.stride()
        if key not in self._kept:
            if len(self._kept) == _KEPT:
                self._kept.clear()
            # the weight is kept with its product, so that no other can come to lie where it lies
            self._kept[key] = weight, matrix @ weight
            self.width = max(self.width, weight.size(1))
        return self._kept[key][1]


class Source:
    """What rows are made of: those of a matrix or, where they are multiplied with a weight, those of the product.

    Args:
        matrix: A floating-point matrix of shape ``[num_rows, num_columns]``.
        products: What is remembered of it.
    """

    def __init__(self, matrix: Tensor, products: Products) -> None:
        self.matrix, self.products = matrix.detach(), products

    def rows(self) -> Tensor:
        """The rows of the matrix."""
        self.products.are_enough = False
        return self.matrix

    def times(self, weight: Tensor) -> Tensor:
        """Those of its product with a weight of shape ``[num_columns, num_outputs]``."""
        return self.products.of(self.matrix, weight.detach())
