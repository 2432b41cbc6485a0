"""TorchJD's aggregators of the Jacobian of all tasks."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gragr_explain.errors import InvalidArgumentError
from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._model import MultiTaskModel
from gragr_explain.training.multitask._weights import trainable

if TYPE_CHECKING:
    from torchjd.aggregation import Aggregator

AGGREGATORS = {
    "mgda": "MGDA",
    "pcgrad": "PCGrad",
    "cagrad": "CAGrad",
    "upgrad": "UPGrad",
    "nash-mtl": "NashMTL",
    "aligned-mtl": "AlignedMTL",
}
"""TorchJD's aggregators by the names of their methods."""

_NEEDS = {
    "cagrad": ["cvxpy", "clarabel"],
    "nash-mtl": ["cvxpy", "ecos"],
    "upgrad": ["qpsolvers", "quadprog"],
}


class Aggregated:
    """The aggregation of the Jacobian of all tasks by TorchJD.

    Args:
        model: The model.
        method: One of :data:`AGGREGATORS`.

    Raises:
        InvalidArgumentError: If TorchJD, or what this aggregator needs besides, is not installed.
    """

    def __init__(self, model: MultiTaskModel, method: str) -> None:
        needed = ["torchjd"]
        needed += _NEEDS.get(method, [])
        missing = [name for name in needed if find_spec(name) is None]
        if missing:
            raise InvalidArgumentError(
                f"method {method!r} needs {', '.join(missing)}, which is not installed: "
                'pip install "gragr-explain[multitask]"'
            )
        self.model, self.method = model, method
        self.weights = torch.ones(len(model.heads))
        self.aggregators: dict[tuple[int, ...], Aggregator] = {}

    def backward(self, batch: TaskBatch) -> tuple[Tensor, float | None]:
        """One backward pass of the encoder for each task that has a label in the batch."""
        from torchjd.autojac import jac_to_grad, mtl_backward

        model, present = self.model, batch.present
        shared = batch.represented(model)
        losses = task_losses([head(shared) for head in model.heads], batch)
        if present:
            encoder = [parameter for _, parameter in trainable(model.encoder)]
            own = [[parameter for _, parameter in trainable(model.heads[task])] for task in present]
            mtl_backward([losses[task] for task in present], shared, tasks_params=own, shared_params=encoder)
            jac_to_grad(encoder, self._aggregator(present))
        return torch.stack(losses).detach(), None

    def _aggregator(self, present: tuple[int, ...]) -> Aggregator:
        """The aggregator of these tasks: Nash-MTL's counts its rows, and remembers the last ones."""
        if present not in self.aggregators:
            from torchjd import aggregation

            name = AGGREGATORS[self.method] if len(present) > 1 else "Mean"
            chosen: dict[str, dict[str, float]] = {"NashMTL": {"n_tasks": len(present)}, "CAGrad": {"c": 0.4}}
            self.aggregators[present] = getattr(aggregation, name)(**chosen.get(name, {}))
        return self.aggregators[present]
