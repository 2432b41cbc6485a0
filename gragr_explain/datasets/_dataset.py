"""A graph with the names that its numbers go by, and its splits."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError

MASKS = ("train_mask", "val_mask", "test_mask")


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
        >>> number_classes(torch.tensor([0, 2, 1]))
        ('class 0', 'class 1', 'class 2')
    """
    return tuple(f"class {label}" for label in range(int(y.max()) + 1))


def choose_split(data: Data, split: int) -> Data:
    """Keep one of a graph's splits.

    Args:
        data: A graph whose masks have the shape ``[num_nodes]``, or ``[num_nodes, num_splits]``.
        split: Which split.

    Raises:
        InvalidArgumentError: If there is no such split.
    """
    num_splits = max(data[name].size(1) if data[name].dim() == 2 else 1 for name in MASKS)
    if not 0 <= split < num_splits:
        known = "only split 0" if num_splits == 1 else f"a split in [0, {num_splits - 1}]"
        raise InvalidArgumentError(f"expected {known} of this data set, got {split}")
    for name in MASKS:
        if data[name].dim() == 2:
            data[name] = data[name][:, split].contiguous()
    return data


def draw_split(y: Tensor, seed: int) -> dict[str, Tensor]:
    """Draw 60 % of each class for training, 20 % for validation and the rest for testing, the same for a seed.

    Args:
        y: Labels of shape ``[num_nodes]``; nodes with a negative one are in no mask.
        seed: Which draw.

    Returns:
        The three masks by name, each of shape ``[num_nodes]``.

    Raises:
        InvalidArgumentError: If the seed is negative.

    Example:
        >>> {name: int(mask.sum()) for name, mask in draw_split(torch.arange(100) % 2, seed=0).items()}
        {'train_mask': 60, 'val_mask': 20, 'test_mask': 20}
    """
    check_number("a split", seed, whole=True, least=0)
    generator = torch.Generator().manual_seed(seed)
    masks = {name: torch.zeros_like(y, dtype=torch.bool) for name in MASKS}
    for label in y[y >= 0].unique():
        nodes = (y == label).nonzero().view(-1)
        nodes = nodes[torch.randperm(len(nodes), generator=generator, device="cpu")]
        ends = (round(0.6 * len(nodes)), round(0.8 * len(nodes)))
        for mask, part in zip(masks.values(), nodes.tensor_split(ends), strict=True):
            mask[part] = True
    return masks
