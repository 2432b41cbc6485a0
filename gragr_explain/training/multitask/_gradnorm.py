"""GradNorm: the tasks' weights from the norms of their gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import message_passing_layers
from gragr_explain.training.multitask._balancing import pass_head
from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._model import MultiTaskModel


class GradNorm:
    """GradNorm: weights that let all tasks train at the same rate (Chen et al. 2018, algorithm 1).

    The norms are those of the gradients of the last shared layer. Weights descend on the sum of the absolute
    differences between the tasks' norms and their targets, whose derivative is taken with the targets held fixed, and
    are then scaled to a mean of one.

    Args:
        model: The model.
        alpha: The strength of the pull towards a common rate; 1.5 is the source's value for its first experiments.
        lr: The learning rate of the weights, 0.025 in the source.

    Raises:
        UnsupportedModelError: If the last shared layer has nothing to train.
    """

    def __init__(self, model: MultiTaskModel, alpha: float = 1.5, lr: float = 0.025) -> None:
        self.model, self.alpha = model, alpha
        layers = message_passing_layers(model.encoder)
        self.layer = [parameter for parameter in layers[-1].parameters() if parameter.requires_grad]
        if not self.layer:
            raise UnsupportedModelError("expected a last shared layer with parameters to train, none requires_grad")
        self.weights = next(model.parameters()).new_ones(len(model.heads))
        self.optimizer = torch.optim.Adam([self.weights], lr=lr)
        self.start = torch.full_like(self.weights, torch.nan)

    def backward(self, batch: TaskBatch) -> tuple[Tensor, float | None]:
        """As many passes through the last shared layer as there are tasks, and one through the whole encoder."""
        model, present = self.model, list(batch.present)
        shared = batch.represented(model)
        losses = torch.stack(task_losses([head(shared) for head in model.heads], batch))
        values = losses.detach()
        if present:
            norms = torch.stack([self._norm(losses[task]) for task in present])
            fresh = self.start[present].isnan()
            self.start[present] = torch.where(fresh, values[present], self.start[present])
            rate = values[present] / self.start[present].clamp(min=1e-8)
            own = self.weights[present] * norms
            target = own.mean() * (rate / rate.mean().clamp(min=1e-8)) ** self.alpha
            slope = torch.zeros_like(self.weights)
            slope[present] = (own - target).sign() * norms
            self.weights.grad = slope
            fields = torch.stack([pass_head(model, task, losses[task], shared) for task in present])
            gradient = torch.einsum("t,tnd->nd", self.weights[present].to(fields.dtype), fields) / len(losses)
            self.optimizer.step()
            self.weights.clamp_(min=1e-3).mul_(len(self.weights) / self.weights.sum())
            shared.backward(gradient)
        return values, None

    def _norm(self, loss: Tensor) -> Tensor:
        gradients = torch.autograd.grad(loss, self.layer, retain_graph=True, materialize_grads=True)
        return torch.cat([gradient.flatten() for gradient in gradients]).norm()
