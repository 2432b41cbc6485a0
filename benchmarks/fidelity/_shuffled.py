"""A history that belongs to other nodes, to see whether it matters whose it is."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import torch

from gragr_explain.history import FieldRecord, GradientHistory, Trajectory


def shuffled(history: GradientHistory, seed: int) -> GradientHistory:
    """A history in which all that was recorded of a node was recorded of another, drawn at random.

    What was recorded of the whole model, its weights and curves, stays.

    Args:
        history: What was recorded.
        seed: Seed of the permutation.
    """
    order = torch.randperm(history.num_nodes, generator=torch.Generator().manual_seed(seed))

    def field(record: FieldRecord) -> FieldRecord:
        tensors = ("mean", "last", "norm_mean", "norm_square", "turn_sum", "turn_count")
        return replace(record, **{name: getattr(record, name)[order] for name in tensors})

    def trajectory(recorded: Trajectory) -> Trajectory:
        moved = deepcopy(recorded)
        moved.sums, moved.known = recorded.sums[:, order], recorded.known[:, order]
        return moved

    return replace(
        history,
        fields={name: field(record) for name, record in history.fields.items()},
        trajectories={name: trajectory(recorded) for name, recorded in history.trajectories.items()},
        snapshots={key: recorded[order] for key, recorded in history.snapshots.items()},
        conflict_count=None if history.conflict_count is None else history.conflict_count[order],
    )
