"""What an audit needs, checked before any work."""

from __future__ import annotations

from torch import nn
from torch_geometric.data import Data

from gragr_explain.arguments import check_number
from gragr_explain.errors import HistoryError, InvalidGraphError
from gragr_explain.history import (
    GradientHistory,
    find_history,
    message_passing_layers,
    recorded_weights,
    warn_of_other_arguments,
    warn_of_other_weights,
)
from gragr_explain.inputs import check_data, forward_arguments
from gragr_explain.labels import class_scores, mask_of, training_nodes

LEAST = 20
"""The smallest number of training nodes that an audit can learn from."""


def check_audit(model: nn.Module, data: Data, epochs: int | None, seed: int) -> tuple[GradientHistory, int]:
    """Check a model and a graph; returns the model's history and its number of classes.

    Raises:
        InvalidTypeError: If the graph, its masks or a number are of the wrong type.
        InvalidGraphError: If the graph cannot be used, has no labels, labels of a class that the model does not have,
            or of one class only, or fewer than :data:`LEAST` training nodes.
        InvalidArgumentError: If ``epochs`` is not positive, or ``seed`` no seed.
        UnsupportedModelError: If the model does not return a score per node and class.
        HistoryError: If nothing was recorded of the model's training, or not what an audit needs.
        HistoryMismatchError: If the history belongs to another graph.
    """
    message_passing_layers(model)
    check_data(data)
    check_number("epochs", epochs, whole=True, least=1, optional=True)
    check_number("seed", seed, whole=True, within=f"[0, {2**32})")
    list(recorded_weights(model))
    history = find_history(model)
    assert history is not None  # recorded_weights has raised
    history.check_graph(data.x.size(0), data.x, data.edge_index)
    warn_of_other_arguments(history, forward_arguments(model, data))
    warn_of_other_weights(history, model)
    missing = sorted({"training", "self"} - set(history.fields)) + sorted({"margin"} - set(history.trajectories))
    if missing:
        raise HistoryError(f"expected a history of training a classifier of nodes, got one without {missing}")
    mask_of(data, "val_mask")
    scores = class_scores(model, data, finite=True)
    known = data.y[training_nodes(data, scores.size(1))]
    if known.numel() < LEAST:
        raise InvalidGraphError(f"expected at least {LEAST} training nodes to learn from, got {known.numel()}")
    if int(known.min()) == int(known.max()):
        raise InvalidGraphError(f"expected training labels of at least two classes, all are {int(known[0])}")
    return history, scores.size(1)
