"""Full-batch training for node classification."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from tqdm.auto import tqdm

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError, TrainingError, UnsupportedModelError
from gragr_explain.history import are_probabilities, copy_weights
from gragr_explain.inputs import check_data, forward_arguments
from gragr_explain.labels import class_scores, mask_of, training_nodes

STOPPED = "training stopped, the model has its last good weights"
Curves = dict[str, list[float]]
"""One number per epoch, by name."""


def check_training(
    model: nn.Module, data: Data, epochs: int, patience: int | None, *, lr: float, weight_decay: float
) -> int:
    """Check, before any work, that a model can be trained on a graph; returns its number of classes.

    Raises:
        InvalidTypeError: If the graph, its labels or masks, or a number of epochs, are of the wrong type.
        InvalidGraphError: If the graph cannot be used, the model cannot take its features, it has no training node,
            or a training node has no class that the model knows.
        InvalidArgumentError: If ``epochs`` or ``patience`` is not positive, there is patience but no validation, or
            ``lr`` or ``weight_decay`` is negative.
        UnsupportedModelError: If the model has nothing to train, cannot be called with a graph, does not return a score
            per node and class, or returns the probabilities of a softmax, which the loss would take once more.
    """
    check_data(data)
    check_number("epochs", epochs, whole=True, least=1)
    check_number("lr", lr, least=0)
    check_number("weight_decay", weight_decay, least=0)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise UnsupportedModelError("expected a model with parameters to train, none of its parameters requires_grad")
    mask_of(data, "val_mask")
    check_number("patience", patience, whole=True, least=1, optional=True)
    scores = class_scores(model, data)
    if are_probabilities(scores):
        raise UnsupportedModelError(
            "expected a model that returns scores or log-probabilities, got probabilities, of which the loss takes a "
            "softmax once more; leave out the model's own, or use log_softmax"
        )
    num_classes = scores.size(1)
    training_nodes(data, num_classes)
    if patience is not None and _validation(data) is None:
        raise InvalidArgumentError(
            f"expected a val_mask with at least one node that has a label for patience={patience}, got none"
        )
    return num_classes


def _validation(data: Data) -> Tensor | None:
    """Which nodes the model is validated on, ``[num_nodes]``: those of the mask that have a label, if there are any."""
    mask = data.get("val_mask")
    known = None if mask is None else mask & (data.y >= 0)
    return None if known is None or not bool(known.any()) else known


class Step(Enum):
    """What a training does after an epoch."""

    GO_ON = auto()
    REMEMBER = auto()
    """Go on, and be able to come back to here."""
    GO_BACK = auto()
    """Go back to where it was told to remember, and go on from there."""


class Reasoning(Protocol):
    """What takes part in a training loop beside the model and its optimiser."""

    def begin(self, epoch: int) -> None:
        """Before the forward pass of an epoch."""

    def objective(self, losses: Tensor, output: Tensor) -> Tensor:
        """The scalar to descend, from the losses of the training nodes, ``[num_train]``, and the model's output."""

    def end(self, loss: float, hits: Tensor | None) -> Step:
        """After an epoch, with which validation nodes are right now."""

    def finish(self) -> Step:
        """After the last epoch: whether to go back."""


