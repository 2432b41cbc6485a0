"""Gradients with respect to the input: of every edge's messages, and of every feature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gragr_explain.messages import mask_dtype, maskable_layers, masked_output


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
