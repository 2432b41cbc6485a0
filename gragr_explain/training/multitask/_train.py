"""Training of one model for several tasks on the same graphs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm.auto import tqdm

from gragr_explain.arguments import check_number
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError, UnsupportedModelError
from gragr_explain.inputs import check_one_kind
from gragr_explain.seeds import seeded
from gragr_explain.training._loop import Curves
from gragr_explain.training._schedule import AdaptiveScheduler
from gragr_explain.training.multitask._balancing import Average, Balancer
from gragr_explain.training.multitask._batches import check_encoder, check_graphs, collate
from gragr_explain.training.multitask._gradnorm import GradNorm
from gragr_explain.training.multitask._gragr import GraGRTasks
from gragr_explain.training.multitask._jacobian import AGGREGATORS, Aggregated
from gragr_explain.training.multitask._loop import TaskLoop, select_seed
from gragr_explain.training.multitask._model import MultiTaskModel

METHODS = ("gragr", "gragr++", "average", "gradnorm", *AGGREGATORS)
"""What :func:`train_multitask` can balance tasks by."""

SELECTION_SHARE = 0.5
"""The share of a training's epochs after which seeds are compared."""

META = ("validation", "conflict", None)


@dataclass(frozen=True)
class MultiTaskResult:
    """What a multi-task training was like.

    Attributes:
        curves: One number per epoch: ``"loss"`` (the sum of the tasks' training losses, mean over batches),
            ``"seconds"``, with validation graphs ``"val_loss"`` (the sum of the tasks' losses) and ``"val_acc"`` (the
            mean of the tasks' accuracies), and ``"conflict_energy"`` (eq. 27, mean over graphs and batches; NaN in
            epochs without GraGR's reasoning).
        task_weights: The tasks' weights at the end, of shape ``[num_tasks]`` and mean one.
        best_epoch: The epoch whose weights the model has: that of the best validation accuracy, or the last.
        selection_seconds: How long seed selection took, before the first epoch.
    """

    curves: Curves
    task_weights: Tensor
    best_epoch: int
    selection_seconds: float


