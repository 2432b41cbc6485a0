"""What an edit is asked to do, checked before anything is changed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing

from gragr_explain.arguments import check_number
from gragr_explain.errors import EditingError, InvalidArgumentError, UnsupportedModelError
from gragr_explain.history import call_for_log_probs, find_history, warn_of_other_arguments
from gragr_explain.inputs import check_classes, check_data, check_index, forward_arguments, trial_errors
from gragr_explain.labels import training_nodes

Method = Literal["gre+", "gre", "gd"]


@dataclass(frozen=True)
class Request:
    """A checked request.

    Attributes:
        predict: Computes the model's log-probabilities of all nodes, ``[num_nodes, num_classes]``.
        before: What they are now, without a graph of derivatives.
        index: The nodes to correct, each once, ``[num_targets]``.
        target: The class that each shall have, ``[num_targets]``.
        others: The nodes that have a class to keep, unless they are to be corrected, ``[num_others]``: all but training
            nodes among the targets, whose label may be the mistake; none for plain gradient descent.
        labels: That class, ``[num_nodes]``: of training nodes their label, of the rest what is predicted now.
        kept: Nodes that were corrected before and their classes, where there are some.
    """

    predict: Callable[[], Tensor]
    before: Tensor
    index: Tensor
    target: Tensor
    others: Tensor
    labels: Tensor
    kept: tuple[Tensor, Tensor] | None = None


def check_request(
    model: nn.Module, data: Data, index: Any, target: Any, method: str, num_subsets: int, steps: int, max_steps: int
) -> Request:
    """Check what :func:`edit` is handed, with a model in evaluation mode; raises as it does."""
    check_data(data)
    if method not in get_args(Method):
        raise InvalidArgumentError(f"expected a method of {', '.join(get_args(Method))}, got {method!r}")
    for name, number in (("num_subsets", num_subsets), ("steps", steps), ("max_steps", max_steps)):
        check_number(name, number, whole=True, least=1)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise EditingError("nothing can change: no parameter of the model requires_grad")
    predict = predictor(model, data)
    if (history := find_history(model)) is not None and history.num_nodes == data.x.size(0):
        warn_of_other_arguments(history, forward_arguments(model, data))
    before = _predictions(predict, data)
    nodes, classes = check_targets(index, target, before)
    labels = before.argmax(-1)
    if method == "gd":
        return Request(predict, before, nodes, classes, nodes.new_empty(0), labels)
    train = other_training_nodes(data, nodes, before.size(1))
    needed = num_subsets if method == "gre+" else 1
    if train.numel() < needed:
        raise InvalidArgumentError(
            f"expected at least {needed} training nodes beside the targets for num_subsets={num_subsets}, "
            f"got {train.numel()}"
        )
    labels[train] = data.y[train]
    trusted = ~data.train_mask
    trusted[train] = True
    return Request(predict, before, nodes, classes, trusted.nonzero().view(-1), labels)


def predictor(model: nn.Module, data: Data) -> Callable[[], Tensor]:
    """A function that computes a model's log-probabilities for a graph, ``[num_nodes, num_classes]``.

    A model without message passing whose forward pass takes no ``edge_index``, such as an MLP, is called with the
    features alone.
    """
    takes = inspect.signature(model.forward).parameters
    passes_on = any(kind.kind in (kind.VAR_KEYWORD, kind.VAR_POSITIONAL) for kind in takes.values())
    if "edge_index" in takes or passes_on or any(isinstance(part, MessagePassing) for part in model.modules()):
        arguments = forward_arguments(model, data)
        return lambda: call_for_log_probs(lambda: _tensor(model(data.x, data.edge_index, **arguments)))
    return lambda: call_for_log_probs(lambda: _tensor(model(data.x)))


def _tensor(output: Any) -> Tensor:
    if not isinstance(output, Tensor):
        raise UnsupportedModelError(
            f"expected a model that returns class scores as a tensor, got {type(output).__name__}"
        )
    return output


@torch.no_grad()
def _predictions(predict: Callable[[], Tensor], data: Data) -> Tensor:
    with trial_errors(data.x):
        output = predict()
    if output.dim() != 2 or output.size(0) != data.x.size(0):
        raise UnsupportedModelError(
            f"expected a model that returns class scores of shape [{data.x.size(0)}, num_classes], got "
            f"{list(output.shape)}"
        )
    if not bool(output.isfinite().all()):
        raise EditingError("the model's scores are NaN or infinite before any edit")
    return output


def check_targets(index: Any, target: Any, scores: Tensor) -> tuple[Tensor, Tensor]:
    """Check nodes and the classes they shall have, and name each node once.

    Args:
        index: As for :func:`edit`.
        target: As for :func:`edit`.
        scores: Of shape ``[num_nodes, num_classes]``.

    Returns:
        Nodes and classes, each of shape ``[num_targets]``.
    """
    nodes = check_index(index, scores.size(0), scores.device)
    if nodes is None or nodes.numel() == 0:
        raise InvalidArgumentError("expected at least one node to correct, got none")
    classes = check_classes(target, scores.size(1), scores.device)
    if classes.numel() not in (1, nodes.numel()):
        raise InvalidArgumentError(
            f"expected one class for all nodes or one for each of {nodes.numel()}, got {classes.numel()}"
        )
    wanted: dict[int, int] = {}
    for node, label in zip(nodes.tolist(), classes.expand(nodes.numel()).tolist(), strict=True):
        if wanted.setdefault(node, label) != label:
            raise InvalidArgumentError(f"contradicting targets: node {node} shall be {wanted[node]} and {label}")
    return nodes.new_tensor(list(wanted)), nodes.new_tensor(list(wanted.values()))


def other_training_nodes(data: Data, targets: Tensor, num_classes: int) -> Tensor:
    """The training nodes that are no targets: the label of a target may be the mistake that is corrected.

    Raises:
        InvalidTypeError: If the ``train_mask`` is no boolean tensor.
        InvalidGraphError: If there is no training node or no ``y``, or a training label is none of the classes.
    """
    train = training_nodes(data, num_classes)
    return train[~torch.isin(train, targets)]
