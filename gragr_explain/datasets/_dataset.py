"""A graph with the names that its numbers go by."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch_geometric.data import Data


@dataclass(frozen=True)
class GraphDataset:
    """A graph for node classification.

    Attributes:
        name: The name of the data set, or the path of its file.
        data: The graph: ``x`` of shape ``[num_nodes, num_features]``, ``edge_index``, ``y`` of shape ``[num_nodes]``,
            and ``train_mask``, ``val_mask`` and ``test_mask``, each of shape ``[num_nodes]``.
        class_names: The name of each class.
        feature_names: The name of each feature, where it has one.
        image_shape: ``(height, width)`` where the features of a node are the pixels of a picture.
    """

    name: str
    data: Data
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...] | None = None
    image_shape: tuple[int, int] | None = None


def number_classes(y: Tensor) -> tuple[str, ...]:
    """Names for classes that nobody has named.

    Example:
        >>> import torch
        >>> number_classes(torch.tensor([0, 2, 1]))
        ('class 0', 'class 1', 'class 2')
    """
    return tuple(f"class {label}" for label in range(int(y.max()) + 1))
