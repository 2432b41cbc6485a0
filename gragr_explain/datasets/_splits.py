"""What is trained on, what is chosen by and what is tested on: splits that come with a graph, and those drawn."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError

MASKS = ("train_mask", "val_mask", "test_mask")


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
    part = stratified(y, (0.6, 0.8), seed)
    return {name: part == number for number, name in enumerate(MASKS)}


def stratified(y: Tensor, ends: tuple[float, ...], seed: int) -> Tensor:
    """Draw parts that have the same share of each class, the same for a seed.

    Args:
        y: Labels of shape ``[num_labels]``.
        ends: The share of a class at which each part but the last ends, ascending.
        seed: Which draw.

    Returns:
        The part of each label, counted from 0, of shape ``[num_labels]``; -1 where the label is negative.

    Example:
        >>> stratified(torch.tensor([0] * 10 + [1] * 20 + [-1]), (0.8, 0.9), seed=0).add(1).bincount()
        tensor([ 1, 24,  3,  3])
    """
    generator = torch.Generator().manual_seed(seed)
    part = torch.full_like(y, -1)
    for label in y[y >= 0].unique():
        members = (y == label).nonzero().view(-1)
        members = members[torch.randperm(len(members), generator=generator, device="cpu")]
        for number, chosen in enumerate(members.tensor_split([round(end * len(members)) for end in ends])):
            part[chosen] = number
    return part
