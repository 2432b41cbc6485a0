"""Statistics over training steps in memory that does not grow with their number."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass
class FieldRecord:
    """Running statistics of a gradient field.

    Attributes:
        count: The number of observations.
        mean: The mean field, ``[num_nodes, channels]``.
        last: The last observation, ``[num_nodes, channels]``.
        norm_mean: The mean gradient norm of each node, ``[num_nodes]``.
        norm_square: The sum of squared deviations from that mean, ``[num_nodes]``.
        turn_sum: The sum of the cosines of successive gradients, ``[num_nodes]``.
        turn_count: How many of those cosines were defined, ``[num_nodes]``.
    """

    count: int
    mean: Tensor
    last: Tensor
    norm_mean: Tensor
    norm_square: Tensor
    turn_sum: Tensor
    turn_count: Tensor

    def __post_init__(self) -> None:
        self._last_norm = torch.linalg.vector_norm(self.last, dim=-1)

    @classmethod
    def empty(cls, like: Tensor) -> FieldRecord:
        """A record of no observations yet, for fields of the given shape."""
        matrix, vector = torch.zeros_like(like), like.new_zeros(like.size(0))
        return cls(0, matrix, matrix.clone(), vector, vector.clone(), vector.clone(), vector.clone())

    def update(self, field: Tensor) -> Tensor:
        """Take in one observation, which is kept and must not change any more; returns its norms, ``[num_nodes]``.

        An observation with NaN or infinite gradients, as mixed precision makes and throws away now and then, is left
        out: it would stay in the means for ever.
        """
        norm = torch.linalg.vector_norm(field, dim=-1)
        if not bool((norm < torch.inf).all()):
            return norm
        self.count += 1
        self.mean.lerp_(field, 1 / self.count)
        deviation = norm - self.norm_mean
        self.norm_mean += deviation / self.count
        self.norm_square += deviation * (norm - self.norm_mean)
        cosine = torch.linalg.vecdot(field, self.last) / norm / self._last_norm
        self.turn_count += cosine.abs() < torch.inf
        self.turn_sum += cosine.nan_to_num_(0, 0, 0).clamp_(-1, 1)
        self.last, self._last_norm = field, norm
        return norm

    def to(self, device: torch.device) -> FieldRecord:
        """The same record on a device."""
        tensors = [entry.name for entry in fields(self) if entry.name != "count"]
        return replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    @property
    def norm_std(self) -> Tensor:
        """The standard deviation of each node's gradient norm over the observations, ``[num_nodes]``."""
        return (self.norm_square / max(self.count, 1)).sqrt()

    @property
    def persistence(self) -> Tensor:
        """The mean cosine of successive gradients, NaN where none was defined, ``[num_nodes]``.

        Near 1, a node kept pulling in one direction; near 0 or below, its gradient turned from step to step.
        """
        return self.turn_sum / self.turn_count


def full_precision(field: Tensor) -> Tensor:
    """A field in single precision at least, which sums over neighbours and epochs need.

    Example:
        >>> full_precision(torch.ones(1, dtype=torch.float16)).dtype
        torch.float32
    """
    return field if field.dtype == torch.float64 else field.float()


class Trajectory:
    """A value of each node over the training, in a bounded number of time slices.

    While there is room, a slice is one observation. When there is none left, neighbouring slices are merged into
    their mean, and a slice then stands for twice as many observations. Observations that are NaN do not count; a slice
    of nothing else is NaN.

    Args:
        num_nodes: The number of nodes.
        slots: The largest number of slices, an even number.

    Example:
        >>> trajectory = Trajectory(num_nodes=1, slots=4)
        >>> for value in range(6):
        ...     trajectory.add(torch.tensor([float(value)]))
        >>> trajectory.starts, trajectory.values.view(-1)
        ([0, 2, 4], tensor([0.5000, 2.5000, 4.5000]))
    """

    def __init__(self, num_nodes: int, slots: int = 16) -> None:
        self.stride = 1
        self.count = 0
        self.sums = torch.zeros(slots, num_nodes)
        self.known = torch.zeros(slots, num_nodes)
        """How many observations of each slice were no NaN."""

    def add(self, value: Tensor) -> None:
        """Take in one observation of shape ``[num_nodes]``."""
        slots = self.sums.size(0)
        if self.count == slots * self.stride:
            self.sums, self.known = _merged(self.sums), _merged(self.known)
            self.stride *= 2
        if self.sums.device != value.device:
            self.sums, self.known = self.sums.to(value.device), self.known.to(value.device)
        current = self.count // self.stride
        self.sums[current].add_(value.to(self.sums.dtype).nan_to_num(0, torch.inf, -torch.inf))
        self.known[current].add_(value == value)  # but for NaN
        self.count += 1

    @property
    def starts(self) -> list[int]:
        """The observation at which each slice starts."""
        return list(range(0, self.count, self.stride))

    @property
    def values(self) -> Tensor:
        """The mean of each slice, of shape ``[num_slices, num_nodes]``."""
        slices = len(self.starts)
        return self.sums[:slices] / self.known[:slices]


def _merged(slices: Tensor) -> Tensor:
    """The sums of neighbouring slices, and room for as many more."""
    merged = slices[0::2] + slices[1::2]
    return torch.cat([merged, torch.zeros_like(merged)])
