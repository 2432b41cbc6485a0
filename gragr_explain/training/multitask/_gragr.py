"""GraGR for several tasks: their fields corrected, weighed, and passed backward as one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle

import torch
from torch import Tensor

from gragr_explain.field import GraphOperator, task_conflict_energy
from gragr_explain.history import message_edges, tap
from gragr_explain.training._correction import correct_field
from gragr_explain.training._hyperparameters import hyperparameters_of
from gragr_explain.training.multitask._balancing import pass_head
from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._fields import project_tasks
from gragr_explain.training.multitask._model import MultiTaskModel
from gragr_explain.training.multitask._weights import (
    descend,
    task_conflict_hypergradient,
    task_validation_hypergradient,
)

META_INTERVAL = 8
"""Steps between two hypergradients of the validation loss."""


class GraGRTasks:
    """Corrected task fields, weighed by hypergradients, in one backward pass of the encoder (eqs. 1-4, 7, 8, 27).

    Args:
        model: The model.
        val: Batches to judge weights by; needed for ``meta="validation"`` only.
        meta: ``"validation"``, ``"conflict"`` or ``None`` for weights that stay one.
        meta_lr: The rate of the weights.
        step_size: The size of the step that is judged.
        tau_cos: The cosine below which tasks are in conflict.
        correct: Whether to correct fields, of tasks and of nodes.
    """

    def __init__(
        self,
        model: MultiTaskModel,
        val: list[TaskBatch],
        *,
        meta: str | None,
        meta_lr: float,
        step_size: float,
        tau_cos: float,
        correct: bool,
    ) -> None:
        self.model, self.meta, self.meta_lr, self.step_size = model, meta, meta_lr, step_size
        self.tau_cos, self.correct = tau_cos, correct
        self.settings = replace(hyperparameters_of(model.encoder), tau_cos=tau_cos)
        self.weights = next(model.parameters()).new_ones(len(model.heads))
        self.val = cycle(val)
        self.graphs: dict[TaskBatch, GraphOperator] = {}
        self.steps = 0

    def backward(self, batch: TaskBatch) -> tuple[Tensor, float | None]:
        """As many passes through the heads as there are tasks, and one through the encoder."""
        model, present = self.model, list(batch.present)
        if self.meta == "validation" and self.steps % META_INTERVAL == 0:
            slope = task_validation_hypergradient(model, batch, next(self.val), self.weights, self.step_size)
            self.weights = self._descend(slope, present)
        self.steps += 1
        with self._nodes_corrected(batch):
            shared = batch.represented(model)
        leaf = shared.detach().requires_grad_()
        losses = task_losses([head(leaf) for head in model.heads], batch)
        fields = [pass_head(model, task, losses[task], leaf) for task in present]
        energy = None
        if fields:
            stacked = torch.stack(fields)
            energy = float(task_conflict_energy(stacked).mean())
            if self.meta == "conflict":
                slope = torch.zeros_like(self.weights)
                slope[present] = task_conflict_hypergradient(stacked, self.weights[present])
                self.weights = self._descend(slope, present)
            if self.correct and len(present) > 1:
                stacked, _ = project_tasks(stacked, self.tau_cos)
            weights = self.weights[present].to(stacked.dtype)
            shared.backward(torch.einsum("t,tnd->nd", weights, stacked) / len(losses))
        return torch.stack(losses).detach(), energy

    def _descend(self, slope: Tensor, present: list[int]) -> Tensor:
        """Change the weights of the tasks that have labels in a batch, among themselves."""
        if len(present) < 2:
            return self.weights
        weights = self.weights.clone()
        share = weights[present].mean()
        weights[present] = descend(weights[present] / share, slope[present].to(weights.dtype), self.meta_lr) * share
        return weights

    @contextmanager
    def _nodes_corrected(self, batch: TaskBatch) -> Iterator[None]:
        """Have the node fields corrected on their way down, where they differ within a graph.

        Below a mean or a sum all nodes of a graph have the same gradient, which needs no correction.
        """
        if not self.correct:
            yield
            return

        if batch not in self.graphs:
            edges = message_edges(self.model.encoder, batch.edge_index)
            self.graphs[batch] = GraphOperator(edges, batch.x.size(0))
        graph = self.graphs[batch]

        def listen(outputs: list[Tensor], output: Tensor) -> None:
            for hidden in outputs if self.model.pool == "max" else outputs[:-1]:
                if hidden.requires_grad:
                    hidden.register_hook(lambda field: correct_field(field, graph, self.settings)[0])

        with tap(self.model.encoder, listen):
            yield
