"""Gradients with respect to the input: of every edge's messages, and of every feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import message_passing_layers


@contextmanager
def edge_mask_applied(model: nn.Module, edge_mask: Tensor, edge_index: Tensor) -> Iterator[None]:
    """Multiply the messages of every layer by an edge mask, as long as the context lasts.

    Hooks on the messages do it, so that nothing which another explainer has left on a layer (PyG's ``GNNExplainer``
    leaves its mask registered as a parameter) is used or changed. Layers with ``explain = False`` are left out.

    Args:
        model: A model made of ``MessagePassing`` layers.
        edge_mask: Factors of shape ``[num_edges]``.
        edge_index: The edges of shape ``[2, num_edges]`` that the model is called with.

    Raises:
        UnsupportedModelError: As long as the context lasts, when a layer passes messages along other edges.
    """
    links = edge_index[0] != edge_index[1]
    factors: dict[MessagePassing, Tensor] = {}

    def match(layer: MessagePassing, inputs: tuple[Any, ...]) -> None:
        factors[layer] = _factors_of(layer, inputs[0], edge_mask, edge_index, links)

    def multiply(layer: MessagePassing, _inputs: tuple[Any, ...], messages: Tensor) -> Tensor:
        shape = [1] * messages.dim()
        shape[layer.node_dim] = -1
        return messages * factors[layer].view(shape)

    masked = [layer for layer in message_passing_layers(model) if layer.explain is not False]
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
    dtype = x.dtype if x.is_floating_point() else torch.get_default_dtype()
    with torch.enable_grad():
        edge_mask = torch.ones(edge_index.size(1), dtype=dtype, device=x.device, requires_grad=True)
        inputs = x.detach().requires_grad_(x.is_floating_point())
        scalar = objective(masked_output(model, edge_mask, inputs, edge_index, **kwargs))
        if not scalar.requires_grad:
            return torch.zeros_like(edge_mask).detach(), torch.zeros_like(x, dtype=dtype)
        wanted = [edge_mask, inputs] if inputs.requires_grad else [edge_mask]
        found = torch.autograd.grad(scalar, wanted, allow_unused=True)
    gradients = [torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)]
    return gradients[0].detach(), gradients[1].detach() if len(gradients) > 1 else torch.zeros_like(x, dtype=dtype)
