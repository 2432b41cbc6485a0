"""Computation graphs of many nodes at once, as one disjoint union."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EgoUnion:
    """The disjoint union of the computation graphs of several nodes.

    Attributes:
        node: The original node of each node of the union, ``[num_union_nodes]``.
        node_graph: Which computation graph it belongs to, ``[num_union_nodes]``.
        edge: The original edge of each edge of the union, ``[num_union_edges]``.
        edge_graph: Which computation graph it belongs to, ``[num_union_edges]``.
        edge_index: The edges between nodes of the union, ``[2, num_union_edges]``.
        centre: The explained node of each computation graph, as a node of the union, ``[num_graphs]``.
    """

    node: Tensor
    node_graph: Tensor
    edge: Tensor
    edge_graph: Tensor
    edge_index: Tensor
    centre: Tensor


class EgoGraphs:
    """Cuts the computation graphs of nodes out of a graph.

    A computation graph holds every edge into a node at most ``num_hops`` away from its centre: one ring more than
    messages travel, so that each node whose representation reaches the centre has its true degree.

    Args:
        edge_index: Edges of shape ``[2, num_edges]``.
        num_nodes: The number of nodes.
        num_hops: How many layers pass messages.
        flow: PyG's direction of messages, ``"source_to_target"`` or ``"target_to_source"``.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
        >>> union = EgoGraphs(path, num_nodes=5, num_hops=1).cut(torch.tensor([2, 4]))
        >>> union.node.tolist(), union.node_graph.tolist()
        ([0, 1, 2, 2, 3, 4], [0, 0, 0, 1, 1, 1])
    """

    def __init__(self, edge_index: Tensor, num_nodes: int, num_hops: int, flow: str = "source_to_target") -> None:
        self.edge_index = edge_index
        self.num_nodes = num_nodes
        self.num_hops = num_hops
        sender, receiver = edge_index if flow == "source_to_target" else edge_index.flip(0)
        self._sender = sender
        self._order = torch.argsort(receiver, stable=True)
        self._count = torch.bincount(receiver, minlength=num_nodes)
        self._start = self._count.cumsum(0) - self._count

    def cut(self, centres: Tensor) -> EgoUnion:
        """The computation graphs of nodes of shape ``[num_graphs]``."""
        num_graphs = centres.numel()
        graphs = torch.arange(num_graphs, device=centres.device)
        ring = reached = graphs * self.num_nodes + centres  # a node of a computation graph as one number
        edges, edge_graphs = [], []
        for _ in range(self.num_hops + 1):
            graph, node = ring.div(self.num_nodes, rounding_mode="floor"), ring % self.num_nodes
            count = self._count[node]
            offset = torch.arange(int(count.sum()), device=ring.device)
            offset = offset - (count.cumsum(0) - count).repeat_interleave(count)
            edge = self._order[self._start[node].repeat_interleave(count) + offset]
            edge_graph = graph.repeat_interleave(count)
            edges.append(edge)
            edge_graphs.append(edge_graph)
            sent_from = torch.unique(edge_graph * self.num_nodes + self._sender[edge])
            ring = sent_from[~torch.isin(sent_from, reached)]
            reached = torch.cat([reached, ring])
        reached = reached.sort().values
        edge, edge_graph = torch.cat(edges), torch.cat(edge_graphs)
        in_given_order = torch.argsort(edge_graph * max(self.edge_index.size(1), 1) + edge)
        edge, edge_graph = edge[in_given_order], edge_graph[in_given_order]
        ends = torch.searchsorted(reached, edge_graph * self.num_nodes + self.edge_index[:, edge])
        return EgoUnion(
            node=reached % self.num_nodes,
            node_graph=reached.div(self.num_nodes, rounding_mode="floor"),
            edge=edge,
            edge_graph=edge_graph,
            edge_index=ends,
            centre=torch.searchsorted(reached, graphs * self.num_nodes + centres),
        )
