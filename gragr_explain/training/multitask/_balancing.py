"""How the gradients of several tasks become one step of the shared encoder.

Every balancer leaves gradients in the parameters' ``grad``: each head has its own task's, the encoder what the balancer
makes of all of them. A task without a label in a batch leaves none.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._model import MultiTaskModel


class Balancer(Protocol):
    """One backward pass for several tasks, and the weights of the tasks, of shape ``[num_tasks]`` and mean one."""

    weights: Tensor

    def backward(self, batch: TaskBatch) -> tuple[Tensor, float | None]:
        """Leave gradients for one batch.

        Returns:
            The losses of shape ``[num_tasks]``, and the mean conflict energy between tasks where it is known.
        """


class Average:
    """The mean of the tasks' gradients."""

    def __init__(self, model: MultiTaskModel) -> None:
        self.model = model
        self.weights = torch.ones(len(model.heads))

    def backward(self, batch: TaskBatch) -> tuple[Tensor, float | None]:
        """One backward pass, whose gradient is divided by the number of tasks where it enters the encoder."""
        shared = batch.represented(self.model)
        leaf = shared.detach().requires_grad_()
        losses = torch.stack(task_losses([head(leaf) for head in self.model.heads], batch))
        if batch.present:
            own = [p for task in batch.present for p in self.model.heads[task].parameters() if p.requires_grad]
            total = torch.stack([losses[task] for task in batch.present]).sum()
            field, *gradients = torch.autograd.grad(total, [leaf, *own])
            for parameter, gradient in zip(own, gradients, strict=True):
                parameter.grad = gradient
            shared.backward(field / len(losses))
        return losses.detach(), None


def pass_head(model: MultiTaskModel, task: int, loss: Tensor, shared: Tensor) -> Tensor:
    """Pass one task's loss backward through its head.

    Args:
        model: The model, whose head is left with its gradients.
        task: The task.
        loss: Its loss.
        shared: The shared representation of shape ``[num_graphs, channels]``.

    Returns:
        The task's gradient field, of the same shape.
    """
    own = [parameter for parameter in model.heads[task].parameters() if parameter.requires_grad]
    field, *gradients = torch.autograd.grad(loss, [shared, *own], retain_graph=True)
    for parameter, gradient in zip(own, gradients, strict=True):
        parameter.grad = gradient
    return field
