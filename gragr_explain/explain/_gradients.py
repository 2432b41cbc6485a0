"""Gradients with respect to the input: of every edge's messages, and of every feature."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gragr_explain.errors import InvalidTypeError
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._objective import check_ignored
from gragr_explain.explain._rows import SharedRows, Watched
from gragr_explain.explain._trim import Trimmed, trimmed_output
from gragr_explain.history import check_not_recomputed
from gragr_explain.inputs import check_graph
from gragr_explain.messages import mask_dtype, maskable_layers


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
        InvalidTypeError: If the objective cannot be called, or features or edges are no tensors.
        InvalidGraphError: If there is no such graph.
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with, or the
            objective depends on edges or features without having gradients.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
        >>> edges, features = input_gradients(GCN(2, 8, num_layers=2), lambda out: out[2].sum(), x, edge_index)
        >>> edges.shape, features.shape
        (torch.Size([2]), torch.Size([3, 2]))
    """
    _check(objective, x, edge_index)
    edges, features = gradients_at_ones(model, objective, x, edge_index, kwargs)
    return edges, features.made()


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
        InvalidTypeError: If the objective cannot be called, or features or edges are no tensors.
        InvalidGraphError: If there is no such graph.
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with, or the
            objective depends on edges or features without having gradients.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> x, edge_index = torch.rand(3, 2), torch.tensor([[0, 1], [1, 2]])
        >>> edges, features = layer_gradients(GCN(2, 8, num_layers=2), lambda out: out[2].sum(), x, edge_index)
        >>> edges.shape, features.shape
        (torch.Size([2, 2]), torch.Size([3, 2]))
    """
    _check(objective, x, edge_index)
    edges, features = gradients_at_ones(model, objective, x, edge_index, kwargs, by_layer=True)
    return edges, features.made()


def _check(objective: Any, x: Tensor, edge_index: Tensor) -> None:
    check_graph(x, edge_index)
    if not callable(objective):
        raise InvalidTypeError(f"expected an objective that can be called, got {type(objective).__name__}")


def gradients_at_ones(
    model: nn.Module,
    objective: Callable[[Tensor], Tensor],
    x: Tensor,
    edge_index: Tensor,
    arguments: dict[str, Any],
    *,
    by_layer: bool = False,
    trimmed: Mapping[int, Trimmed] | None = None,
) -> tuple[Tensor, FeatureGradient]:
    """Those of :func:`input_gradients` or :func:`layer_gradients`, of features made only as far as they are wanted."""
    dtype, num_edges = mask_dtype(x), edge_index.size(1)
    shape = (len(maskable_layers(model)), num_edges) if by_layer else (num_edges,)
    with torch.enable_grad():
        edge_mask = torch.ones(shape, dtype=dtype, device=x.device, requires_grad=True)
        inputs = x.watched() if isinstance(x, SharedRows) else x.detach().requires_grad_(x.is_floating_point())
        source = inputs.source if isinstance(inputs, SharedRows) else None

        def made_of(mask: Tensor, features: Tensor) -> Tensor:
            return objective(trimmed_output(model, mask, trimmed or {}, features, edge_index, arguments))

        scalar = made_of(edge_mask, inputs)
        if not scalar.requires_grad:
            plain = source is None and inputs.is_floating_point()
            check_ignored(scalar, made_of(torch.zeros_like(edge_mask), torch.zeros_like(inputs) if plain else inputs))
            return torch.zeros_like(edge_mask).detach(), FeatureGradient(x)
        leaf, leaves = (source.leaf, source.leaves) if isinstance(source, Watched) else (inputs, [])
        products = [product for product, _ in leaves]
        rows = [] if leaf is None or not leaf.requires_grad else [leaf]
        try:
            found = torch.autograd.grad(scalar, [edge_mask, *products, *rows], allow_unused=True)
        except RuntimeError:
            check_not_recomputed(scalar)
            raise
    of_edges, *of_products = found[: 1 + len(products)]
    of_edges = torch.zeros_like(edge_mask) if of_edges is None else of_edges
    pairs = [(each, weight) for each, (_, weight) in zip(of_products, leaves, strict=True) if each is not None]
    return of_edges.detach(), FeatureGradient(x, found[-1] if rows else None, pairs)
