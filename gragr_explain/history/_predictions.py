"""What a model's output says: log-probabilities, margins, and the loss of the *self* field."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

_KEEPS_NUMBERS = re.compile(r"(?:(?:Unsafe)?View|ReshapeAlias|(?:Uns|S)queeze|Slice|Select|T|Alias|Clone|ToCopy)Back.*")
"""The names in a graph of derivatives of what takes numbers and gives the same."""
_SHORT_ROW = 16
"""A CPU takes the softmax of longer rows with vector instructions."""


def class_log_probs(output: Tensor, *, by_columns: bool = False) -> Tensor:
    """Log-probabilities from whatever a classifier returns.

    Args:
        output: Scores, log-probabilities or probabilities of shape ``[num_outputs, num_classes]``; a single column,
            or none, is the score of the second of two classes or, where a sigmoid made it, its probability. That is
            seen only of an output that is not detached.
        by_columns: Whether a CPU may take short rows column by column, as they then are in memory: several times
            faster, and the same but for the last bits.

    Returns:
        Log-probabilities of shape ``[num_outputs, num_classes]``.

    Example:
        >>> class_log_probs(torch.tensor([[0.0, 0.0]])).exp()
        tensor([[0.5000, 0.5000]])
        >>> class_log_probs(torch.tensor([[0.25, 0.75]])).exp()
        tensor([[0.2500, 0.7500]])
    """
    if output.dim() == 1 or output.size(-1) == 1:
        score = output.reshape(-1, 1)
        if not is_sigmoid(output):
            return F.logsigmoid(torch.cat([-score, score], dim=-1))
        output = torch.cat([1 - score, score], dim=-1)
    if are_probabilities(output):
        return output.clamp(min=torch.finfo(output.dtype).tiny).log()
    if by_columns and output.device.type == "cpu" and output.size(-1) < _SHORT_ROW:
        return output.transpose(0, -1).log_softmax(0).transpose(0, -1)
    return output.log_softmax(-1)  # leaves log-probabilities as they are


def call_for_log_probs(call: Callable[[], Tensor]) -> Tensor:
    """The log-probabilities of what a call of a classifier returns, also where no derivatives are wanted.

    Args:
        call: Returns what :func:`class_log_probs` takes, and makes its graph of derivatives.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(1, 1, bias=False), torch.nn.Sigmoid())
        >>> _ = torch.nn.init.zeros_(model[0].weight)
        >>> with torch.no_grad():
        ...     call_for_log_probs(lambda: model(torch.ones(1, 1))).exp()
        tensor([[0.5000, 0.5000]])
    """
    with torch.enable_grad():
        found = class_log_probs(call())
    return found if torch.is_grad_enabled() else found.detach()


def is_sigmoid(output: Tensor) -> bool:
    """Whether a sigmoid made an output, as far as its graph of derivatives tells.

    Example:
        >>> score = torch.zeros(2, 1, requires_grad=True)
        >>> is_sigmoid(score.sigmoid().squeeze(-1)), is_sigmoid(2 * score.sigmoid() - 1)
        (True, False)
    """
    step = output.grad_fn
    while step is not None and _KEEPS_NUMBERS.fullmatch(step.name()):
        step = step.next_functions[0][0]
    return step is not None and step.name().startswith("SigmoidBackward")


@torch.no_grad()
def are_probabilities(output: Tensor) -> bool:
    """Whether a classifier's outputs, ``[num_outputs, num_classes]``, are those of a softmax: none below 0, rows of 1.

    Example:
        >>> are_probabilities(torch.tensor([[0.25, 0.75]])), are_probabilities(torch.tensor([[0.25, 0.7]]))
        (True, False)
    """
    return bool((output >= 0).all()) and torch.allclose(output.sum(-1), output.new_ones(()), atol=1e-4)


def margins(scores: Tensor, label: Tensor) -> Tensor:
    """The score of a label minus that of the best other class.

    Args:
        scores: Probabilities, log-probabilities or raw scores of shape ``[num_outputs, num_classes]``.
        label: Class labels of shape ``[num_outputs]``.

    Returns:
        Margins of shape ``[num_outputs]``; of probabilities, they are in ``[-1, 1]``.

    Example:
        >>> margins(torch.tensor([[0.5, 0.3, 0.2]]), torch.tensor([0]))
        tensor([0.2000])
    """
    own = scores.gather(-1, label.unsqueeze(-1)).squeeze(-1)
    other = scores.scatter(-1, label.unsqueeze(-1), -torch.inf).amax(-1)
    return own - other


def self_labels(log_probs: Tensor, y: Tensor | None, train_mask: Tensor | None) -> Tensor:
    """The labels of the self field: the true ones where the model was trained on them, else the predicted ones.

    Args:
        log_probs: Log-probabilities of shape ``[num_outputs, num_classes]``.
        y: True class labels of shape ``[num_outputs]`` or ``[num_outputs, 1]``, -1 where unknown.
        train_mask: Which of them the model is trained on, of shape ``[num_outputs]``.

    Returns:
        Class labels of shape ``[num_outputs]``.

    Example:
        >>> log_probs = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1]]).log()
        >>> self_labels(log_probs, torch.tensor([1, 1, -1]), torch.tensor([True, False, True]))
        tensor([1, 0, 0])
    """
    predicted = log_probs.max(-1).indices  # as argmax, which is slow where memory goes by columns
    if y is None or y.is_floating_point():
        return predicted
    y = y.view_as(predicted)
    known = y >= 0 if train_mask is None else train_mask & (y >= 0)
    return torch.where(known, y, predicted)
