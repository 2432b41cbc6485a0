"""Which nodes pull against their neighbours (eq. 1), and the removal of what pulls (eq. 3)."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidGraphError


def alignment(field: Tensor, context: Tensor) -> Tensor:
    r"""The cosine of each gradient with its context, :math:`\cos(g_v, g_{\text{ctx}}(v))`.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        context: The contextual gradients, usually :func:`neighbour_mean` of the field, of the same shape.

    Returns:
        Cosines in ``[-1, 1]`` of shape ``[num_nodes]``; NaN where one of the two gradients is zero, because the
        angle with a zero vector is undefined.

    Raises:
        InvalidTypeError: If one that should be is no tensor.
        InvalidGraphError: If the two shapes differ.

    Example:
        >>> alignment(torch.tensor([[3.0, 0.0], [0.0, 0.0]]), torch.tensor([[-1.0, 0.0], [1.0, 1.0]]))
        tensor([-1., nan])
    """
    _check_context(field, context)
    return _cosine(field, context, torch.linalg.vector_norm(field, dim=-1))


def detect_conflicts(
    field: Tensor, context: Tensor, tau_mag: float = 0.1, tau_cos: float = -0.1, *, norm: Tensor | None = None
) -> Tensor:
    r"""The nodes whose gradient opposes its context.

    .. math::
        \|g_v\| > \tau_{\text{mag}} \;\land\; \cos(g_v, g_{\text{ctx}}(v)) < \tau_{\cos}

    GraGR paper, eq. 1. A node whose cosine is undefined (no neighbours, a zero gradient) is not in conflict.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        context: The contextual gradients, usually :func:`neighbour_mean` of the field, of the same shape.
        tau_mag: Norm above which a gradient counts, in the field's own unit.
        tau_cos: Cosine below which a gradient opposes its context.
        norm: The norms of the gradients, ``[num_nodes]``, where they are known already.

    Returns:
        A boolean mask of shape ``[num_nodes]``.

    Raises:
        InvalidTypeError: If one that should be is no tensor.
        InvalidArgumentError: If ``tau_mag`` is negative or ``tau_cos`` is outside ``[-1, 1]``.
        InvalidGraphError: If the two shapes differ, or there is not a norm for each gradient.

    Example:
        >>> from gragr_explain.field import neighbour_mean
        >>> field = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.2]])
        >>> edge_index = torch.tensor([[1, 2, 0, 2, 0, 1], [0, 0, 1, 1, 2, 2]])
        >>> detect_conflicts(field, neighbour_mean(field, edge_index))
        tensor([ True, False, False])
    """
    check_number("tau_mag", tau_mag, within="[0, inf]")
    check_number("tau_cos", tau_cos, within="[-1, 1]")
    _check_context(field, context)
    check_type("norm", norm, Tensor, optional=True)
    norm = torch.linalg.vector_norm(field, dim=-1) if norm is None else norm
    if norm.shape != field.shape[:-1]:
        raise InvalidGraphError(f"expected norms of shape {list(field.shape[:-1])}, got {list(norm.shape)}")
    return (norm > tau_mag) & (_cosine(field, context, norm) < tau_cos)


def project_conflicts(field: Tensor, context: Tensor, conflict: Tensor) -> Tensor:
    r"""The field with the part along the context removed from every conflicting gradient.

    .. math::
        g'_v = g_v - \frac{g_v^\top g_{\text{ctx}}(v)}{\|g_{\text{ctx}}(v)\|^2}\, g_{\text{ctx}}(v)

    GraGR paper, eq. 3 and lemma 1: the result is orthogonal to the context. Gradients that are not in conflict are
    returned as they are.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        context: The contextual gradients of the same shape.
        conflict: The mask of conflicting nodes of shape ``[num_nodes]``, usually :func:`detect_conflicts`.

    Returns:
        A field of the same shape.

    Raises:
        InvalidTypeError: If one that should be is no tensor.
        InvalidGraphError: If the shapes do not fit.

    Example:
        >>> from gragr_explain.field import neighbour_mean
        >>> field = torch.tensor([[-1.0, 1.0], [1.0, 0.0]])
        >>> context = neighbour_mean(field, torch.tensor([[1, 0], [0, 1]]))
        >>> project_conflicts(field, context, detect_conflicts(field, context))[0]
        tensor([0., 1.])
    """
    _check_context(field, context)
    check_type("conflict", conflict, Tensor)
    if conflict.shape != field.shape[:-1]:
        raise InvalidGraphError(f"expected a mask of shape {list(field.shape[:-1])}, got {list(conflict.shape)}")
    norm = torch.linalg.vector_norm(context, dim=-1, keepdim=True)
    direction = context / torch.where(norm > 0, norm, 1)
    along = torch.linalg.vecdot(field, direction) * conflict
    return torch.addcmul(field, along.unsqueeze(-1), direction, value=-1)


def _cosine(field: Tensor, context: Tensor, norm: Tensor) -> Tensor:
    cosine = torch.linalg.vecdot(field, context) / norm / torch.linalg.vector_norm(context, dim=-1)
    return cosine.clamp(-1, 1)


def _check_context(field: Tensor, context: Tensor) -> None:
    check_type("field", field, Tensor)
    check_type("context", context, Tensor)
    if field.shape != context.shape:
        raise InvalidGraphError(f"expected a context of shape {list(field.shape)}, got {list(context.shape)}")
