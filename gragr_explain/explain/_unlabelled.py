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
    """Which of ``count`` outputs of a classifier have no label, ``[num_unlabelled]``; none of a regression.

    Example:
        >>> config = ModelConfig("multiclass_classification", "node", "raw")
        >>> unlabelled(torch.tensor([2, -1, 0]), 3, config)
        tensor([1])
    """
    labels = None if config.mode == ModelMode.regression else classes_of(y, count)
    if labels is None:  # or no classes, which is checked where they are explained
        return torch.empty(0, dtype=torch.long)
    return (labels < 0).nonzero().view(-1)


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
