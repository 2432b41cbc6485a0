"""What has no label, where labels are to be explained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.explain.config import ModelConfig, ModelMode

from gragr_explain.errors import InvalidGraphError
from gragr_explain.labels import classes_of


def unlabelled(y: Any, count: int, config: ModelConfig) -> Tensor:
    """Which of ``count`` outputs have no label, ``[num_unlabelled]``: no class, or not all numbers of a regression.

    Example:
        >>> config = ModelConfig("multiclass_classification", "node", "raw")
        >>> unlabelled(torch.tensor([2, -1, 0]), 3, config)
        tensor([1])
    """
    if config.mode == ModelMode.regression:
        given = isinstance(y, Tensor) and count and y.numel() % count == 0
        missing = y.reshape(count, -1).isnan().any(-1) if given else None
    else:
        labels = classes_of(y, count)
        missing = None if labels is None else labels < 0
    # what is no label at all is found out where it is explained
    return torch.empty(0, dtype=torch.long) if missing is None else missing.nonzero().view(-1)


def check_labelled(subject: str, unknown: Sequence[int] | Tensor) -> None:
    """Check that nothing is left without a label.

    Args:
        subject: What is explained, ``"node"`` or ``"graph"``.
        unknown: Which of those that are to be explained have no label.

    Raises:
        InvalidGraphError: If there is one.
    """
    if len(unknown):
        raise InvalidGraphError(
            f"explaining a phenomenon needs a label of each {subject}, {subject} {int(unknown[0])} has none; "
            "choose those that have one by index="
        )
