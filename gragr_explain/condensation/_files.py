"""Condensed graphs and unfinished condensations as files: tensors as safetensors, the rest as JSON."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch_geometric.data import Data

from gragr_explain.errors import CheckpointError, InvalidGraphError, InvalidTypeError
from gragr_explain.files import atomic, check_writable, fingerprint
from gragr_explain.inputs import check_data

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
    """
    check_data(condensed)
    record = condensed.get("record")
    if not isinstance(record, dict):
        raise InvalidGraphError("expected a condensed graph with its record, got a graph without")
    tensors = {name: condensed[name] for name in _TENSORS if isinstance(condensed.get(name), Tensor)}
    write_pair(Path(folder), "condensed", FORMAT, tensors, record)


def load_condensed(folder: str | os.PathLike[str]) -> Data:
    """Read what :func:`save_condensed` has written.

    Raises:
        CheckpointError: If the files are missing, damaged, foreign, or written by a newer version.
    """
    tensors, record = read_pair(Path(folder), "condensed", FORMAT)
    condensed = Data(**tensors, record=record)
    try:
        check_data(condensed)
    except (InvalidGraphError, InvalidTypeError) as error:
        raise CheckpointError(f"the condensed graph in '{folder}' is damaged: {error}") from error
    return condensed


def write_pair(folder: Path, stem: str, kind: str, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
    """Write tensors and what belongs to them as two files of which neither is ever half there.

    Raises:
        OutputError: If the folder cannot be written.
    """
    payload = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    meta = {"format": kind, "version": VERSION, "content": content}
    meta["sha256"] = fingerprint(meta, payload)
    check_writable(folder)
    with atomic(folder / f"{stem}.safetensors", folder / f"{stem}.json") as (tensor_file, meta_file):
        tensor_file.write_bytes(payload)
        meta_file.write_text(json.dumps(meta, indent=1), encoding="utf-8")


def read_pair(folder: Path, stem: str, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_pair` has written.

    Raises:
        CheckpointError: If the files are missing, damaged, foreign, or written by a newer version.
    """
    try:
        payload = (folder / f"{stem}.safetensors").read_bytes()
        meta = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read the {kind} in '{folder}' ({error.strerror or error})") from error
    except ValueError as error:
        raise CheckpointError(f"the {kind} in '{folder}' is damaged: {stem}.json is not JSON") from error
    if not isinstance(meta, dict) or meta.get("format") != kind:
        raise CheckpointError(f"expected a {kind} in '{folder}', got another {stem}.json")
    if not isinstance(meta.get("version"), int) or meta["version"] > VERSION:
        raise CheckpointError(
            f"the {kind} in '{folder}' has format version {meta.get('version')!r}, this gragr-explain reads up to "
            f"{VERSION}; please upgrade"
        )
    if fingerprint(meta, payload) != meta.get("sha256"):
        raise CheckpointError(f"the {kind} in '{folder}' is damaged: {stem}.safetensors does not match {stem}.json")
    try:
        return load(payload), dict(meta["content"])
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"the {kind} in '{folder}' is damaged: {error!r}") from error
