"""Task weights learned by hypergradients (eqs. 7 and 8), as pure functions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gragr_explain.errors import InvalidArgumentError
from gragr_explain.history import call_with
from gragr_explain.modes import evaluating
from gragr_explain.training.multitask._batches import TaskBatch, task_losses
from gragr_explain.training.multitask._model import MultiTaskModel


def task_validation_hypergradient(
    model: MultiTaskModel, train: TaskBatch, val: TaskBatch, weights: Tensor, step_size: float
) -> Tensor:
    r"""How the validation loss after one step would change with each task's weight.

    .. math::
        \theta' = \theta - \eta \frac{1}{T} \sum_i \gamma_i \nabla L_i(\theta), \qquad
        \frac{\partial L_{\text{val}}(\theta')}{\partial \gamma_i}
            = -\frac{\eta}{T} \nabla L_{\text{val}}(\theta')^\top \nabla L_i(\theta)

    GraGR paper, eq. 8, by one unrolled step of the encoder's parameters :math:`\theta`; :math:`L_{\text{val}}` is the
    mean of the tasks' losses. The :math:`T` inner products cost no :math:`T` gradients: with
    :math:`v = \nabla L_{\text{val}}(\theta')`, one directional derivative of the shared representation along
    :math:`v` gives them all, :math:`v^\top \nabla L_i = \langle \partial L_i / \partial z, \partial_v z \rangle`. The
    model is taken as in evaluation, so that neither dropout nor running statistics are touched, and left as it was.

    Args:
        model: The model.
        train: The batch of the step.
        val: The batch on which the step is judged.
        weights: The weights :math:`\gamma` of shape ``[num_tasks]``.
        step_size: The size :math:`\eta` of the step.

    Returns:
        The derivatives, of shape ``[num_tasks]``; zero for a task without a label in ``train``.
    """
    with evaluating(model):
        names, parameters = zip(*trainable(model.encoder), strict=True)
        shared = train.represented(model)
        fields = task_fields(model, shared, train)
        total = torch.einsum("t,tnd->nd", weights.to(fields.dtype), fields) / len(weights)
        step = torch.autograd.grad(shared, parameters, total, retain_graph=True, materialize_grads=True)
        moved = {
            f"encoder.{name}": (parameter.detach() - step_size * move).requires_grad_()
            for name, parameter, move in zip(names, parameters, step, strict=True)
        }
        losses = task_losses(call_with(model, moved, val.x, val.edge_index, val.batch, **val.edges), val)
        loss = torch.stack(losses).sum() / len(losses)
        direction = torch.autograd.grad(loss, list(moved.values()), materialize_grads=True)
        return -step_size / len(weights) * (fields * _along(shared, parameters, direction)).sum((1, 2))


def task_conflict_hypergradient(fields: Tensor, weights: Tensor) -> Tensor:
    r"""How the conflict between tasks changes with each task's weight.

    .. math::
        L_{\text{conf}} = \sum_{i < j} \max(0, -\gamma_i \gamma_j\, g_i^\top g_j), \qquad
        \frac{\partial L_{\text{conf}}}{\partial \gamma_i} = \sum_{j \ne i} \gamma_j \max(0, -g_i^\top g_j)

    GraGR paper, eq. 2 taken over tasks in place of neighbours, and the alternative of section 4.4.

    Args:
        fields: The tasks' gradient fields of shape ``[num_tasks, num_rows, channels]``.
        weights: Non-negative weights :math:`\gamma` of shape ``[num_tasks]``.

    Returns:
        The derivatives, of shape ``[num_tasks]``.

    Example:
        >>> task_conflict_hypergradient(torch.tensor([[[1.0, 0.0]], [[-2.0, 0.0]], [[0.0, 3.0]]]), torch.ones(3))
        tensor([2., 2., 0.])
    """
    flat = fields.flatten(1)
    disagreement = (-(flat @ flat.T)).clamp(min=0).fill_diagonal_(0)
    return disagreement @ weights.to(flat.dtype)


def descend(weights: Tensor, hypergradient: Tensor, rate: float, floor: float = 0.1) -> Tensor:
    r"""One step of :math:`\gamma_i \leftarrow \gamma_i - \eta\, \partial L / \partial \gamma_i` (eq. 8).

    The hypergradient is taken in units of its root mean square, and the weights keep their mean of one: all that
    matters of them is how they divide a step, since its length is the learning rate's affair.

    Args:
        weights: The weights of shape ``[num_tasks]``, of mean one.
        hypergradient: The derivatives of shape ``[num_tasks]``.
        rate: The rate :math:`\eta`.
        floor: The smallest weight.

    Returns:
        The new weights, of mean one.

    Raises:
        InvalidArgumentError: If there is only one task, whose weight has nothing to be balanced against.

    Example:
        >>> descend(torch.ones(2), torch.tensor([-1.0, 1.0]), rate=0.1)
        tensor([1.1000, 0.9000])
    """
    if len(weights) < 2:
        raise InvalidArgumentError(f"expected two tasks or more to weigh, got {len(weights)}")
    centred = hypergradient - hypergradient.mean()
    scale = centred.square().mean().sqrt()
    if not bool(scale > 0) or not bool(scale.isfinite()):
        return weights
    moved = (weights - rate * (centred / scale).to(weights.dtype)).clamp(min=floor)
    return moved / moved.mean()


def task_fields(model: MultiTaskModel, shared: Tensor, batch: TaskBatch) -> Tensor:
    """Each task's gradient with respect to the shared representation; only the heads are passed backward.

    Args:
        model: The model.
        shared: The shared representation of shape ``[num_graphs, channels]``.
        batch: The batch that it represents.

    Returns:
        Fields of shape ``[num_tasks, num_graphs, channels]``; zero for a task without a label in the batch.
    """
    leaf = shared.detach().requires_grad_()
    fields = []
    for task, loss in enumerate(task_losses([head(leaf) for head in model.heads], batch)):
        fields.append(torch.autograd.grad(loss, leaf)[0] if task in batch.present else torch.zeros_like(leaf))
    return torch.stack(fields)


def trainable(module: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """The parameters of a module that are to be trained, by name."""
    return [(name, parameter) for name, parameter in module.named_parameters() if parameter.requires_grad]


def _along(shared: Tensor, parameters: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
    """The derivative of the shared representation along a direction of the parameters, by two backward passes."""
    probe = torch.zeros_like(shared, requires_grad=True)
    pulled = torch.autograd.grad(shared, parameters, probe, create_graph=True, allow_unused=True)
    pairs = [(g, d) for g, d in zip(pulled, direction, strict=True) if g is not None]
    (change,) = torch.autograd.grad([g for g, _ in pairs], probe, [d for _, d in pairs])
    return change
