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
_STATES = ("weights", "around")
_OPTIONAL = ("conflict_count", "validation", "checksums")
_RECORD_TENSORS = [entry.name for entry in dataclass_fields(FieldRecord) if entry.name != "count"]


def save_history(history: GradientHistory, folder: Path) -> None:
    """Write a history; see :meth:`GradientHistory.save`."""
    tensors: dict[str, Tensor] = {}
    for name, record in history.fields.items():
        tensors |= {f"field/{name}/{key}": getattr(record, key) for key in _RECORD_TENSORS}
    for name, trajectory in history.trajectories.items():
        tensors |= {f"trajectory/{name}": trajectory.sums, f"known/{name}": trajectory.known}
    for (name, step), snapshot in history.snapshots.items():
        tensors[f"snapshot/{name}/{step}"] = snapshot
    for kind in _STATES:
        for step, state in getattr(history, kind).items():
            tensors |= {f"{kind}/{step}/{key}": value for key, value in state.items()}
    tensors |= {f"start/{key}": value for key, value in history.start.items()}
    for name in _OPTIONAL:
        if (value := getattr(history, name)) is not None:
            tensors[name] = value
    content = {
        "num_nodes": history.num_nodes,
        "num_steps": history.num_steps,
        "counts": {name: record.count for name, record in history.fields.items()},
        "trajectories": {name: [t.count, t.stride] for name, t in history.trajectories.items()},
        "curves": history.curves,
        "arguments": sorted(history.arguments),
        "graph_digest": history.graph_digest,
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
    history = GradientHistory(
        curves=dict(meta["curves"]),
        arguments=set(meta.get("arguments", [])),
        graph_digest=meta.get("graph_digest"),
    )
    for name in _OPTIONAL:
        setattr(history, name, tensors.get(name))
    for name, count in meta["counts"].items():
        parts = {key: tensors[f"field/{name}/{key}"] for key in _RECORD_TENSORS}
        history.fields[name] = FieldRecord(count=count, **parts)
    for name, (count, stride) in meta["trajectories"].items():
        trajectory = history.trajectories[name] = Trajectory(0)
        trajectory.sums, trajectory.count, trajectory.stride = tensors[f"trajectory/{name}"], count, stride
        trajectory.known = tensors.get(f"known/{name}", _all_known(trajectory))
    for key, value in tensors.items():
        kind, _, rest = key.partition("/")
        if kind == "snapshot":
            name, _, step = rest.rpartition("/")
            history.snapshots[name, int(step)] = value
        elif kind == "start":
            history.start[rest] = value
        elif kind in _STATES:
            step, _, name = rest.partition("/")
            getattr(history, kind).setdefault(int(step), {})[name] = value
    for kind in _STATES:
        setattr(history, kind, dict(sorted(getattr(history, kind).items())))
    return history


def _all_known(trajectory: Trajectory) -> Tensor:
    """How many observations each slice has; histories written earlier do not say how many of them were no NaN."""
    starts = torch.arange(trajectory.sums.size(0)) * trajectory.stride
    counts = (trajectory.count - starts).clamp(0, trajectory.stride)
    return counts.to(trajectory.sums).unsqueeze(-1).expand_as(trajectory.sums).contiguous()
