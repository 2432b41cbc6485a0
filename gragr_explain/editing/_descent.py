"""The steps of an edit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from gragr_explain.editing._request import Request
from gragr_explain.editing._rewiring import gre, gre_plus
from gragr_explain.errors import EditingError
from gragr_explain.history import margins

_LONGEST = 0.05  # the longest step, as a share of the length of the parameters
_SMALL = 0.01  # the size at which parameters count at the least, in that length
_BEYOND = 0.02  # how far beyond the boundary to aim, as a share of the way to it
_NOTHING = 1e-6  # what is left of a gradient when nothing is, as a share of its length
_NO_PATH = "nothing can change: no parameter that requires_grad has an effect on the predictions"


def descend(
    request: Request,
    parameters: Sequence[Tensor],
    subsets: Sequence[Tensor],
    steps: int,
    max_steps: int,
) -> tuple[int, bool]:
    """Change parameters until each target has its class.

    Each step goes along the gradient of the targets' mean cross entropy. Where there are subsets to keep, it is that
    of the targets that are still wrong, rewired so that no loss of a subset rises, nor that of the targets that are
    right: by :func:`gre` if this is one loss, by :func:`gre_plus` if these are more. The length of the step is set by
    the margin that the wrong targets lack, whose slope along the step is known: of ``n`` planned steps that are left,
    the next goes an ``n``-th of the way. After the planned steps each goes all the way that is left, and none is longer
    than 5 % of the length of the parameters that have an effect.

    Args:
        request: What to change.
        parameters: What may be changed.
        subsets: The nodes of each subset whose loss must not rise; none for plain gradient descent.
        steps: The number of planned steps.
        max_steps: The number of steps after which to give up.

    Returns:
        The number of steps, and whether all targets are right.

    Raises:
        EditingError: If no parameter has an effect on the targets, no step keeps the subsets, or a number is not
            finite.
    """
    index, target = request.index, request.target
    if request.kept is not None and subsets:
        index, target = torch.cat([request.kept[0], index]), torch.cat([request.kept[1], target])
    aims = _BEYOND * margin_to(request.before[index], target).clamp(min=0) + 1e-3
    for step in range(max_steps + 1):
        log_probs = request.predict()
        if not bool(log_probs.isfinite().all()):
            raise EditingError(f"the model's scores became NaN or infinite after {step} steps")
        wrong = log_probs[index].argmax(-1) != target
        if not bool(wrong.any()) or step == max_steps:
            return step, not bool(wrong.any())
        if step == 0:
            parameters = _effective(parameters, log_probs)
        losses = F.nll_loss(log_probs[index], target, reduction="none")
        if subsets:
            kept = [F.nll_loss(log_probs[nodes], request.labels[nodes]) for nodes in subsets]
            kept += [] if bool(wrong.all()) else [losses[~wrong].mean()]
            direction = _rewired(_gradient(losses[wrong].mean(), parameters), kept, parameters)
        else:
            direction = _gradient(losses.mean(), parameters)
        if not bool(direction.any()):
            raise EditingError(_NO_PATH)
        margin = (margin_to(log_probs[index], target) + aims)[wrong].sum()
        slope = float(_gradient(margin, parameters) @ direction)
        way = float(margin.detach()) / max(steps - step, 1)
        length = max(float(_flat(parameters).norm()), _SMALL * math.sqrt(direction.numel()))
        longest = _LONGEST * length / float(direction.norm())
        _move(parameters, -(min(way / slope, longest) if slope > 0 else longest) * direction)
    raise AssertionError("the last step returns")


def margin_to(log_probs: Tensor, target: Tensor) -> Tensor:
    """How far the best other class is above the one asked for; negative where that is the prediction.

    Args:
        log_probs: Log-probabilities of shape ``[num_targets, num_classes]``.
        target: Classes of shape ``[num_targets]``.

    Returns:
        Margins of shape ``[num_targets]``.

    Example:
        >>> margin_to(torch.tensor([[0.0, -2.0, -3.0]]), torch.tensor([1]))
        tensor([2.])
    """
    return -margins(log_probs, target)


def _effective(parameters: Sequence[Tensor], log_probs: Tensor) -> Sequence[Tensor]:
    """The parameters that predictions depend on: others, as a Reasoner's, would only lengthen the longest step."""
    if not log_probs.requires_grad:
        raise EditingError(_NO_PATH)
    reached = torch.autograd.grad(log_probs.sum(), parameters, retain_graph=True, allow_unused=True)
    found = [each for each, gradient in zip(parameters, reached, strict=True) if gradient is not None]
    if not found:
        raise EditingError(_NO_PATH)
    return found


def _rewired(gradient: Tensor, kept: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """A gradient along which no loss that is to be kept rises."""
    anchors = torch.stack([_gradient(loss, parameters) for loss in kept])
    rewired = gre(gradient, anchors[0]) if len(kept) == 1 else gre_plus(gradient, anchors)
    if bool(gradient.any()) and float(rewired.norm()) <= _NOTHING * float(gradient.norm()):
        raise EditingError(
            f"no step corrects the targets and keeps each of {len(kept)} losses of other nodes; ask for fewer subsets, "
            "or for plain gradient descent"
        )
    return rewired


def _gradient(loss: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """The gradient of a loss, ``[num_parameters]``."""
    parts = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
    gradient = _flat(parts)
    if not bool(gradient.isfinite().all()):
        raise EditingError("the gradient of a loss became NaN or infinite")
    return gradient


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])


@torch.no_grad()
def _move(parameters: Sequence[Tensor], step: Tensor) -> None:
    for parameter, part in zip(parameters, step.split([each.numel() for each in parameters]), strict=True):
        parameter.add_(part.view_as(parameter))