class _State:
    """The weights, the optimiser and the best epoch of a training, now or as they were."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer = model, optimizer
        self.best, self.best_accuracy, self.best_epoch = copy_weights(model), -1.0, 0
        self._kept: tuple[Any, ...] | None = None

    def improve(self, accuracy: float, epoch: int) -> None:
        """Keep the weights of an epoch that is better than all before."""
        if accuracy > self.best_accuracy:
            self.best, self.best_accuracy, self.best_epoch = copy_weights(self.model), accuracy, epoch

    def follow(self, step: Step, epoch: int) -> None:
        """Remember all of it, or go back to it."""
        if step is Step.REMEMBER:
            moments = copy.deepcopy(self.optimizer.state_dict())
            self._kept = copy_weights(self.model), moments, self.best, self.best_accuracy
        elif step is Step.GO_BACK and self._kept is not None:
            weights, moments, self.best, self.best_accuracy = self._kept
            self.model.load_state_dict(weights)
            self.optimizer.load_state_dict(moments)
            self.best_epoch = epoch  # patience begins anew


def train_full_batch(
    model: nn.Module,
    data: Data,
    *,
    epochs: int,
    lr: float,
    weight_decay: float,
    patience: int | None = None,
    curves: Curves | None = None,
    progress: bool = True,
    moments: Sequence[dict[str, Any]] | None = None,
    best: tuple[Mapping[str, Tensor], float] | None = None,
    reasoning: Reasoning | None = None,
) -> Curves:
    """Train a model on a whole graph with Adam and cross entropy.

    Args:
        model: A model that returns class scores of shape ``[num_nodes, num_classes]``.
        data: The graph, as :func:`check_training` wants it.
        epochs: The number of epochs.
        lr: The learning rate.
        weight_decay: The weight decay.
        patience: The number of epochs without a better validation accuracy after which to stop and go back to the
            best weights. ``None`` trains to the end.
        curves: Where to write one number per epoch; others may write into it too, and the progress bar shows all.
        progress: Whether to show a progress bar.
        moments: The state of the optimiser, for each of the first trainable parameters, where a training goes on.
        best: The weights of its best epoch so far and their validation accuracy, likewise.
        reasoning: What changes the objective and the model on the way.

    Returns:
        The curves: ``"loss"``, and ``"val_acc"`` where a node of a ``val_mask`` has a label.

    Raises:
        TrainingError: If the loss is not finite; the model then has the last weights whose loss was.
    """
    curves = {} if curves is None else curves
    arguments = forward_arguments(model, data)
    train_mask, val_mask, y = data.train_mask, _validation(data), data.y
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    copies = ({name: value.clone() for name, value in state.items()} for state in moments or ())
    optimizer.state.update(zip(parameters, copies, strict=False))
    good, state = copy_weights(model), _State(model, optimizer)
    if best is not None:
        state.best.update(best[0])
        state.best_accuracy = best[1]
    try:
        with tqdm(range(epochs), desc="training", unit="epoch", disable=not progress) as bar:
            for epoch in bar:
                model.train()
                optimizer.zero_grad()
                if reasoning is not None:
                    reasoning.begin(epoch)
                output = model(data.x, data.edge_index, **arguments)
                losses = F.cross_entropy(output[train_mask], y[train_mask], reduction="none")
                value = float(losses.detach().mean())
                if not math.isfinite(value):
                    model.load_state_dict(good)
                    raise TrainingError(f"the loss became {value} in epoch {epoch}; {STOPPED}")
                good = copy_weights(model)
                (losses.mean() if reasoning is None else reasoning.objective(losses, output)).backward()
                optimizer.step()
                curves.setdefault("loss", []).append(value)
                hits = None if val_mask is None else _hits(model, data, arguments, val_mask)
                if hits is not None:
                    accuracy = float(hits.float().mean())
                    curves.setdefault("val_acc", []).append(accuracy)
                    if patience is not None:
                        state.improve(accuracy, epoch)
                if reasoning is not None:
                    state.follow(reasoning.end(value, hits), epoch)
                bar.set_postfix({name: f"{values[-1]:.3f}" for name, values in curves.items()}, refresh=False)
                if patience is not None and epoch - state.best_epoch >= patience:
                    break
    except KeyboardInterrupt:
        if patience is not None:
            model.load_state_dict(state.best)
        raise
    if reasoning is not None:
        state.follow(reasoning.finish(), epochs)
    if patience is not None:
        model.load_state_dict(state.best)
    if not all(bool(parameter.isfinite().all()) for parameter in parameters):
        model.load_state_dict(good)
        raise TrainingError(f"the last step made weights that are not finite; {STOPPED}")
    return curves


@torch.no_grad()
def _hits(model: nn.Module, data: Data, arguments: dict[str, Tensor], mask: Tensor) -> Tensor:
    """Which of the masked nodes are predicted right."""
    model.eval()
    output = model(data.x, data.edge_index, **arguments)
    return output[mask].argmax(-1) == data.y[mask]
