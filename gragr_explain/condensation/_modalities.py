"""Modalities: the parts of a node's features that come from different sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.inputs import check_data, trial_errors
from gragr_explain.modes import evaluating

Modality = slice | Sequence[int] | Tensor | Callable[[Data], Tensor]
"""Columns of the features, as a slice or by index; or an encoder, which makes features of a graph."""

Columns = dict[str, Tensor]
"""The columns of each modality by its name, sorted."""


def modality_features(data: Data, modalities: Mapping[str, Modality] | None = None) -> tuple[Tensor, Columns]:
    """The features of a graph as its modalities lay them out, which are those of a condensed graph.

    Columns stay where they are, and encoders add theirs on the right, in the order of the mapping. Where there are
    encoders only, the graph's own features are left out.

    Args:
        data: The graph, with ``x`` of shape ``[num_nodes, num_features]`` and ``edge_index``.
        modalities: The modalities by name. Those that are columns hold each column of ``x`` exactly once. An encoder is
            called with the graph, without gradients and, if it is a module, in evaluation mode, and returns features of
            shape ``[num_nodes, channels]``. ``None`` is one modality, ``"features"``.

    Returns:
        Features of shape ``[num_nodes, channels]``, and the columns of each modality in them.

    Raises:
        InvalidTypeError: If the modalities are no mapping from names to columns or encoders, or an encoder returns no
            tensor of floating-point numbers.
        InvalidArgumentError: If a modality is empty or out of range, two of them overlap, or they leave a column out.
        InvalidGraphError: If the graph has no feature matrix, or an encoder cannot take it, or returns another shape or
            values that are not finite.
        UnsupportedModelError: If an encoder cannot be called with a graph.

    Example:
        >>> data = Data(x=torch.eye(3), edge_index=torch.tensor([[0, 1], [1, 0]]))
        >>> x, columns = modality_features(data, {"words": slice(0, 2), "year": [2], "degree": lambda g: g.x[:, :1]})
        >>> x.shape, {name: part.tolist() for name, part in columns.items()}
        (torch.Size([3, 4]), {'words': [0, 1], 'year': [2], 'degree': [3]})
    """
    check_data(data)
    if data.x.dim() != 2 or data.x.size(1) == 0 or data.x.dtype not in (torch.float32, torch.float64):
        raise InvalidGraphError(
            "expected features x of shape [num_nodes, num_features] of torch.float32 or torch.float64, "
            f"got {data.x.dtype} {list(data.x.shape)}"
        )
    if modalities is None:
        return data.x, {"features": torch.arange(data.x.size(1))}
    if not isinstance(modalities, Mapping) or not all(isinstance(name, str) for name in modalities):
        raise InvalidTypeError(f"expected modalities as a mapping from names, got {modalities!r}")
    if not modalities:
        raise InvalidArgumentError("expected at least one modality, got none")
    columns: Columns = {}
    given = {name: part for name, part in modalities.items() if not callable(part)}
    for name, indices in given.items():
        columns[name] = _columns(name, indices, data.x.size(1))
    if given:
        _check_partition(columns, data.x.size(1))
    blocks, width = ([data.x], data.x.size(1)) if given else ([], 0)
    for name, part in modalities.items():
        if callable(part):
            block = _encoded(name, part, data)
            blocks.append(block)
            columns[name] = torch.arange(width, width + block.size(1))
            width += block.size(1)
    return torch.cat(blocks, dim=1), {name: columns[name] for name in modalities}


def _columns(name: str, part: slice | Sequence[int] | Tensor, width: int) -> Tensor:
    try:
        found = torch.arange(width)[part] if isinstance(part, slice) else torch.as_tensor(part).cpu()
    except (TypeError, ValueError, RuntimeError):  # a slice backwards, too
        found = None
    if found is not None and (found.dim() != 1 or found.is_floating_point() or found.dtype == torch.bool):
        found = None if found.numel() else found.long()
    if found is None:
        raise InvalidTypeError(
            f"expected modality {name!r} as a slice, as column numbers or as an encoder, got {part!r}"
        )
    found = found.long()
    if found.numel() == 0:
        raise InvalidArgumentError(f"expected modality {name!r} to have at least one column, got none")
    if not 0 <= int(found.min()) <= int(found.max()) < width:
        raise InvalidArgumentError(
            f"expected columns in [0, {width - 1}] in modality {name!r}, got {int(found.min())} to {int(found.max())}"
        )
    return found.sort().values


def _check_partition(columns: Columns, width: int) -> None:
    """Each column in one modality, and in one only."""
    count = torch.bincount(torch.cat(list(columns.values())), minlength=width)
    if bool((count > 1).any()):
        column = int((count > 1).nonzero()[0])
        names = ", ".join(repr(name) for name, part in columns.items() if bool((part == column).any()))
        raise InvalidArgumentError(f"expected each column in one modality, got column {column} twice, in {names}")
    if bool((count == 0).any()):
        missing = (count == 0).nonzero().view(-1)
        raise InvalidArgumentError(
            f"expected modalities that cover all {width} columns, got none for {missing.numel()} of them, "
            f"first {int(missing[0])}"
        )


def _encoded(name: str, encoder: Callable[[Data], Tensor], data: Data) -> Tensor:
    mode = evaluating(encoder) if isinstance(encoder, nn.Module) else nullcontext()
    with torch.no_grad(), mode, trial_errors(data.x, "encoder(data)", f"modality {name!r}: "):
        block = encoder(data)
    if not isinstance(block, Tensor) or not block.is_floating_point():
        got = block.dtype if isinstance(block, Tensor) else type(block).__name__
        raise InvalidTypeError(f"expected encoder {name!r} to return a tensor of floating-point numbers, got {got}")
    if block.dim() != 2 or block.size(0) != data.x.size(0) or block.size(1) == 0:
        raise InvalidGraphError(
            f"expected encoder {name!r} to return features of shape [{data.x.size(0)}, channels], "
            f"got {list(block.shape)}"
        )
    if not bool(block.isfinite().all()):
        raise InvalidGraphError(f"expected encoder {name!r} to return finite features, got NaN or infinite values")
    return block.to(data.x)
