"""Condensed graphs as files."""

from __future__ import annotations

import os

from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.errors import CheckpointError, InvalidGraphError, InvalidTypeError
from gragr_explain.files import as_path
from gragr_explain.inputs import check_data
from gragr_explain.pairs import read_pair, write_pair

FORMAT = "gragr-explain condensed graph"
VERSION = 1
_TENSORS = ("x", "y", "edge_index", "edge_weight", "train_mask")


def save_condensed(condensed: Data, folder: str | os.PathLike[str]) -> None:
    """Write a condensed graph and its record into a folder, from which :func:`load_condensed` reads them.

    Args:
        condensed: What :func:`condense` has returned.
        folder: Where to write ``condensed.safetensors`` and ``condensed.json``.

    Raises:
        InvalidTypeError: If it is no graph.
        InvalidGraphError: If it is a graph that was not condensed, and has no record.
        OutputError: If the folder cannot be written.

    Example:
        >>> import tempfile
        >>> from gragr_explain.condensation import condense
        >>> from gragr_explain.datasets import load_dataset
        >>> condensed = condense(load_dataset("digits").data, 0.02, epochs=1, progress=False)
        >>> folder = tempfile.mkdtemp()
        >>> save_condensed(condensed, folder)
        >>> load_condensed(folder).x.shape == condensed.x.shape
        True
    """
    check_data(condensed)
    record = condensed.get("record")
    if not isinstance(record, dict):
        raise InvalidGraphError("expected a condensed graph with its record, got a graph without")
    tensors = {name: condensed[name] for name in _TENSORS if isinstance(condensed.get(name), Tensor)}
    write_pair(as_path(folder), "condensed", FORMAT, VERSION, tensors, {"content": record})


def load_condensed(folder: str | os.PathLike[str]) -> Data:
    """Read what :func:`save_condensed` has written.

    Raises:
        CheckpointError: If the files are missing, damaged, foreign, or written by a newer version.

    Example:
        >>> import tempfile
        >>> from gragr_explain.condensation import condense
        >>> folder = tempfile.mkdtemp()
        >>> save_condensed(condense(data, 0.4, epochs=1, progress=False), folder)
        >>> load_condensed(folder).y
        tensor([0, 1])
    """
    tensors, meta = read_pair(as_path(folder), "condensed", FORMAT, VERSION, CheckpointError)
    condensed = Data(**tensors, record=meta.get("content"))
    try:
        check_data(condensed)
    except (InvalidGraphError, InvalidTypeError) as error:
        raise CheckpointError(f"the condensed graph in '{folder}' is damaged: {error}") from error
    return condensed
