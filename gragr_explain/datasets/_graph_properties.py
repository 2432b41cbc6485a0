"""Four properties of a graph that can be counted, for tasks beside its label."""

from __future__ import annotations

import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

PROPERTIES = ("size", "cycles", "branching", "composition")
"""The names of the columns of :func:`graph_properties`."""


def graph_properties(node_type: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
    """Count what can be counted in each graph of a batch.

    Args:
        node_type: The type of each node, integers of shape ``[num_nodes]``.
        edge_index: Undirected edges, each in both directions, of shape ``[2, num_edges]``; no edge joins two graphs.
        batch: The graph of each node, ascending, of shape ``[num_nodes]``.

    Returns:
        A row for each graph, of shape ``[num_graphs, 4]``: its number of nodes; its number of independent cycles
        (edges minus nodes plus connected components); the standard deviation of its nodes' numbers of neighbours; the
        share of its commonest type of node.

    Example:
        >>> triangle_and_edge = torch.tensor([[0, 1, 1, 2, 2, 0, 3, 4], [1, 0, 2, 1, 0, 2, 4, 3]])
        >>> graph_properties(torch.tensor([6, 6, 8, 6, 6]), triangle_and_edge, torch.tensor([0, 0, 0, 1, 1]))
        tensor([[3.0000, 1.0000, 0.0000, 0.6667],
                [2.0000, 0.0000, 0.0000, 1.0000]])
    """
    num_nodes, num_graphs = batch.numel(), int(batch.max()) + 1
    nodes = torch.bincount(batch, minlength=num_graphs)
    edge_index = torch.unique(edge_index[:, edge_index[0] != edge_index[1]], dim=1)
    edges = torch.bincount(batch[edge_index[0]], minlength=num_graphs) // 2
    adjacency = coo_array((torch.ones(edge_index.size(1)).numpy(), edge_index.numpy()), shape=(num_nodes, num_nodes))
    component = torch.from_numpy(connected_components(adjacency, directed=False)[1]).long()
    owner = torch.zeros(int(component.max()) + 1, dtype=torch.long).scatter_(0, component, batch)
    components = torch.bincount(owner, minlength=num_graphs)
    degree = torch.bincount(edge_index[0], minlength=num_nodes).double()
    mean = torch.bincount(batch, weights=degree, minlength=num_graphs) / nodes
    variance = torch.bincount(batch, weights=(degree - mean[batch]).square(), minlength=num_graphs) / nodes
    num_types = int(node_type.max()) + 1
    types = torch.bincount(batch * num_types + node_type, minlength=num_graphs * num_types).view(num_graphs, num_types)
    columns = (
        nodes,
        edges - nodes + components,
        variance.sqrt(),
        types.amax(1) / nodes,
    )
    return torch.stack([column.float() for column in columns], dim=1)
