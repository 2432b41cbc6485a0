"""What else a model is called with while it trains, beside features and edges."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from gragr_explain.errors import warn_caller
from gragr_explain.history._history import GradientHistory
from gragr_explain.history._tap import Hook
from gragr_explain.inputs import forward_signature
from gragr_explain.modes import hooked

_NOT_OF_GRAPHS = {"batch", "batch_size"}  # of which graph a node is does not change what is learned of one


@contextmanager
def listen_to_arguments(model: nn.Module, names: set[str]) -> Iterator[None]:
    """Add the names of the tensors that a model is called with to others, as long as the context lasts."""

    heard: set[tuple[object, ...]] = set()  # to read a signature takes longer than many a layer

    def listen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        call = (*map(type, args), *kwargs, *map(type, kwargs.values()))
        if call not in heard:
            heard.add(call)
            names.update(argument_names(module, args, kwargs))

    with hooked([model.register_forward_pre_hook(Hook(listen), with_kwargs=True)]):
        yield


def argument_names(model: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[str]:
    """The names of the tensors that a model is called with, but for the first two, features and edges.

    Example:
        >>> import torch
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index, edge_weight = torch.rand(2, 3), torch.tensor([[0], [1]]), torch.ones(1)
        >>> argument_names(GCN(3, 4, 2), [x, edge_index, edge_weight], {})
        ['edge_weight']
    """
    signature = inspect.signature(model.forward)
    if any(parameter.kind == parameter.VAR_POSITIONAL for parameter in signature.parameters.values()):
        _, signature = forward_signature(model)  # a wrapper does not say what it is called with
    try:
        given = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:  # the call itself is about to fail
        return []
    rest = {name: value for name, value in given.items() if name not in list(signature.parameters)[:2]}
    for name, parameter in signature.parameters.items():
        if parameter.kind == parameter.VAR_KEYWORD:
            rest |= rest.pop(name, {})
    return [name for name, value in rest.items() if isinstance(value, Tensor)]


def warn_of_other_arguments(history: GradientHistory, given: Iterable[str], how: str = "") -> None:
    """Warn where a model is called with other parts of a graph than it was trained with, such as edge weights.

    Args:
        history: What was recorded of its training.
        given: The names of the tensors that it is called with beside features and edges.
        how: How to hand over what is missing, for the message; ``{}`` stands for its names.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warn_of_other_arguments(trained.history, ["edge_weight"])
        >>> print(caught[0].message)
        the model was trained without edge_weight, and is called with it: leave it out of the call, or of the graph
    """
    trained = history.arguments - _NOT_OF_GRAPHS
    asked = set(given) - _NOT_OF_GRAPHS
    if missing := " and ".join(sorted(trained - asked)):
        names = ", ".join(f"{name}=..." for name in sorted(trained - asked))
        warn_caller(f"the model was trained with {missing}, and is called without{how.format(names)}")
    if more := " and ".join(sorted(asked - trained)):
        warn_caller(
            f"the model was trained without {more}, and is called with it: leave it out of the call, or of the graph"
        )
