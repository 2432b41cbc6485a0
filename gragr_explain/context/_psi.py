"""The six features psi of a node's gradient (eqs. 15 and 18 to 26), for all nodes at once."""

from __future__ import annotations

import torch
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError
from gragr_explain.field import Graph, GraphOperator, alignment, neighbour_mean, neighbour_sum, prepare

FEATURES = ("conflict", "stability", "influence", "confidence", "role", "receptiveness")
"""The columns of psi, in the order of eq. 15."""

ROLES = {2.0: "hub", 1.5: "bridge", 1.0: "follower", 0.5: "outlier"}
"""The roles of eq. 22 by their score."""


def psi_features(
    field: Tensor,
    graph: Graph,
    confidence: Tensor | None = None,
    *,
    scope: str = "ego",
    edge_weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The context vectors :math:`c_v` of all nodes, and which of their entries mean something.

    GraGR paper, eq. 15, with its features in this order:

    ``conflict`` (eq. 18)
        :math:`\mu_g \|g_i\| (1 - \cos(g_i, \bar g_i))`, where :math:`\bar g_i` is the mean of the neighbours'
        gradients and :math:`\mu_g` the mean norm in the graph.
    ``stability`` (eq. 19)
        The mean cosine between the gradients of two neighbours. It is computed as
        :math:`(\|\sum_j \hat g_j\|^2 - k) / (k(k-1))` over the :math:`k` neighbours with a gradient, which is the
        same and linear in the edges.
    ``influence`` (eq. 20)
        :math:`([A^2 \|g\|]_i + \tfrac12 [A^3 \|g\|]_i) / (\deg(i) + 1)`.
    ``confidence`` (eq. 21)
        :math:`-\cos(c, \tilde g)` between confidences and min-max normalised gradient norms: over all nodes, one
        number for the graph (``scope="graph"``, the equation as it stands), or over a node and its neighbours
        (``scope="ego"``, since Appendix B.1 of the paper shows it differing per node).
    ``role`` (eq. 22)
        Hub 2.0, bridge 1.5, follower 1.0, outlier 0.5, the first that applies.
    ``receptiveness`` (eqs. 23 to 26)
        :math:`0.4\,\text{normGrad} + 0.35\,\text{misalign} + 0.25\,\text{variance}`, the (population) variance being
        that of the neighbours' norms.

    Where a feature is undefined (a cosine with a zero gradient or over a single node, a pair of neighbours of a node
    that has fewer than two) its entry is zero and marked as not valid.

    Args:
        field: The gradient field of shape ``[num_nodes, channels]``.
        graph: A :class:`~gragr_explain.field.GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        confidence: The predicted class's probability of each node, of shape ``[num_nodes]``. Without it,
            ``confidence`` is not valid anywhere.
        scope: ``"ego"`` or ``"graph"``, see above.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only. They weigh the neighbours' mean
            and the adjacency powers; degrees, pairs of neighbours and variances count neighbours.

    Returns:
        psi of shape ``[num_nodes, 6]``, finite, and its validity, a boolean mask of the same shape.

    Raises:
        InvalidTypeError: If the field is no tensor of float32 or float64, or the confidence none.
        InvalidGraphError: If a shape does not fit, or the field is not finite.
        InvalidArgumentError: If ``scope`` is unknown.

    Example:
        >>> field = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
        >>> edge_index = torch.tensor([[0, 1, 1, 2, 2, 0], [1, 0, 2, 1, 0, 2]])
        >>> psi, valid = psi_features(field, edge_index)
        >>> psi[2]
        tensor([0.7500, 1.0000, 2.6667, 0.0000, 0.5000, 0.7500])
        >>> valid[2], valid[3].any()
        (tensor([ True,  True,  True, False,  True,  True]), tensor(False))
    """
    graph = prepare(field, graph, edge_weight)
    if scope not in ("ego", "graph"):
        raise InvalidArgumentError(f"expected scope 'ego' or 'graph', got {scope!r}")
    if not bool(field.isfinite().all()):
        raise InvalidGraphError("expected a finite gradient field, got NaN or infinite gradients")
    check_type("confidence", confidence, Tensor, optional=True)
    if confidence is not None and confidence.shape != field.shape[:1]:
        raise InvalidGraphError(f"expected a confidence of shape [{field.size(0)}], got {list(confidence.shape)}")

    norm = torch.linalg.vector_norm(field, dim=-1)
    cosine = alignment(field, neighbour_mean(field, graph))
    level = _min_max(norm)
    columns = [
        norm.mean() * norm * (1 - cosine),
        _stability(field, norm, graph.unweighted),
        _influence(norm, graph),
        _confidence(confidence, level, graph.unweighted, scope),
        _role(norm, cosine, graph.degree),
        0.4 * level + 0.35 * (1 - cosine) + 0.25 * _neighbour_variance(norm, graph.unweighted),
    ]
    psi = torch.stack(columns, dim=-1)
    valid = psi.isfinite()
    return torch.where(valid, psi, 0), valid


def _stability(field: Tensor, norm: Tensor, graph: GraphOperator) -> Tensor:
    pulls = norm > 0
    unit = field / torch.where(pulls, norm, 1).unsqueeze(-1)
    count = neighbour_sum(pulls.to(field.dtype).unsqueeze(-1), graph).squeeze(-1)
    square = neighbour_sum(unit, graph).square().sum(-1)
    mean = (square - count) / (count * (count - 1))
    return torch.where(count > 1, mean.clamp(-1, 1), torch.nan)


def _influence(norm: Tensor, graph: GraphOperator) -> Tensor:
    two_hop = neighbour_sum(neighbour_sum(norm.unsqueeze(-1), graph), graph)
    three_hop = neighbour_sum(two_hop, graph)
    strength = (two_hop + 0.5 * three_hop).squeeze(-1) / (graph.degree + 1)
    return torch.where((graph.degree > 0) & (norm > 0).any(), strength, torch.nan)


def _confidence(confidence: Tensor | None, level: Tensor, graph: GraphOperator, scope: str) -> Tensor:
    if confidence is None:
        return torch.full_like(level, torch.nan)
    confidence = confidence.to(level.dtype)
    products = torch.stack([confidence * level, confidence.square(), level.square()], dim=-1).nan_to_num()
    around = products.sum(0) if scope == "graph" else products + neighbour_sum(products, graph)
    dot, first, second = around.expand_as(products).unbind(-1)
    cosine = (dot / (first * second).sqrt()).clamp(-1, 1)
    alone = (graph.degree == 0) & (scope == "ego")  # a cosine of two numbers says nothing
    return torch.where(alone, torch.nan, -cosine)


def _role(norm: Tensor, cosine: Tensor, degree: Tensor) -> Tensor:
    if norm.numel() == 0:
        return norm
    low, high = _percentiles(degree.to(norm.dtype), 40, 80)
    (loud,) = _percentiles(norm, 70)
    hub = (degree > high) & (norm > loud)
    bridge = (low < degree) & (degree <= high) & (cosine < 0.5)
    role = torch.where(cosine > 0.7, 1.0, 0.5)
    role = torch.where(bridge, 1.5, role)
    role = torch.where(cosine.isnan(), torch.nan, role)
    return torch.where(hub, 2.0, role).to(norm.dtype)


def _neighbour_variance(norm: Tensor, graph: GraphOperator) -> Tensor:
    centred = norm - norm.mean()  # the variance does not change, its cancellation error does
    sums = neighbour_sum(torch.stack([centred, centred.square()], dim=-1), graph)
    mean, square = (sums / graph.degree.unsqueeze(-1)).unbind(-1)
    return (square - mean.square()).clamp(min=0)


def _min_max(value: Tensor) -> Tensor:
    """Values scaled to [0, 1]; NaN where all are the same."""
    if value.numel() == 0:
        return value
    low, high = value.min(), value.max()
    return (value - low) / (high - low)


def _percentiles(value: Tensor, *percents: int) -> list[Tensor]:
    """Percentiles with linear interpolation; :func:`torch.quantile` takes no more than 16 million values."""
    ordered = value.sort().values
    found = []
    for percent in percents:
        position = percent * (value.numel() - 1) / 100
        below = int(position)
        above = min(below + 1, value.numel() - 1)
        found.append(torch.lerp(ordered[below], ordered[above], position - below))
    return found
