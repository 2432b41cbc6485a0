"""A gradient history as files: tensors as safetensors, the rest as JSON, written so that neither is ever half there."""

from __future__ import annotations

import json
from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gragr_explain.errors import HistoryError
from gragr_explain.files import atomic, check_writable, fingerprint
from gragr_explain.history._history import GradientHistory
from gragr_explain.history._running import FieldRecord, Trajectory

FORMAT = "gragr-explain history"
VERSION = 1
_TENSORS, _META = "history.safetensors", "history.json"
_RECORD_TENSORS = [entry.name for entry in dataclass_fields(FieldRecord) if entry.name != "count"]


def save_history(history: GradientHistory, folder: Path) -> None:
    """Write a history; see :meth:`GradientHistory.save`."""
    tensors: dict[str, Tensor] = {}
    for name, record in history.fields.items():
        tensors |= {f"field/{name}/{key}": getattr(record, key) for key in _RECORD_TENSORS}
    for name, trajectory in history.trajectories.items():
        tensors[f"trajectory/{name}"] = trajectory.sums
    for (name, step), snapshot in history.snapshots.items():
        tensors[f"snapshot/{name}/{step}"] = snapshot
    for step, weights in history.weights.items():
        tensors |= {f"weights/{step}/{key}": value for key, value in weights.items()}
    if history.conflict_count is not None:
        tensors["conflict_count"] = history.conflict_count
    payload = save({key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()})
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "num_nodes": history.num_nodes,
        "num_steps": history.num_steps,
        "counts": {name: record.count for name, record in history.fields.items()},
        "trajectories": {name: [t.count, t.stride] for name, t in history.trajectories.items()},
        "curves": history.curves,
    }
    meta["sha256"] = fingerprint(meta, payload)
    check_writable(folder)
    with atomic(folder / _TENSORS, folder / _META) as (tensor_file, meta_file):
        tensor_file.write_bytes(payload)
        meta_file.write_text(json.dumps(meta, indent=1))


def load_history(folder: Path, device: torch.device) -> GradientHistory:
    """Read a history; see :meth:`GradientHistory.load`."""
    meta, payload = _read_meta(folder), _read(folder / _TENSORS)
    if fingerprint(meta, payload) != meta.get("sha256"):
        raise HistoryError(f"the gradient history in {folder} is damaged: {_TENSORS} does not match {_META}")
    try:
        tensors = {key: value.to(device) for key, value in load(payload).items()}
        return _rebuild(meta, tensors)
    except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryError(f"the gradient history in {folder} is damaged: {error!r}") from error


def _rebuild(meta: dict[str, Any], tensors: dict[str, Tensor]) -> GradientHistory:
    history = GradientHistory(conflict_count=tensors.get("conflict_count"), curves=dict(meta["curves"]))
    for name, count in meta["counts"].items():
        parts = {key: tensors[f"field/{name}/{key}"] for key in _RECORD_TENSORS}
        history.fields[name] = FieldRecord(count=count, **parts)
    for name, (count, stride) in meta["trajectories"].items():
        trajectory = history.trajectories[name] = Trajectory(0)
        trajectory.sums, trajectory.count, trajectory.stride = tensors[f"trajectory/{name}"], count, stride
    for key, value in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "snapshot":
            name, _, step = rest.rpartition("/")
            history.snapshots[name, int(step)] = value
        elif kind == "weights":
            step, _, name = rest.partition("/")
            history.weights.setdefault(int(step), {})[name] = value
    history.weights = dict(sorted(history.weights.items()))
    return history


def _read_meta(folder: Path) -> dict[str, Any]:
    content = _read(folder / _META)
    try:
        meta = json.loads(content)
    except ValueError as error:
        raise HistoryError(f"the gradient history in {folder} is damaged: {_META} is not JSON") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise HistoryError(f"{folder / _META} is not a gradient history of gragr-explain")
    if not isinstance(meta.get("version"), int) or meta["version"] > VERSION:
        raise HistoryError(
            f"the gradient history in {folder} has format version {meta.get('version')!r}, "
            f"this gragr-explain reads up to {VERSION}; please upgrade"
        )
    return meta


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HistoryError(f"cannot read the gradient history {path}: {error.strerror or error}") from error
