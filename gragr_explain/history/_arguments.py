"""What else a model is called with while it trains, beside features and edges."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from gragr_explain.history._tap import Hook


@contextmanager
def listen_to_arguments(model: nn.Module, names: set[str]) -> Iterator[None]:
    """Add the names of the tensors that a model is called with to others, as long as the context lasts."""

    def listen(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        names.update(argument_names(module, args, kwargs))

    handle = model.register_forward_pre_hook(Hook(listen), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


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
    try:
        given = signature.bind_partial(*args, **kwargs).arguments
    except TypeError:  # the call itself is about to fail
        return []
    rest = {name: value for name, value in given.items() if name not in list(signature.parameters)[:2]}
    for name, parameter in signature.parameters.items():
        if parameter.kind == parameter.VAR_KEYWORD:
            rest |= rest.pop(name, {})
    return [name for name, value in rest.items() if isinstance(value, Tensor)]
