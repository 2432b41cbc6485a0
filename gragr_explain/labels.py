"""Labels of nodes, masks that say which are known, names of classes, and a model's scores: checked once at the edge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_names
from gragr_explain.errors import InvalidGraphError, InvalidTypeError, UnsupportedModelError
from gragr_explain.inputs import trial_output


def mask_of(data: Data, name: str) -> Tensor | None:
    """A graph's mask of nodes, ``[num_nodes]``, or ``None`` where it has none of this name.

    Raises:
        InvalidTypeError: If it is no boolean tensor.
        InvalidGraphError: If it is not of that shape, for example because it holds many splits.
    """
    mask, num_nodes = data.get(name), data.x.size(0)
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise InvalidTypeError(f"expected {name} as a boolean tensor, got {getattr(mask, 'dtype', type(mask))}")
    if mask.shape != (num_nodes,):
        hint = ", choose one of its splits" if mask.dim() == 2 else ""
        raise InvalidGraphError(f"expected {name} of shape [{num_nodes}], got {list(mask.shape)}{hint}")
    return mask


def labels_of(data: Data) -> Tensor:
    """A graph's class labels, ``[num_nodes]``.

    Raises:
        InvalidGraphError: If it has none, or they are no integers, or not one for each node.
    """
    y, num_nodes = data.get("y"), data.x.size(0)
    if not isinstance(y, Tensor) or y.dtype != torch.long or y.shape != (num_nodes,):
        got = f"{y.dtype} {list(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
        hint = "" if classes_of(y, num_nodes) is None else "; let data.y be data.y.view(-1).long()"
        raise InvalidGraphError(f"expected labels y of torch.int64 and shape [{num_nodes}], got {got}{hint}")
    return y


def classes_of(y: Any, count: int) -> Tensor | None:
    """Labels as classes, ``[count]``, -1 for one that is not known; ``None`` where there is not a class for each.

    Classes may be given as floating-point numbers, as they are for models that are trained by binary cross-entropy;
    NaN is not known.

    Example:
        >>> classes_of(torch.tensor([[1.0], [0.0], [torch.nan]]), 3)
        tensor([ 1,  0, -1])
    """
    y = _one_each(y, count)
    if y is None:
        return None
    if y.is_floating_point():
        y = y.nan_to_num(nan=-1)
        if bool((y != y.round()).any()):
            return None
    return y.long().clamp(min=-1)


def class_names_of(names: Sequence[str] | None, count: int) -> list[str]:
    """The name of each class, its number where classes have none.

    Args:
        names: The names, or ``None``.
        count: The number of classes.

    Raises:
        InvalidTypeError: If the names are no sequence.
        InvalidArgumentError: If there are not as many as classes.

    Example:
        >>> class_names_of(["cat", "dog"], 2), class_names_of(None, 2)
        (['cat', 'dog'], ['class 0', 'class 1'])
    """
    if names is None:
        return [f"class {label}" for label in range(count)]
    check_names("class_names", names, count)
    return list(map(str, names))


def values_of(y: Any, count: int) -> Tensor | None:
    """Labels as numbers of a regression, ``[count]``, NaN for one that is not known; ``None`` where they are others.

    Example:
        >>> values_of(torch.tensor([[1.5], [torch.nan]]), 2), values_of(torch.ones(2, 3), 2)
        (tensor([1.5000,    nan]), None)
    """
    y = _one_each(y, count)
    return y if y is None or y.is_floating_point() else y.float()


def _one_each(y: Any, count: int) -> Tensor | None:
    """Labels in a row, ``[count]``; ``None`` where there is not one for each."""
    return y.reshape(-1) if isinstance(y, Tensor) and y.numel() == count and not y.is_complex() else None


def validation_classes(data: Data) -> Tensor | None:
    """The classes of a graph's validation nodes, ``[num_nodes]``, -1 for all other nodes.

    ``None`` where there are none: without a ``train_mask`` any label may have been trained on, without a ``val_mask``
    none is for validation.

    Example:
        >>> masks = {"train_mask": torch.tensor([True, False, False]), "val_mask": torch.tensor([False, True, True])}
        >>> validation_classes(Data(x=torch.eye(3), y=torch.tensor([1, 0, -1]), **masks))
        tensor([-1,  0, -1])
    """
    count = data.x.size(0)
    classes, train, val = classes_of(data.get("y"), count), data.get("train_mask"), data.get("val_mask")
    masks = [mask for mask in (train, val) if isinstance(mask, Tensor) and mask.dtype == torch.bool]
    if classes is None or len(masks) < 2 or any(mask.shape != (count,) for mask in masks):
        return None
    known = torch.where(val & ~train, classes, -1)
    return known if bool((known >= 0).any()) else None


def training_nodes(data: Data, num_classes: int) -> Tensor:
    """The nodes whose labels a model is trained on, ``[num_train]``. Labels of other nodes may be anything.

    Raises:
        InvalidTypeError: If the ``train_mask`` is no boolean tensor.
        InvalidGraphError: If there is no training node, there are no labels, or one of them is none of the classes.

    Example:
        >>> data = Data(x=torch.eye(3), y=torch.tensor([1, -1, 0]), train_mask=torch.tensor([True, False, True]))
        >>> training_nodes(data, num_classes=2)
        tensor([0, 2])
    """
    mask = mask_of(data, "train_mask")
    if mask is None or not bool(mask.any()):
        raise InvalidGraphError("expected a train_mask with at least one training node, got none")
    known = labels_of(data)[mask]
    if not 0 <= int(known.min()) <= int(known.max()) < num_classes:
        raise InvalidGraphError(
            f"expected training labels in [0, {num_classes - 1}], got {int(known.min())} to {int(known.max())}"
        )
    return mask.nonzero().view(-1)


def class_scores(model: nn.Module, data: Data, *, finite: bool = False) -> Tensor:
    """What a model says of each node in evaluation mode, ``[num_nodes, num_classes]``.

    Args:
        model: The model.
        data: The graph, checked.
        finite: Whether NaN and infinite scores are refused.

    Raises:
        UnsupportedModelError: If the model cannot be called with a graph, does not return a score per node and class,
            or returns one that is refused.
        InvalidGraphError: If the model cannot take the graph's features.
    """
    return check_scores(trial_output(model, data), data.x.size(0), finite=finite)


def check_scores(output: Any, num_nodes: int, *, least: int = 2, finite: bool = False) -> Tensor:
    """Check what a model says of each node; returns it, ``[num_nodes, num_classes]``.

    Args:
        output: What the model returned.
        num_nodes: The number of nodes.
        least: The smallest number of columns: 1 where a single one, or none, may be the score of two classes.
        finite: Whether NaN and infinite scores are refused.

    Raises:
        UnsupportedModelError: If it is not a score per node and class, or one that is refused.
    """
    if least == 1 and isinstance(output, Tensor) and output.shape == (num_nodes,):
        output = output.unsqueeze(-1)
    if not isinstance(output, Tensor) or output.dim() != 2 or output.size(0) != num_nodes or output.size(1) < least:
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        hint = "; of two classes, let it return a score each" if got in ([num_nodes], [num_nodes, 1]) else ""
        raise UnsupportedModelError(
            f"expected a model that returns class scores of shape [{num_nodes}, num_classes], got {got}{hint}"
        )
    if finite and not bool(output.isfinite().all()):
        raise UnsupportedModelError("expected a model that returns finite scores, got NaN or infinite ones")
    return output
