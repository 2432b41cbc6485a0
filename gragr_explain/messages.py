"""Masks on the messages of a model's layers, without a change to the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing, RGCNConv

from gragr_explain.errors import InvalidArgumentError, UnsupportedModelError
from gragr_explain.history import message_passing_layers
from gragr_explain.modes import hooked, uncompiled


def maskable_layers(model: nn.Module) -> list[MessagePassing]:
    """The message-passing layers whose messages a mask multiplies: all but those with ``explain = False``.

    In the order in which they are registered. A layer that a model calls several times is one layer.
    """
    return [layer for layer in message_passing_layers(model) if layer.explain is not False]


def mask_dtype(x: Tensor) -> torch.dtype:
    """The type of the numbers of a mask for a graph with these features."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


@contextmanager
def edge_mask_applied(
    model: nn.Module, edge_mask: Tensor, edge_index: Tensor
) -> Iterator[dict[MessagePassing, tuple[Tensor, Tensor]]]:
    """Multiply the messages of every layer by an edge mask, as long as the context lasts.

    Hooks on the messages do it, so that nothing which another explainer has left on a layer (PyG's ``GNNExplainer``
    leaves its mask registered as a parameter) is used or changed. Layers with ``explain = False`` are left out.

    Args:
        model: A model made of ``MessagePassing`` layers.
        edge_mask: Factors of shape ``[num_edges]`` for all layers, or of shape ``[num_layers, num_edges]`` for each
            layer its own. A layer that is called several times is one layer.
        edge_index: The edges of shape ``[2, num_edges]`` that the model is called with.

    Yields:
        An empty dictionary. Whoever makes a layer run on a part of the graph puts the part there under the layer, as
        two tensors: its edges, in the part's own numbers of nodes, ``[2, num_kept]``, and which of all edges they are,
        ``[num_kept]``.

    Raises:
        InvalidArgumentError: If the mask has another shape.
        UnsupportedModelError: As long as the context lasts, when a layer passes messages along other edges; in its
            end, when a layer has passed none, since it keeps what it has once computed.
    """
    masked, num_edges = maskable_layers(model), edge_index.size(1)
    if edge_mask.shape not in ((num_edges,), (len(masked), num_edges)):
        raise InvalidArgumentError(
            f"expected an edge mask of shape [{num_edges}] or [{len(masked)}, {num_edges}], got {list(edge_mask.shape)}"
        )
    mask_of = dict(zip(masked, edge_mask if edge_mask.dim() == 2 else [edge_mask] * len(masked), strict=True))
    edges, factors = _Edges.of(edge_index), dict[MessagePassing, Tensor]()
    parts = dict[MessagePassing, tuple[Tensor, Tensor]]()

    def match(layer: MessagePassing, inputs: tuple[Any, ...]) -> None:
        mask, own = mask_of[layer], edges
        if layer in parts:
            between, chosen = parts[layer]
            mask, own = mask.index_select(0, chosen), _Edges.of(between)
        factors[layer] = _factors_of(layer, inputs[0], mask, own)

    def multiply(layer: MessagePassing, _inputs: tuple[Any, ...], messages: Tensor) -> Tensor:
        shape = [1] * messages.dim()
        shape[layer.node_dim] = -1
        factor = factors[layer].view(shape)
        return messages * (factor.to(messages.dtype) if messages.is_floating_point() else factor)

    handles = [layer.register_propagate_forward_pre_hook(match) for layer in masked]
    handles += [layer.register_message_forward_hook(multiply) for layer in masked]
    with hooked(handles):
        with uncompiled():
            yield parts
        if silent := [layer for layer in masked if keeps_its_graph(layer) and layer not in factors]:
            kept = "".join(f" and `layer.{name} = None`" for name in _kept_by(silent[0]))
            raise UnsupportedModelError(
                f"{type(silent[0]).__name__} passes no messages, since it keeps what it once propagated, so that an "
                f"edge mask has no meaning there; build it with cached=False, or set `layer.cached = False`{kept} on it"
            )


def keeps_its_graph(layer: MessagePassing) -> bool:
    """Whether a layer keeps what it made of a graph, or has kept it and would go on to use it.

    Example:
        >>> from torch_geometric.nn import GCNConv
        >>> keeps_its_graph(GCNConv(2, 2, cached=True)), keeps_its_graph(GCNConv(2, 2))
        (True, False)
    """
    return bool(getattr(layer, "cached", False) or _kept_by(layer))


def _kept_by(layer: MessagePassing) -> list[str]:
    """What a layer keeps of a graph, by name."""
    return [name for name, value in vars(layer).items() if name.startswith("_cached") and value is not None]


class _Edges(NamedTuple):
    """The edges that a model is called with, and those without self-loops: which they are, ``None`` for all."""

    all: Tensor
    links: Tensor | None
    linked: Tensor

    @classmethod
    def of(cls, edge_index: Tensor) -> _Edges:
        links = (edge_index[0] != edge_index[1]).nonzero().view(-1)
        if links.numel() == edge_index.size(1):
            return cls(edge_index, None, edge_index)
        return cls(edge_index, links, edge_index.index_select(1, links))


def _factors_of(layer: MessagePassing, used: Any, edge_mask: Tensor, edges: _Edges) -> Tensor:
    """The factors of a layer's messages; self-loops that the layer puts in place of the graph's own have factor 1."""
    if isinstance(used, Tensor) and used.layout == torch.strided:
        num_links = edges.linked.size(1)
        loops = used[:, num_links:]
        own_loops = torch.equal(used[:, :num_links], edges.linked) and torch.equal(loops[0], loops[1])
        if torch.equal(used, edges.all) and not (own_loops and getattr(layer, "add_self_loops", False)):
            return edge_mask
        if own_loops:
            of_links = edge_mask if edges.links is None else edge_mask.index_select(0, edges.links)
            return torch.cat([of_links, edge_mask.new_ones(loops.size(1))])
    advice = "pass all edges in edge_index, or set `layer.explain = False` on that layer"
    if isinstance(layer, RGCNConv):
        advice = "use FastRGCNConv, which computes the same from the same weights, of all edges at once"
    raise UnsupportedModelError(
        f"{type(layer).__name__} passes messages along other edges than edge_index, so that an edge mask has no "
        f"meaning there; {advice}"
    )


def masked_output(model: nn.Module, edge_mask: Tensor, x: Tensor, edge_index: Tensor, **kwargs: Any) -> Tensor:
    """A model's output with its messages multiplied by an edge mask.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with.
    """
    with edge_mask_applied(model, edge_mask, edge_index):
        return model(x, edge_index, **kwargs)
