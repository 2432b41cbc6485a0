"""Gradients with respect to the input: of every edge's messages, and of every feature."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.explain.algorithm.utils import set_masks

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import message_passing_layers

_STATE = ("_edge_mask", "_loop_mask", "_apply_sigmoid")


@contextmanager
def edge_mask_applied(model: nn.Module, edge_mask: Tensor, edge_index: Tensor) -> Iterator[None]:
    """Multiply the messages of every layer by an edge mask, as long as the context lasts.

    Works on a model on which another explainer has left its mask registered as a parameter (PyG's ``GNNExplainer``
    does), and leaves every layer exactly as it found it.

    Args:
        model: A model made of ``MessagePassing`` layers.
        edge_mask: Factors of shape ``[num_edges]``.
        edge_index: The edges of shape ``[2, num_edges]`` that the model is called with.
    """
    layers = message_passing_layers(model)
    before: list[tuple[bool | None, dict[str, Any], dict[str, Any]]] = []
    for layer in layers:
        registered = {name: layer._parameters.pop(name) for name in _STATE if name in layer._parameters}
        plain = {name: vars(layer).pop(name) for name in _STATE if name in vars(layer)}
        before.append((layer.explain, registered, plain))
    try:
        set_masks(model, edge_mask, edge_index, apply_sigmoid=False)
        yield
    finally:
        for layer, (explain, registered, plain) in zip(layers, before, strict=True):
            layer.explain = explain
            for name in _STATE:
                vars(layer).pop(name, None)
            layer._parameters.update(registered)
            vars(layer).update(plain)


def masked_output(model: nn.Module, edge_mask: Tensor, x: Tensor, edge_index: Tensor, **kwargs: Any) -> Tensor:
    """A model's output with its messages multiplied by an edge mask.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with.
    """
    with edge_mask_applied(model, edge_mask, edge_index):
        try:
            return model(x, edge_index, **kwargs)
        except AssertionError as error:
            raise UnsupportedModelError(
                "a layer of the model passes messages along other edges than edge_index, so that an edge mask has no "
                "meaning there; pass all edges in edge_index, or set `layer.explain = False` on that layer"
            ) from error


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
