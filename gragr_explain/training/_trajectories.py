"""Seed selection: several trajectories, of which the best one goes on (eqs. 9 to 11)."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import grad, vmap
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing
from tqdm.auto import tqdm

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, TrainingError, UnsupportedModelError
from gragr_explain.history import call_with, copy_weights, first_names
from gragr_explain.inputs import forward_arguments
from gragr_explain.modes import uncompiled


@dataclass(frozen=True)
class Selection:
    """The outcome of a seed selection.

    Attributes:
        chosen: The position :math:`s^*` of the chosen trajectory; 0 is the model as it was given.
        val_loss: The validation loss of each trajectory over its epochs, ``[num_seeds, num_epochs]``.
        val_acc: Its validation accuracy, of the same shape.
        weights: The ``state_dict`` of the chosen trajectory at its end.
        best: The same at the epoch of its best validation accuracy.
        moments: The state of its optimiser, for each trainable parameter.
        together: Whether the trajectories were trained in one batched pass.
    """

    chosen: int
    val_loss: Tensor
    val_acc: Tensor
    weights: dict[str, Tensor]
    best: dict[str, Tensor]
    moments: list[dict[str, Any]]
    together: bool

    def __repr__(self) -> str:
        losses = ", ".join(f"{loss:.4g}" for loss in self.val_loss[:, -1].tolist())
        return (
            f"{type(self).__name__}(chosen={self.chosen}, val_loss=[{losses}], num_epochs={self.val_loss.size(1)}, "
            f"together={self.together})"
        )


def reset_parameters(model: nn.Module) -> None:
    """Initialise a model anew; what is frozen, parameters and the buffers beside nothing but such, stays.

    Raises:
        UnsupportedModelError: If it holds parameters of a module that cannot be initialised anew.
    """
    frozen: list[Tensor] = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    for module in model.modules():
        own = list(module.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            frozen += module.buffers(recurse=False)
    kept = [(tensor, tensor.detach().clone()) for tensor in frozen]
    _reset(model)
    with torch.no_grad():
        for tensor, value in kept:
            tensor.copy_(value)


def _reset(model: nn.Module) -> None:
    reset = getattr(model, "reset_parameters", None)
    inherited = getattr(reset, "__func__", None) is MessagePassing.reset_parameters  # which knows of no weights
    if callable(reset) and not inherited:
        reset()
        return
    if next(model.parameters(recurse=False), None) is not None:
        raise UnsupportedModelError(
            f"{type(model).__name__} has parameters but no reset_parameters(), so that no other seed can be tried; "
            "train with seeds=1"
        )
    for child in model.children():
        _reset(child)


def select_trajectory(
    model: nn.Module,
    data: Data,
    *,
    seeds: int,
    epochs: int,
    lr: float,
    weight_decay: float,
    batched: bool | None = None,
    progress: bool = True,
) -> Selection:
    r"""Train several initialisations for a few epochs and choose the one with the lowest validation loss.

    .. math::
        s^* = \operatorname{arg\,min}_{s \in \{1, \dots, S\}} \ell_s(T_1)

    GraGR paper, eqs. 9 to 11. The first trajectory starts from the model's own weights, the others from weights drawn
    anew. Where the model allows it, all are trained in one batched pass (``torch.func.vmap``), else one after another.

    Args:
        model: The model; it is left as it was.
        data: The graph, with ``train_mask`` and ``val_mask``.
        seeds: The number :math:`S` of trajectories.
        epochs: Their number :math:`T_1` of epochs.
        lr: The learning rate of Adam.
        weight_decay: The weight decay.
        batched: Whether to train them in one pass; ``None`` tries, and goes back to one after another.
        progress: Whether to show a progress bar.

    Raises:
        InvalidTypeError: If the model is no module, the graph none, or a number or flag none.
        InvalidArgumentError: If there is no trajectory or no epoch, or no node to validate on.
        UnsupportedModelError: If the model cannot be initialised anew; with ``batched=True``, if it cannot be batched.
        TrainingError: If no trajectory ends with a finite validation loss.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.tensor([True, False, True, False])
        >>> data.val_mask = ~data.train_mask
        >>> model = GCN(4, 8, num_layers=2, out_channels=2)
        >>> chosen = select_trajectory(model, data, seeds=3, epochs=5, lr=0.01, weight_decay=0.0, progress=False)
        >>> chosen.val_loss.shape
        torch.Size([3, 5])
    """
    check_type("model", model, nn.Module)
    check_type("data", data, Data)
    check_type("batched", batched, bool, optional=True)
    check_number("seeds", seeds, whole=True, least=1)
    check_number("epochs", epochs, whole=True, least=1)
    check_number("lr", lr, least=0)
    check_number("weight_decay", weight_decay, least=0)
    if data.get("val_mask") is None or not bool(data.val_mask.any()):
        raise InvalidArgumentError("expected a val_mask with at least one node, by which to choose among seeds")
    model = copy.deepcopy(model)
    states = [copy_weights(model)]
    for _ in range(seeds - 1):
        reset_parameters(model)
        states.append(copy_weights(model))
    runs = {None: (_together, _one_by_one), True: (_together,), False: (_one_by_one,)}[batched]
    for run in runs:
        bar = tqdm(total=epochs * (1 if run is _together else seeds), desc="choosing a seed", disable=not progress)
        random, cuda = torch.get_rng_state(), _cuda_states()
        try:
            with bar, uncompiled():
                selection = run(model, data, states, epochs, lr, weight_decay, bar)
            break
        except (RuntimeError, NotImplementedError, ValueError, TypeError) as error:
            if run is runs[-1]:
                if batched:
                    raise UnsupportedModelError(f"{type(model).__name__} cannot be batched ({error})") from error
                raise
            torch.set_rng_state(random)
            if cuda:
                torch.cuda.set_rng_state_all(cuda)
    if not bool(selection.val_loss[selection.chosen, -1].isfinite()):
        raise TrainingError(
            f"no seed of {seeds} had a finite validation loss after {epochs} epochs; the model is as it was"
        )
    return selection


def _together(
    model: nn.Module,
    data: Data,
    states: list[dict[str, Tensor]],
    epochs: int,
    lr: float,
    weight_decay: float,
    bar: tqdm,
) -> Selection:
    """All trajectories in one pass: parameters get a leading dimension, the graph does not."""
    model = copy.deepcopy(model)  # what layers cache in such a pass is of no use outside of it
    arguments = forward_arguments(model, data)
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    alike = first_names(model)
    stacked = {
        name: torch.stack([state[name] for state in states]) for name in states[0] if alike.get(name, name) == name
    }
    learned = {name: stacked.pop(name).requires_grad_() for name in trainable}
    optimizer = torch.optim.Adam(list(learned.values()), lr=lr, weight_decay=weight_decay)

    def loss(own: dict[str, Tensor], fixed: dict[str, Tensor], mask: Tensor) -> tuple[Tensor, Tensor]:
        output = call_with(model, {**own, **fixed}, data.x, data.edge_index, **arguments)
        hit = (output.detach()[mask].argmax(-1) == data.y[mask]).to(output.dtype).mean()
        return F.cross_entropy(output[mask], data.y[mask]), hit

    train = vmap(grad(loss, has_aux=True), in_dims=(0, 0, None), randomness="different")
    judge = vmap(loss, in_dims=(0, 0, None), randomness="different")
    curves: list[Tensor] = []
    best = {name: value.detach().clone() for name, value in {**stacked, **learned}.items()}
    best_acc = torch.full((len(states),), -1.0, device=data.x.device)
    for _ in range(epochs):
        model.train()
        gradients, _ = train({name: value.detach() for name, value in learned.items()}, stacked, data.train_mask)
        for name, value in learned.items():
            value.grad = gradients[name]
        optimizer.step()
        model.eval()
        with torch.no_grad():
            curves.append(torch.stack(judge(learned, stacked, data.val_mask)))
            better = curves[-1][1] > best_acc
            best_acc = torch.where(better, curves[-1][1], best_acc)
            for name, value in {**stacked, **learned}.items():
                best[name][better] = value[better]
        bar.update()
    val_loss, val_acc = torch.stack(curves, -1)
    chosen = _lowest(val_loss[:, -1])
    ends, tops = (
        {name: value[chosen].detach().clone() for name, value in found.items()}
        for found in ({**stacked, **learned}, best)
    )
    weights, peak = ({name: found[alike.get(name, name)] for name in states[0]} for found in (ends, tops))
    moments = [
        {key: value[chosen].clone() if value.dim() else value.clone() for key, value in optimizer.state[part].items()}
        for part in learned.values()
    ]
    return Selection(chosen, val_loss, val_acc, weights, peak, moments, together=True)


def _one_by_one(
    model: nn.Module,
    data: Data,
    states: list[dict[str, Tensor]],
    epochs: int,
    lr: float,
    weight_decay: float,
    bar: tqdm,
) -> Selection:
    arguments = forward_arguments(model, data)
    val_loss = torch.full((len(states), epochs), math.inf, device=data.x.device)
    val_acc = torch.zeros_like(val_loss)
    ends: list[tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, Any]]]] = []
    for seed, state in enumerate(states):
        model.load_state_dict(state)
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
        best = state
        for epoch in range(epochs):
            model.train()
            optimizer.zero_grad()
            output = model(data.x, data.edge_index, **arguments)
            F.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
            optimizer.step()
            model.eval()
            with torch.no_grad():
                output, y = model(data.x, data.edge_index, **arguments)[data.val_mask], data.y[data.val_mask]
            val_loss[seed, epoch] = F.cross_entropy(output, y)
            val_acc[seed, epoch] = (output.argmax(-1) == y).float().mean()
            if int(val_acc[seed, : epoch + 1].argmax()) == epoch:
                best = copy_weights(model)
            bar.update()
        moments = [{key: value.clone() for key, value in optimizer.state[part].items()} for part in parameters]
        ends.append((copy_weights(model), best, moments))
    chosen = _lowest(val_loss[:, -1])
    return Selection(chosen, val_loss, val_acc, *ends[chosen], together=False)


def _cuda_states() -> list[Tensor]:
    return torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []


def _lowest(val_loss: Tensor) -> int:
    return int(val_loss.nan_to_num(math.inf).argmin())
