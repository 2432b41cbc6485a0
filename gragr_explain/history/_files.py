"""A gradient history as files."""

from __future__ import annotations

from dataclasses import fields as dataclass_fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gragr_explain.errors import HistoryError
from gragr_explain.history._history import GradientHistory
from gragr_explain.history._running import FieldRecord, Trajectory
from gragr_explain.pairs import read_pair, write_pair

FORMAT = "gragr-explain history"
VERSION = 1
_STEM = "history"
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
    content = {
        "num_nodes": history.num_nodes,
        "num_steps": history.num_steps,
        "counts": {name: record.count for name, record in history.fields.items()},
        "trajectories": {name: [t.count, t.stride] for name, t in history.trajectories.items()},
        "curves": history.curves,
    }
    write_pair(folder, _STEM, FORMAT, VERSION, tensors, content)


def load_history(folder: Path, device: torch.device) -> GradientHistory:
    """Read a history; see :meth:`GradientHistory.load`."""
    tensors, meta = read_pair(folder, _STEM, FORMAT, VERSION, HistoryError)
    try:
        return _rebuild(meta, {key: value.to(device) for key, value in tensors.items()})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HistoryError(f"the {FORMAT} in '{folder}' is damaged: {error!r}") from error


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
