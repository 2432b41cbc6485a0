"""What influences are asked with, checked before any work is done."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.errors import HistoryError, InvalidArgumentError
from gragr_explain.history import (
    class_log_probs,
    find_history,
    recorded_weights,
    warn_of_other_arguments,
    warn_of_other_weights,
)
from gragr_explain.inputs import check_classes, forward_arguments, trial_errors
from gragr_explain.labels import check_scores

States = list[tuple[int, dict[str, Tensor]]]
"""The weights that a history kept, each with its step."""


def recorded_states(model: nn.Module, data: Data, *, required: bool) -> States:
    """All of a model's weights and buffers along a recorded training that has ended, on the same graph.

    What a wrapper has that was not recorded, for example what an edit has stitched to the model, is as it is now.

    Args:
        model: The model.
        data: The graph in question.
        required: Whether there must be some; else none are returned where nothing was recorded.

    Raises:
        HistoryError: If there must be some, and there are none; or if they are not finite.
        HistoryMismatchError: If they were recorded on another graph.
    """
    history = find_history(model)
    if history is None and not required:
        return []
    states = list(recorded_weights(model))
    if history is not None:
        history.check_graph(data.x.size(0), data.x, data.edge_index)
        warn_of_other_arguments(history, forward_arguments(model, data))
        warn_of_other_weights(history, model)
    if len(states) < 2 and required:
        raise HistoryError(
            f"expected a history of a training that has ended, got one with the weights of {len(states)} steps"
        )
    for step, weights in states:
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            raise HistoryError(f"expected a history of finite weights, got NaN or infinite ones in step {step}")
    return [(step, {**current_state(model), **weights}) for step, weights in states]


def current_state(model: nn.Module) -> dict[str, Tensor]:
    """All of a model's weights and buffers as they are now, tied ones once."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def current_log_probs(model: nn.Module, data: Data) -> Tensor:
    """What a model in evaluation mode says now of each node, ``[num_nodes, num_classes]``.

    Raises:
        UnsupportedModelError: If it cannot be called with the graph, or does not return a finite score per node and
            class.
        InvalidGraphError: If it cannot take the graph's features.
    """
    with torch.enable_grad(), trial_errors(data.x):
        output = model(data.x, data.edge_index, **forward_arguments(model, data))
    return class_log_probs(check_scores(output, data.x.size(0), least=1, finite=True)).detach()


def asked_classes(target: int | Sequence[int] | Tensor | None, log_probs: Tensor, nodes: Tensor) -> Tensor:
    """The class in question of each of some nodes, ``[num_queries]``: the predicted one, where none is named.

    Raises:
        InvalidTypeError: If the classes are no integers.
        InvalidIndexError: If a class is out of range.
        InvalidArgumentError: If there is neither one for all nodes nor one for each.
    """
    if target is None:
        return log_probs.argmax(-1)[nodes]
    classes = check_classes(target, log_probs.size(1), log_probs.device)
    if classes.numel() not in (1, nodes.numel()):
        raise InvalidArgumentError(
            f"expected one class for all nodes or one for each of {nodes.numel()}, got {classes.numel()}"
        )
    return classes.expand(nodes.numel())
