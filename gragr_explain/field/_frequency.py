"""Low and high frequencies of a field: the spectrum of the normalised Laplacian (Di Giovanni et al., 2022)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import bmat, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh
from torch import Tensor

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidGraphError
from gragr_explain.field._energy import dirichlet_energy
from gragr_explain.field._graph import Graph, GraphOperator, prepare
from gragr_explain.field._neighbours import neighbour_sum

_DENSE, _TOLERANCE = 64, 1e-6


def normalized_neighbour_sum(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The sum of the neighbours' rows, weighted by the roots of the degrees, :math:`\bar{A} F`.

    :math:`\bar{A} = D^{-1/2} A D^{-1/2}` of the graph without directions and self-loops; :math:`\Delta = I - \bar{A}`
    is the normalised Laplacian. Gradient-flow slides, "Preliminaries on graph operators".

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A field of the same shape; zero for a node without neighbours.

    Example:
        >>> normalized_neighbour_sum(torch.tensor([[1.0], [2.0], [1.0]]), torch.tensor([[0, 1], [1, 2]])).view(-1)
        tensor([1.4142, 1.4142, 1.4142])
    """
    graph = prepare(field, graph, edge_weight).undirected
    root = _inverse_root(graph).to(field.dtype).unsqueeze(-1)
    return root * neighbour_sum(root * field, graph)


def rayleigh_quotient(field: Tensor, graph: Graph, edge_weight: Tensor | None = None) -> Tensor:
    r"""The mean frequency of a field on its graph.

    .. math::
        \frac{\operatorname{tr}(F^\top \Delta F)}{\|F\|^2} = 2\, \mathcal{E}^{\text{Dir}}(F / \|F\|)
            \in [0, \rho_\Delta]

    Gradient-flow slides, definitions of low- and high-frequency dominance: a dynamics is dominated by the low
    frequencies if it sends this to 0, and by the high ones if to :math:`\rho_\Delta`. A field of independent random
    rows has 1 in the mean, on any graph. Nodes without neighbours have no frequency, and are left out.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``; its directions do not count.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A scalar; NaN where every node with a neighbour has a zero row.

    Example:
        >>> edge_index = torch.tensor([[0, 1], [1, 0]])
        >>> rayleigh_quotient(torch.tensor([[1.0], [1.0]]), edge_index)
        tensor(0.)
        >>> rayleigh_quotient(torch.tensor([[1.0], [-1.0]]), edge_index)
        tensor(2.)
    """
    graph = prepare(field, graph, edge_weight).undirected
    field = field / field.abs().amax().clamp(min=torch.finfo(field.dtype).tiny) if field.numel() else field
    return dirichlet_energy(field, graph, normalized=True) / field[graph.strength > 0].square().sum()


def harmonic_energy(field: Tensor, graph: Graph, w: Tensor | None = None, edge_weight: Tensor | None = None) -> Tensor:
    r"""The Dirichlet energy of a field in the metric of a channel mixing.

    .. math::
        \mathcal{E}_W^{\text{Dir}}(F) = \frac{1}{4} \sum_{(i,j) \in E}
            \left\| W \left( \frac{f_i}{\sqrt{d_i}} - \frac{f_j}{\sqrt{d_j}} \right) \right\|^2
            = \frac{1}{2} \operatorname{tr}(F^\top \Delta F\, W^\top W)

    Gradient-flow slides, "Extending the formalism to graphs"; there :math:`E` holds every pair in both directions.
    Its gradient is :math:`\Delta F W^\top W`. Without ``w`` it is the slides' :math:`\mathcal{E}^{\text{Dir}}`, half of
    :func:`dirichlet_energy` with ``normalized=True``.

    Args:
        field: A field of shape ``[num_nodes, channels]``.
        graph: A :class:`GraphOperator`, or an ``edge_index`` of shape ``[2, num_edges]``; its directions do not count.
        w: The mixing :math:`W` of shape ``[any, channels]``; the identity by default.
        edge_weight: Weights of shape ``[num_edges]``, with an ``edge_index`` only.

    Returns:
        A non-negative scalar in the square of the field's unit.

    Raises:
        InvalidTypeError: If ``w`` is no tensor.
        InvalidGraphError: If ``w`` is no matrix with a column for each channel.

    Example:
        >>> field, edge_index = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[0, 1], [1, 0]])
        >>> harmonic_energy(field, edge_index), harmonic_energy(field, edge_index, torch.tensor([[0.0, 3.0]]))
        (tensor(2.5000), tensor(18.))
    """
    graph = prepare(field, graph, edge_weight)
    if w is not None:
        check_type("w", w, Tensor)
        if w.dim() != 2 or w.size(1) != field.size(1):
            raise InvalidGraphError(f"expected w of shape [any, {field.size(1)}], got {list(w.shape)}")
        field = field @ w.t()
    return dirichlet_energy(field, graph, normalized=True) / 2


def largest_frequency(graph: GraphOperator) -> float:
    r"""The largest eigenvalue :math:`\rho_\Delta` of the normalised Laplacian.

    It is 2 if some component is bipartite, less if none is, which Lanczos' method finds to six digits, and 0 for a
    graph without edges.

    Args:
        graph: The graph; its directions do not count.

    Raises:
        InvalidTypeError: If the graph is of another type.

    Example:
        >>> triangle = torch.tensor([[0, 1, 2], [1, 2, 0]])
        >>> round(largest_frequency(GraphOperator(triangle, num_nodes=3)), 6)
        1.5
    """
    check_type("graph", graph, GraphOperator)
    graph = graph.undirected
    root = _inverse_root(graph).cpu().numpy()
    row, col, weight = (part.cpu().numpy() for part in (graph.row, graph.col, graph.weight.double()))
    adjacency = csr_matrix((weight * root[row] * root[col], (row, col)), shape=(graph.num_nodes, graph.num_nodes))
    linked = np.flatnonzero(root > 0)
    if linked.size == 0:
        return 0.0
    adjacency = adjacency[linked][:, linked]
    if linked.size <= _DENSE:
        return float(1 - np.linalg.eigvalsh(adjacency.toarray())[0])
    if _has_bipartite_component(adjacency):
        return 2.0
    start = np.random.default_rng(0).standard_normal(linked.size)
    return float(1 - eigsh(adjacency, k=1, which="SA", v0=start, tol=_TOLERANCE, return_eigenvectors=False)[0])


def _has_bipartite_component(adjacency: csr_matrix) -> bool:
    """Whether nodes of some component fall into two halves without an edge inside of one.

    In the graph of two copies of each node whose edges lead from one copy to the other, such a component comes apart.
    """
    edges = adjacency.astype(bool)
    edges.eliminate_zeros()
    _, label = connected_components(bmat([[None, edges], [edges.T, None]]), directed=False)
    return bool((label[: adjacency.shape[0]] != label[adjacency.shape[0] :]).any())


def _inverse_root(graph: GraphOperator) -> Tensor:
    strength = graph.strength.double()
    return torch.where(strength > 0, strength.rsqrt(), 0)
