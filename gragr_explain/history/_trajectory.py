"""A model's outputs along its training, from the weights that its history kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gragr_explain.errors import HistoryError
from gragr_explain.history._history import ATTRIBUTE, GradientHistory, find_history


def recorded_weights(model: nn.Module) -> Iterator[tuple[int, dict[str, Tensor]]]:
    """The weights that a model's history kept, by their names in the model, each with its step.

    They are what :func:`call_with` takes, also where the history is that of a model which the given
    one wraps. What the wrapper had around it is as it was then, too, where that was recorded (GraGR's pathway and
    attention); what was not recorded is left out, and so is as it is now. Tied weights are there once.

    Args:
        model: A model whose training was recorded, or one that wraps it.

    Raises:
        HistoryError: If nothing was recorded, or the weights are those of another model.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain.history import GradientRecorder
        >>> model, x, edge_index = GCN(3, 4, 2, 2), torch.rand(3, 3), torch.tensor([[0, 1], [1, 0]])
        >>> with GradientRecorder(model):
        ...     model(x, edge_index).square().sum().backward()
        >>> [(step, sorted(weights)[0]) for step, weights in recorded_weights(torch.nn.ModuleDict({"inner": model}))]
        [(0, 'inner.convs.0.bias'), (1, 'inner.convs.0.bias')]
    """
    history = find_history(model)
    if history is None:
        raise HistoryError(
            "expected a model whose training was recorded, got one without a gradient history; train it with "
            "GraGR(model).fit(data), or in a `with GradientRecorder(model, data):`"
        )
    path, _ = holder(model, history)
    inside, beside = _prefix(path), _prefix(path.rpartition(".")[0])
    current, first = dict(_tensors(model)), first_names(model)
    for step, weights in sorted(history.weights.items()):
        around = {f"{beside}{name}": value for name, value in history.around.get(step, {}).items() if path}
        state = around | {f"{inside}{name}": value for name, value in weights.items()}
        known = {name: value.to(current[name]) for name, value in state.items() if name in current}
        yield step, {first[name]: value for name, value in known.items()}


def first_names(model: nn.Module) -> dict[str, str]:
    """Under which name each parameter and buffer of a model is found first: what is there twice has two.

    Example:
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> first_names(nn.Sequential(layer, layer))
        {'0.weight': '0.weight', '1.weight': '0.weight'}
    """
    named = _tensors(model)
    first = {id(tensor): name for name, tensor in reversed(named)}
    return {name: first[id(tensor)] for name, tensor in named}


def _tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """All parameters and buffers of a model under all of their names."""
    return [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]


def holder(model: nn.Module, history: GradientHistory) -> tuple[str, nn.Module]:
    """Where in a model the weights of a history belong: where that is attached, or inside; the path, and the module.

    Raises:
        HistoryError: If they are those of another model.
    """
    attached = (found for found in model.named_modules() if vars(found[1]).get(ATTRIBUTE) is history)
    at, outer = next(attached, ("", model))
    for path, module in outer.named_modules(prefix=at):
        own = _shapes(module.state_dict())
        if all(_shapes(weights) == own for weights in history.weights.values()):
            return path, module
    own = _shapes(outer.state_dict())
    step = next(step for step, weights in sorted(history.weights.items()) if _shapes(weights) != own)
    raise HistoryError(
        f"expected a history of this {type(outer).__name__}, got weights of step {step} that do not fit it"
    )


def _shapes(weights: Mapping[str, Any]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in weights.items() if isinstance(value, Tensor)}


def call_with(model: nn.Module, weights: Mapping[str, Tensor], *args: Any, **kwargs: Any) -> Any:
    """Call a model with other parameters and buffers, and leave it as it is.

    As :func:`torch.func.functional_call`, which does not put back what a module holds that is registered twice, as the
    layers of a network that shares one are.

    Args:
        model: The model.
        weights: Parameters and buffers by name; of tied ones, and of those of a module that is registered twice, any
            one name is enough. The others are as they are.
        *args: What its forward pass takes.
        **kwargs: What else its forward pass takes.

    Example:
        >>> import torch
        >>> layer = nn.Linear(1, 1, bias=False)
        >>> twice = nn.Sequential(layer, layer)
        >>> call_with(twice, {"1.weight": torch.tensor([[3.0]])}, torch.ones(1)).item()
        9.0
        >>> twice[0].weight is layer.weight
        True
    """
    names: dict[int, list[str]] = {}  # of each tensor, one name for every module that holds it
    for path, module in model.named_modules():
        for name, value in (*module._parameters.items(), *module._buffers.items()):
            if value is not None:
                names.setdefault(id(value), []).append(f"{_prefix(path)}{name}")
    current = dict(_tensors(model))
    taken = {name: value for given, value in weights.items() for name in names[id(current[given])]}
    return functional_call(model, taken, args, kwargs, tie_weights=False)


def _prefix(path: str) -> str:
    """What the names of a module's parameters begin with."""
    return f"{path}." if path else ""
