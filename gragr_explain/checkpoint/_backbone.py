"""The paper's backbones, by name."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch_geometric import nn as pyg
from torch_geometric.nn.models.basic_gnn import BasicGNN

from gragr_explain.arguments import check_number
from gragr_explain.checkpoint._makeup import makeup
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError, UnsupportedModelError
from gragr_explain.training import TABLE_5


def build_model(
    name: str,
    in_channels: int,
    out_channels: int,
    *,
    hidden_channels: int | None = None,
    num_layers: int | None = None,
    dropout: float | None = None,
) -> BasicGNN:
    """Build one of the paper's backbones.

    Args:
        name: ``"GCN"``, ``"GAT"``, ``"GIN"`` or ``"GraphSAGE"``, in upper or lower case.
        in_channels: The number of features of a node.
        out_channels: The number of classes.
        hidden_channels: The size of the hidden representation. Here and below, ``None`` takes the paper's Table 5.
        num_layers: The number of message-passing layers.
        dropout: The probability of dropout.

    Raises:
        InvalidTypeError: If the name is no string, or a number none.
        InvalidArgumentError: If the name is unknown, or a number out of range.

    Example:
        >>> build_model("gcn", in_channels=64, out_channels=10)
        GCN(64, 10, num_layers=2)
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"expected the name of a model, got {name!r}")
    names = {known.lower(): known for known in TABLE_5}
    if name.lower() not in names:
        close = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"; did you mean {names[close[0]]}?" if close else ""
        raise InvalidArgumentError(f"unknown model {name!r}: expected one of {', '.join(TABLE_5)}{hint}")
    kind = names[name.lower()]
    defaults = TABLE_5[kind]
    sizes = {
        "in_channels": in_channels,
        "hidden_channels": defaults.hidden_channels if hidden_channels is None else hidden_channels,
        "num_layers": defaults.num_layers if num_layers is None else num_layers,
        "out_channels": out_channels,
    }
    for size, number in sizes.items():
        check_number(size, number, whole=True, least=1)
    dropout = defaults.dropout if dropout is None else dropout
    check_number("dropout", dropout, within="[0, 1]")
    model: BasicGNN = getattr(pyg, kind)(**sizes, dropout=dropout)
    return model


def rebuild_arguments(model: nn.Module) -> dict[str, Any]:
    """The arguments with which :func:`build_model` builds a model like this one, up to the type of its numbers.

    Raises:
        UnsupportedModelError: If there are none: the model is another, or was built with other options.
    """
    kind = type(model).__name__
    if not isinstance(model, BasicGNN) or kind not in TABLE_5:
        raise UnsupportedModelError(f"expected a model that build_model makes, got {model}")
    arguments = {
        "name": kind,
        "in_channels": model.in_channels,
        "out_channels": model.out_channels,
        "hidden_channels": model.hidden_channels,
        "num_layers": model.num_layers,
        "dropout": model.dropout.p,
    }
    wanted, got = makeup(build_model(**arguments).to(float_type(model.state_dict()))), makeup(model)
    for name in wanted | got:
        if wanted.get(name) != got.get(name):
            raise UnsupportedModelError(
                f"expected a model that build_model makes, got {model} whose {name or 'class'} is {got.get(name)}, "
                f"not {wanted.get(name)}"
            )
    return arguments


def float_type(weights: Mapping[str, Any]) -> torch.dtype:
    """The type of the first floating-point numbers among weights; that of new models where there are none."""
    found = (value.dtype for value in weights.values() if torch.is_tensor(value) and value.is_floating_point())
    return next(found, torch.get_default_dtype())