@torch.enable_grad()
def train_multitask(
    model: MultiTaskModel,
    train: Sequence[Data],
    val: Sequence[Data] | None = None,
    *,
    method: str = "gragr",
    epochs: int = 100,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
    batch_size: int = 32,
    seed: int = 0,
    meta: str | None = "validation",
    meta_lr: float = 0.02,
    tau_cos: float = -0.1,
    correct: bool = True,
    num_seeds: int | None = None,
    progress: bool = True,
) -> MultiTaskResult:
    r"""Train a shared encoder and a head for each task with Adam and cross entropy.

    In every method each head follows the gradient of its own task; they differ in what the encoder follows.

    - ``"gragr"``: the tasks' gradient fields at the shared representation, with what opposes the other tasks removed
      (GraGR paper, section 2 and eqs. 1 and 3 with tasks in place of neighbours), weighed by :math:`\gamma_i` (eq. 7)
      that are learned by hypergradients (eq. 8), and corrected node by node on their way through the encoder (eqs. 1, 3
      and 4). One backward pass of the encoder, whatever the number of tasks.
    - ``"gragr++"``: several seeds are trained by averaging for half the epochs; the one of the lowest validation loss
      goes on (eqs. 9-11), reasoning as ``"gragr"`` does after each epoch in which the training loss has stopped falling
      (eq. 14), and averaging after the others. It has no conflict pathway, which is for the edges of one graph.
    - ``"average"``: the mean of the tasks' gradients.
    - ``"gradnorm"``: GradNorm (Chen et al. 2018).
    - ``"mgda"``, ``"pcgrad"``, ``"cagrad"``, ``"upgrad"``, ``"nash-mtl"``, ``"aligned-mtl"``: TorchJD's aggregators of
      the Jacobian; one backward pass of the encoder per task.

    Batches are drawn once, and their order anew in every epoch. Graphs are moved to the model's device.
    ``edge_weight`` and ``edge_attr`` are passed to encoders that take them.

    Args:
        model: The model.
        train: Graphs to train on, with ``x``, ``edge_index`` and labels ``y`` of shape ``[1, num_tasks]``: classes, or
            -1 or NaN where a graph has no label for a task.
        val: Graphs to choose by: with them, the model ends with the weights of its best validation accuracy.
        method: How tasks are balanced.
        epochs: The number of epochs.
        lr: The learning rate.
        weight_decay: The weight decay.
        batch_size: The number of graphs in a batch.
        seed: The seed of batches, dropout, and of the weights where seeds are selected. The same seed gives the same
            weights.
        meta: What the tasks' weights descend on, for GraGR: ``"validation"`` loss, ``"conflict"``, or ``None`` for
            weights of one.
        meta_lr: The rate of the weights, in units of a weight.
        tau_cos: The cosine below which a gradient is in conflict (eq. 1).
        correct: Whether GraGR corrects fields; without, it only weighs them.
        num_seeds: The number of seeds to select from. ``None`` is 5 for ``"gragr++"`` and 1, the model as it is, for
            every other method.
        progress: Whether to show a progress bar.

    Returns:
        The curves and the tasks' weights; the model is trained in place and left in evaluation mode.

    Raises:
        InvalidTypeError: If an argument is of the wrong type.
        InvalidArgumentError: If an argument is out of range, tasks shall be weighed and there is only one, validation
            graphs are needed and there are none, or a package that the method needs is not installed.
        InvalidGraphError: If graphs or labels cannot be used.
        UnsupportedModelError: If the model has nothing to train, cannot be called with the graphs, or its encoder does
            not return representations of the width that it was said to have.
        TrainingError: If a loss is not finite, be it that after the last step, or the validation loss in every epoch;
            the model then has the last weights whose loss was.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> ring = torch.tensor([[0, 1, 2, 1, 2, 0], [1, 2, 0, 0, 1, 2]])
        >>> graphs = [Data(x=torch.full((3, 1), v), edge_index=ring, y=torch.tensor([[v > 0, v < 0]]).long())
        ...           for v in (-1.0, 1.0)]
        >>> model = MultiTaskModel(GCN(1, 8, num_layers=2), 8, num_classes=[2, 2])
        >>> result = train_multitask(model, graphs, graphs, epochs=30, progress=False)
        >>> result.curves["loss"][-1] < result.curves["loss"][0], result.task_weights.shape
        (True, torch.Size([2]))
    """
    _check(model, method, meta, num_seeds, val)
    check_number("epochs", epochs, whole=True, least=1)
    check_number("batch_size", batch_size, whole=True, least=1)
    check_number("seed", seed, whole=True, least=0)
    check_number("lr", lr, within="(0, inf)")
    check_number("weight_decay", weight_decay, least=0)
    check_number("meta_lr", meta_lr, least=0)
    check_number("tau_cos", tau_cos, within="[-1, 1]")
    labels = check_graphs(train, model.num_classes, "training")
    val_labels = [] if val is None else check_graphs(val, model.num_classes, "validation")
    named = {f"training graph {place}": graph for place, graph in enumerate(train)}
    named |= {f"validation graph {place}": graph for place, graph in enumerate(val or ())}
    check_one_kind(model.encoder, named)
    check_encoder(model, train[0])
    if val is not None and bool((torch.stack(val_labels) < 0).all()):
        raise InvalidGraphError("expected a label for at least one task of the validation graphs, got none")
    with seeded(seed, next(model.parameters()).device):
        batches = collate(train, labels, torch.randperm(len(train)).tolist(), batch_size, model)
        val_batches = collate(val or (), val_labels, range(len(val or ())), max(batch_size, 256), model)
        loop = TaskLoop(model, batches, val_batches, lr, weight_decay)
        started = time.perf_counter()
        seeds = _count_seeds(method, num_seeds)
        if seeds > 1:
            loop = select_seed(loop, seed, seeds, max(1, round(SELECTION_SHARE * epochs)), progress)
        spent = time.perf_counter() - started if seeds > 1 else 0.0
        balancer: Balancer
        scheduler = None
        try:
            if method in ("gragr", "gragr++"):
                order = torch.randperm(len(val or ())).tolist()
                judges = collate(val or (), val_labels, order, batch_size, model)
                balancer = GraGRTasks(
                    loop.model, judges, meta=meta, meta_lr=meta_lr, step_size=lr, tau_cos=tau_cos, correct=correct
                )
                scheduler = AdaptiveScheduler(min_epochs=max(1, epochs // 10)) if method == "gragr++" else None
            else:
                balancer = _baseline(loop.model, method)
            with tqdm(total=epochs, initial=loop.done, desc="training", unit="epoch", disable=not progress) as bar:
                loop.run(balancer, epochs, scheduler, bar)
            loop.finish()
        finally:
            model.load_state_dict(loop.model.state_dict())
            model.eval()
    return MultiTaskResult(loop.curves, balancer.weights.detach().clone(), loop.best_epoch, spent)


def _baseline(model: MultiTaskModel, method: str) -> Balancer:
    if method == "average":
        return Average(model)
    return GradNorm(model) if method == "gradnorm" else Aggregated(model, method)


def _check(
    model: MultiTaskModel, method: str, meta: str | None, num_seeds: int | None, val: Sequence[Data] | None
) -> None:
    if not isinstance(model, MultiTaskModel):
        raise InvalidTypeError(f"expected a MultiTaskModel, got {type(model).__name__}")
    if not any(parameter.requires_grad for parameter in model.encoder.parameters()):
        raise UnsupportedModelError(
            "expected an encoder with parameters to train, none of its parameters requires_grad"
        )
    if method not in METHODS:
        raise InvalidArgumentError(f"expected method as one of {', '.join(METHODS)}, got {method!r}")
    if meta not in META:
        raise InvalidArgumentError(f"expected meta as 'validation', 'conflict' or None, got {meta!r}")
    weighs = method == "gradnorm" or (method in ("gragr", "gragr++") and meta is not None)
    if weighs and len(model.heads) < 2:
        raise InvalidArgumentError(
            f"expected two tasks or more to weigh, got {len(model.heads)}; train one task with meta=None"
        )
    if method in ("gragr", "gragr++") and meta == "validation" and not val:
        raise InvalidArgumentError("expected validation graphs for meta='validation', got none")
    check_number("num_seeds", num_seeds, whole=True, least=1, optional=True)
    if _count_seeds(method, num_seeds) > 1 and not val:
        raise InvalidArgumentError("expected validation graphs to select a seed by, got none")


def _count_seeds(method: str, num_seeds: int | None) -> int:
    if num_seeds is not None:
        return num_seeds
    return 5 if method == "gragr++" else 1
