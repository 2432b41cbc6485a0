"""What the package is handed, checked once at the edge: graphs, indices, and what a forward pass takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.models.basic_gnn import BasicGNN
from torch_geometric.utils import is_undirected

from gragr_explain.arguments import check_type
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.field import check_edges
from gragr_explain.modes import evaluating

_EDGE_ARGUMENTS = ("edge_weight", "edge_attr", "edge_type")
_GIVEN = {"x", "edge_index", "y"}  # what a model is called with anyway, or must not be
_WRAPPED = ("model", "_orig_mod", "module")  # where GraGR, torch.compile and DistributedDataParallel keep a model


def check_gradients_are_kept() -> None:
    """Check that gradients can be taken here; ``torch.no_grad()`` around a call does no harm.

    Raises:
        InvalidArgumentError: In inference mode.

    Example:
        >>> with torch.inference_mode():
        ...     check_gradients_are_kept()
        Traceback (most recent call last):
        gragr_explain.errors.InvalidArgumentError: expected a call outside of torch.inference_mode(), where there are no gradients
    """  # noqa: E501
    if torch.is_inference_mode_enabled():
        raise InvalidArgumentError("expected a call outside of torch.inference_mode(), where there are no gradients")


def check_graph(x: Tensor, edge_index: Tensor) -> None:
    """Check node features and edges, and that gradients can be taken of what is made of them.

    Raises:
        InvalidArgumentError: In inference mode.
        InvalidTypeError: If one of them is no tensor of the right kind.
        InvalidGraphError: If a shape does not fit, a feature is NaN or infinite, or an edge has an end that is no node.
    """
    check_gradients_are_kept()
    if not isinstance(x, Tensor):
        raise InvalidTypeError(f"expected node features as a tensor, got {type(x).__name__}")
    if x.layout != torch.strided:
        raise InvalidTypeError(f"expected dense node features, got {x.layout}; pass x.to_dense()")
    if x.dim() < 1 or x.size(0) == 0:
        raise InvalidGraphError(f"expected a graph with at least one node, got features of shape {list(x.shape)}")
    if x.is_floating_point() and not bool(x.isfinite().all()):
        bad = (~x.isfinite()).reshape(x.size(0), -1).any(-1).nonzero().view(-1)
        raise InvalidGraphError(
            f"expected finite node features, got NaN or infinite values in {bad.numel()} nodes, first in {int(bad[0])}"
        )
    check_edges(edge_index, x.size(0))


def check_finite(arguments: Mapping[str, Any]) -> None:
    """Check what a model is called with beside features and edges, by name.

    Raises:
        InvalidGraphError: If a number is NaN or infinite.

    Example:
        >>> check_finite({"edge_weight": torch.tensor([1.0, torch.nan])})
        Traceback (most recent call last):
        gragr_explain.errors.InvalidGraphError: expected finite edge_weight, got NaN or infinite values in row 1
    """
    for name, value in arguments.items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(value.isfinite().all()):
            row = int((~value.isfinite()).reshape(len(value), -1).any(-1).nonzero()[0]) if value.dim() else 0
            raise InvalidGraphError(f"expected finite {name}, got NaN or infinite values in row {row}")


def check_data(data: Data) -> None:
    """Check a graph that is handed over as :class:`~torch_geometric.data.Data`; raises as :func:`check_graph`."""
    if not isinstance(data, Data):
        raise InvalidTypeError(f"expected a torch_geometric.data.Data, got {type(data).__name__}")
    if data.x is None or data.edge_index is None:
        missing = "x" if data.x is None else "edge_index"
        hint = "; its adj_t is the transposed adjacency, undo ToSparseTensor()" if "adj_t" in data else ""
        raise InvalidGraphError(f"expected a graph with x and edge_index, got one without {missing}{hint}")
    check_graph(data.x, data.edge_index)
    for name in _EDGE_ARGUMENTS:
        value = data.get(name)
        if isinstance(value, Tensor) and value.shape[:1] != data.edge_index.shape[1:]:
            raise InvalidGraphError(
                f"expected {name} of {data.edge_index.size(1)} edges, got a tensor of shape {list(value.shape)}"
            )


def check_undirected(
    edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None = None, otherwise: str = ""
) -> None:
    """Check that a graph has no directions: every edge, as often as it is listed, is listed the other way round.

    Args:
        edge_index: The edges, ``[2, num_edges]``.
        num_nodes: The number of nodes.
        edge_weight: Their weights, ``[num_edges]``, which have to be the same both ways.
        otherwise: What else may be done where it has some, for the error.

    Raises:
        InvalidGraphError: If it has directions.
    """
    if is_undirected(edge_index, num_nodes=num_nodes):
        if edge_weight is not None and not is_undirected(edge_index, edge_weight, num_nodes):
            raise InvalidGraphError(
                "expected an undirected graph, got edges that weigh more one way than the other; apply "
                f"torch_geometric.transforms.ToUndirected(reduce='mean') first{otherwise}"
            )
        return
    source, target = edge_index
    alone = int((~torch.isin(source * num_nodes + target, target * num_nodes + source)).sum())
    got = f"{alone} of {edge_index.size(1)} edges without an edge back" if alone else "edges listed more often one way"
    raise InvalidGraphError(
        f"expected an undirected graph, got {got}; apply torch_geometric.transforms.ToUndirected() first{otherwise}"
    )


def check_index(index: Any, size: int, device: torch.device | None = None) -> Tensor | None:
    """Check which outputs are meant, and bring them into one form.

    Args:
        index: An integer, a list or tensor of integers, a boolean mask of shape ``[size]``, or ``None`` for all.
        size: The number of outputs.
        device: Where the result shall be.

    Returns:
        Indices of shape ``[num_indices]``, or ``None``.

    Raises:
        InvalidTypeError: If the index is of another type.
        InvalidIndexError: If an index is out of range.

    Example:
        >>> check_index([2, 0], 3)
        tensor([2, 0])
        >>> check_index(3, 3)
        Traceback (most recent call last):
        gragr_explain.errors.InvalidIndexError: expected an index in [0, 2], got 3
    """
    if index is None:
        return None
    found = _integers(index, "an index", device)
    if found.dtype == torch.bool:
        if found.shape != (size,):
            raise InvalidIndexError(f"expected a mask of shape [{size}], got {list(found.shape)}")
        return found.nonzero().view(-1)
    return _within(found, size, "an index")


def check_classes(target: Any, num_classes: int, device: torch.device | None = None) -> Tensor:
    """Check which classes are meant, as :func:`check_index` does; but a mask names no classes.

    Args:
        target: An integer, or a list or tensor of integers.
        num_classes: The number of classes.
        device: Where the result shall be.

    Returns:
        Classes of shape ``[num_targets]``.

    Raises:
        InvalidTypeError: If the target is of another type, truth values among them.
        InvalidIndexError: If a class is out of range.

    Example:
        >>> check_classes([1, 0], 2)
        tensor([1, 0])
        >>> check_classes([False, True], 2)
        Traceback (most recent call last):
        gragr_explain.errors.InvalidTypeError: expected target classes as int, list or integer tensor, got a mask
    """
    found = _integers(target, "target classes", device)
    if found.dtype == torch.bool:
        raise InvalidTypeError("expected target classes as int, list or integer tensor, got a mask")
    return _within(found, num_classes, "a class that the model has,")


def _integers(given: Any, what: str, device: torch.device | None) -> Tensor:
    """Integers in a row, however they are given; truth values as they are."""
    if isinstance(given, bool | float):
        raise InvalidTypeError(f"expected {what} as int, list or integer tensor, got {given!r}")
    try:
        found = torch.as_tensor(given, device=device)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidTypeError(f"expected {what} as int, list or integer tensor, got {given!r}") from error
    if found.dtype == torch.bool:
        return found
    if found.numel() == 0:
        found = found.long()  # of an empty list, torch makes floating-point numbers
    if found.is_floating_point() or found.is_complex():
        raise InvalidTypeError(f"expected {what} of integers, got {found.dtype}")
    return found.long().reshape(-1)


def _within(numbers: Tensor, size: int, what: str) -> Tensor:
    if numbers.numel() and not 0 <= int(numbers.min()) <= int(numbers.max()) < size:
        bad = numbers[(numbers < 0) | (numbers >= size)][0]
        raise InvalidIndexError(f"expected {what} in [0, {size - 1}], got {int(bad)}")
    return numbers


def check_same_graph(data: Data, x: Tensor, edge_index: Tensor) -> None:
    """Check that the graph that a model was trained on is the one that it is asked about, as far as nodes go.

    Raises:
        InvalidGraphError: If its features or its edges are others.
    """
    for name, own, asked in (("features", data.x, x), ("edges", data.edge_index, edge_index)):
        if own is not asked and not (own.shape == asked.shape and torch.equal(own.to(asked), asked)):
            raise InvalidGraphError(
                f"expected train_data to be the graph that is explained, whose nodes it speaks of; got other {name}"
            )


def same_numbers(tensor: Tensor, other: Tensor) -> bool:
    """Whether two tensors hold the same, NaN in the same places.

    Example:
        >>> same_numbers(torch.tensor([1.0, torch.nan]), torch.tensor([1.0, torch.nan]))
        True
    """
    if torch.equal(tensor, other):
        return True
    return tensor.shape == other.shape and bool(((tensor == other) | (tensor.isnan() & other.isnan())).all())


def forward_arguments(model: nn.Module, data: Data) -> dict[str, Tensor]:
    """What a model's forward pass takes of a graph beside ``x`` and ``edge_index``.

    Args:
        model: The model. PyG's ``BasicGNN`` models say themselves what they support.
        data: The graph.

    Returns:
        The tensors of the graph that the forward pass has a parameter of the same name for, for example
        ``edge_weight``, ``edge_attr``, ``edge_type``, ``pos`` or, of a batch of graphs, ``batch``; never the labels.

    Example:
        >>> from torch_geometric.nn import GCN, GIN
        >>> data = Data(edge_index=torch.tensor([[0], [1]]), edge_weight=torch.ones(1))
        >>> list(forward_arguments(GCN(2, 2, 1), data)), list(forward_arguments(GIN(2, 2, 1), data))
        (['edge_weight'], [])
    """
    inner, taken = forward_signature(model)
    return {
        name: data[name]
        for name in taken.parameters
        if name not in _GIVEN and _supports(inner, name) and isinstance(data.get(name), Tensor)
    }


def _supports(model: nn.Module, name: str) -> bool:
    """Whether a model can be given what its forward pass has a parameter for.

    A ``BasicGNN`` says so by its class; GAT and PNA can take edge features only where they know their width.
    """
    if name == "edge_attr" and isinstance(model, BasicGNN):
        told = not all(getattr(layer, "edge_dim", 0) is None for layer in model.convs)
        return model.supports_edge_attr and told
    return getattr(model, f"supports_{name}", True)


def forward_signature(model: nn.Module) -> tuple[nn.Module, inspect.Signature]:
    """What a model's forward pass takes, and the model that takes it: the one inside a wrapper that passes all on.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GraGR
        >>> inner, taken = forward_signature(GraGR(GCN(2, 2, 1)))
        >>> type(inner).__name__, list(taken.parameters)[:3]
        ('GCN', ['x', 'edge_index', 'edge_weight'])
    """
    inner, taken = model, inspect.signature(model.forward)
    while any(kind.kind == kind.VAR_KEYWORD for kind in taken.parameters.values()):
        named, parts = [getattr(inner, name) for name in _WRAPPED if hasattr(inner, name)], list(inner.children())
        wrapped = named[0] if named else parts[0] if len(parts) == 1 else None
        if wrapped is None:
            break
        inner, taken = wrapped, inspect.signature(wrapped.forward)
    return inner, taken


def check_one_kind(model: nn.Module, graphs: Mapping[str, Data]) -> None:
    """Check whether graphs, by what they are called, have the same parts as far as a model takes them.

    Raises:
        InvalidGraphError: If one of them has other parts than the first, or of another width or type.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> first = Data(x=torch.ones(2, 3), edge_index=torch.tensor([[0], [1]]))
        >>> second = Data(x=torch.ones(2, 4), edge_index=first.edge_index, edge_weight=torch.ones(1))
        >>> check_one_kind(GCN(3, 2, 1), {"graph 0": first, "graph 1": second})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        gragr_explain.errors.InvalidGraphError: expected graphs of one kind, got graph 0 with x [*, 3] of...
    """
    expected = ""
    for name, graph in graphs.items():
        parts = {"x": graph.x, **forward_arguments(model, graph)}
        shapes = {part: ", ".join(["*", *map(str, value.shape[1:])]) for part, value in parts.items()}
        kind = " and ".join(f"{part} [{shapes[part]}] of {value.dtype}" for part, value in parts.items())
        expected = expected or kind
        if kind != expected:
            first = next(iter(graphs))
            raise InvalidGraphError(f"expected graphs of one kind, got {first} with {expected}; {name} with {kind}")


@contextmanager
def trial_errors(x: Tensor, call: str = "model(x, edge_index)", subject: str = "") -> Iterator[None]:
    """Say of an error in a model's first call whether it is the model or the graph that cannot be used.

    Args:
        x: The features that the model is called with.
        call: How it is called, for the message.
        subject: What comes before the message, for example ``"graph 3: "``.

    Raises:
        UnsupportedModelError: If the model cannot be called like that.
        InvalidGraphError: If it cannot take this graph, for example because its features are of another width.
    """
    try:
        yield
    except (torch.OutOfMemoryError, GragrError):
        raise
    except TypeError as error:
        raise UnsupportedModelError(f"expected a model to call as {call}, got one where {error}") from error
    except (AttributeError, KeyError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UnsupportedModelError(f"expected a model to call as {call}, got one that fails with {reason}") from error
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InvalidGraphError(
            f"{subject}the model cannot take features of shape {list(x.shape)} ({x.dtype}): {reason}"
        ) from error


@torch.no_grad()
def trial_output(model: nn.Module, data: Data) -> Any:
    """What a model returns for a graph in evaluation mode; its modes are put back. Raises as :func:`trial_errors`."""
    check_type("model", model, nn.Module)
    with evaluating(model), trial_errors(data.x):
        return model(data.x, data.edge_index, **forward_arguments(model, data))
