"""Gradients with respect to the input: of every edge's messages, and of every feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gragr_explain.errors import InvalidArgumentError, UnsupportedModelError
from gragr_explain.history import message_passing_layers


def maskable_layers(model: nn.Module) -> list[MessagePassing]:
    """The message-passing layers whose messages a mask multiplies: all but those with ``explain = False``.

    In the order in which they are registered. A layer that a model calls several times is one layer.
    """
    return [layer for layer in message_passing_layers(model) if layer.explain is not False]


def mask_dtype(x: Tensor) -> torch.dtype:
    """The type of the numbers of a mask for a graph with these features."""
    return x.dtype if x.is_floating_point() else torch.get_default_dtype()


@contextmanager
def edge_mask_applied(model: nn.Module, edge_mask: Tensor, edge_index: Tensor) -> Iterator[None]:
    """Multiply the messages of every layer by an edge mask, as long as the context lasts.

    Hooks on the messages do it, so that nothing which another explainer has left on a layer (PyG's ``GNNExplainer``
    leaves its mask registered as a parameter) is used or changed. Layers with ``explain = False`` are left out.

    Args:
        model: A model made of ``MessagePassing`` layers.
        edge_mask: Factors of shape ``[num_edges]`` for all layers, or of shape ``[num_layers, num_edges]`` for each
            layer its own. A layer that is called several times is one layer.
        edge_index: The edges of shape ``[2, num_edges]`` that the model is called with.

    Raises:
        InvalidArgumentError: If the mask has another shape.
        UnsupportedModelError: As long as the context lasts, when a layer passes messages along other edges.
    """
    masked, num_edges = maskable_layers(model), edge_index.size(1)
    if edge_mask.shape not in ((num_edges,), (len(masked), num_edges)):
        raise InvalidArgumentError(
            f"expected an edge mask of shape [{num_edges}] or [{len(masked)}, {num_edges}], got {list(edge_mask.shape)}"
        )
    mask_of = dict(zip(masked, edge_mask if edge_mask.dim() == 2 else [edge_mask] * len(masked), strict=True))
    links = edge_index[0] != edge_index[1]
    factors: dict[MessagePassing, Tensor] = {}

    def match(layer: MessagePassing, inputs: tuple[Any, ...]) -> None:
        factors[layer] = _factors_of(layer, inputs[0], mask_of[layer], edge_index, links)

    def multiply(layer: MessagePassing, _inputs: tuple[Any, ...], messages: Tensor) -> Tensor:
        shape = [1] * messages.dim()
        shape[layer.node_dim] = -1
        return messages * factors[layer].view(shape)

    handles = [layer.register_propagate_forward_pre_hook(match) for layer in masked]
    handles += [layer.register_message_forward_hook(multiply) for layer in masked]
    eager = getattr(torch.compiler, "set_stance", nullcontext)("force_eager")  # compiled layers skip these hooks
    try:
        with eager:
            yield
    finally:
        for handle in handles:
            handle.remove()


def _factors_of(layer: MessagePassing, used: Any, edge_mask: Tensor, edge_index: Tensor, links: Tensor) -> Tensor:
    """The factors of a layer's messages; self-loops that the layer puts in place of the graph's own have factor 1."""
    if isinstance(used, Tensor) and used.layout == torch.strided:
        num_links = int(links.sum())
        loops = used[:, num_links:]
        own_loops = torch.equal(used[:, :num_links], edge_index[:, links]) and torch.equal(loops[0], loops[1])
        if torch.equal(used, edge_index) and not (own_loops and getattr(layer, "add_self_loops", False)):
            return edge_mask
        if own_loops:
            return torch.cat([edge_mask[links], edge_mask.new_ones(loops.size(1))])
    raise UnsupportedModelError(
        f"{type(layer).__name__} passes messages along other edges than edge_index, so that an edge mask has no "
        "meaning there; pass all edges in edge_index, or set `layer.explain = False` on that layer"
    )


def masked_output(model: nn.Module, edge_mask: Tensor, x: Tensor, edge_index: Tensor, **kwargs: Any) -> Tensor:
    """A model's output with its messages multiplied by an edge mask.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with.
    """
    with edge_mask_applied(model, edge_mask, edge_index):
        return model(x, edge_index, **kwargs)


def input_gradients(
    model: nn.Module,
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    edge_index: Tensor,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    r"""The gradients of a scalar of the output at the unmasked input, with one backward pass.

    The gradient of edge :math:`e` is :math:`\partial s / \partial m_e` at :math:`m = 1`, where :math:`m_e` multiplies
    the edge's message in every layer (He et al., 2025, input-level edge gradients).

    Args:
        model: The model, in evaluation mode.
        objective: From the model's output to a scalar.
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        **kwargs: What else the model takes.

    Returns:
        The gradients of the edges, ``[num_edges]``, and of the features, the shape of ``x``; zero for features that
        are no floating-point numbers.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with.
    """
    return _gradients_at_one(model, objective, x, edge_index, (edge_index.size(1),), kwargs)


def layer_gradients(
    model: nn.Module,
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    edge_index: Tensor,
    **kwargs: Any,
) -> tuple[Tensor, Tensor]:
    r"""The same with a mask for each layer, with one backward pass as well.

    The gradient of edge :math:`e` in layer :math:`\ell` is :math:`\partial s / \partial m_e^{(\ell)}` at :math:`m = 1`,
    where :math:`m_e^{(\ell)}` multiplies the edge's message in that layer alone (He et al., 2025, layerwise edge
    gradients). Since an input-level mask is one factor for all layers, the gradients of an edge add up over the layers
    to that of :func:`input_gradients`.

    Args:
        model: The model, in evaluation mode.
        objective: From the model's output to a scalar.
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        **kwargs: What else the model takes.

    Returns:
        The gradients of the edges in each layer, ``[num_layers, num_edges]``, layers in the order in which they are
        registered and without those that have ``explain = False``; and of the features, the shape of ``x``.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
        >>> edges, features = layer_gradients(GCN(2, 8, num_layers=2), lambda out: out[2].sum(), x, edge_index)
        >>> edges.shape, features.shape
        (torch.Size([2, 2]), torch.Size([3, 2]))
    """
    shape = (len(maskable_layers(model)), edge_index.size(1))
    return _gradients_at_one(model, objective, x, edge_index, shape, kwargs)


def _gradients_at_one(
    model: nn.Module,
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    edge_index: Tensor,
    shape: tuple[int, ...],
    kwargs: dict[str, Any],
) -> tuple[Tensor, Tensor]:
    """The gradients with respect to a mask of ones of some shape, and to the features."""
    dtype = mask_dtype(x)
    with torch.enable_grad():
        edge_mask = torch.ones(shape, dtype=dtype, device=x.device, requires_grad=True)
        inputs = x.detach().requires_grad_(x.is_floating_point())
        scalar = objective(masked_output(model, edge_mask, inputs, edge_index, **kwargs))
        if not scalar.requires_grad:
            return torch.zeros_like(edge_mask).detach(), torch.zeros_like(x, dtype=dtype)
        wanted = [edge_mask, inputs] if inputs.requires_grad else [edge_mask]
        found = torch.autograd.grad(scalar, wanted, allow_unused=True)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
    return gradients[0].detach(), gradients[1].detach() if len(gradients) > 1 else torch.zeros_like(x, dtype=dtype)
