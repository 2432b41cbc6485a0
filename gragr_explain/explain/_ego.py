"""Computation graphs of many nodes at once, as one disjoint union."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gragr_explain.explain._trim import Trimmed


@dataclass(frozen=True)
class EgoUnion:
    """The disjoint union of the computation graphs of several nodes, one after another.

    Attributes:
        node: The original node of each node of the union, ``[num_union_nodes]``.
        node_graph: Which computation graph it belongs to, in ascending order, ``[num_union_nodes]``.
        hops: How many hops it is away from the centre, ``[num_union_nodes]``.
        edge: The original edge of each edge of the union, ``[num_union_edges]``.
        edge_graph: Which computation graph it belongs to, in ascending order, ``[num_union_edges]``.
        edge_index: The edges between nodes of the union, ``[2, num_union_edges]``.
        centre: The explained node of each computation graph, as a node of the union, ``[num_graphs]``.
        heard: Whether a message along the edge can reach the centre, ``[num_union_edges]``.
        edge_weight: The weight of each edge, where they have weights, ``[num_union_edges]``.
    """

    node: Tensor
    node_graph: Tensor
    hops: Tensor
    edge: Tensor
    edge_graph: Tensor
    edge_index: Tensor
    centre: Tensor
    heard: Tensor
    edge_weight: Tensor | None = None

    @property
    def num_graphs(self) -> int:
        """The number of computation graphs."""
        return self.centre.numel()

    def first(self, count: int) -> EgoUnion:
        """The union of the first computation graphs alone."""
        nodes = int(torch.searchsorted(self.node_graph, count))
        edges = int(torch.searchsorted(self.edge_graph, count))
        return EgoUnion(
            node=self.node[:nodes],
            node_graph=self.node_graph[:nodes],
            hops=self.hops[:nodes],
            edge=self.edge[:edges],
            edge_graph=self.edge_graph[:edges],
            edge_index=self.edge_index[:, :edges],
            centre=self.centre[:count],
            heard=self.heard[:edges],
            edge_weight=None if self.edge_weight is None else self.edge_weight[:edges],
        )


class EgoGraphs:
    """Cuts the computation graphs of nodes out of a graph.

    A computation graph holds every edge into a node less than ``num_hops`` away from its centre: the edges whose
    messages can reach it. Layers that normalise by the senders' degrees need those of the outermost nodes as well,
    which are ``num_hops`` away: of the edges into these, the *rim*, only the number or weight matters. They start at
    the centre, so that nothing farther away has to be in the union; self-loops stay as they are. Where layers put a
    self-loop on every node without one, all of a node's rim may be the weight of that loop.

    Args:
        edge_index: Edges of shape ``[2, num_edges]``.
        num_nodes: The number of nodes.
        num_hops: How many layers pass messages.
        flow: PyG's direction of messages, ``"source_to_target"`` or ``"target_to_source"``.
        rim: Whether computation graphs have a rim.
        edge_weight: Weights of shape ``[num_edges]``, for models that take them. The rim is then a single edge into
            each outermost node, which has the weight of all.
        as_loops: Whether this edge is the node's self-loop, which has the weight of that, too, or 1 where it has none.

    Example:
        >>> path = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]])
        >>> union = EgoGraphs(path, num_nodes=5, num_hops=1).cut(torch.tensor([2, 4]))
        >>> union.node.tolist(), union.node_graph.tolist()
        ([1, 2, 3, 4], [0, 0, 1, 1])
        >>> union.edge_index.tolist()
        [[1, 0, 3, 2], [0, 1, 2, 3]]
    """

    def __init__(
        self,
        edge_index: Tensor,
        num_nodes: int,
        num_hops: int,
        flow: str = "source_to_target",
        rim: bool = True,
        edge_weight: Tensor | None = None,
        as_loops: bool = False,
    ) -> None:
        self.num_nodes = num_nodes
        self.num_edges = edge_index.size(1)
        self.num_hops = num_hops
        self.turned = flow == "target_to_source"
        self._sender, self._receiver = edge_index.flip(0) if self.turned else edge_index
        edges = torch.arange(self.num_edges, device=edge_index.device)
        self._incoming = _Incoming(edges, self._receiver, num_nodes)
        self._rim = self._incoming if rim else None
        self._weight = self._rim_weight = edge_weight
        self._as_loops = as_loops
        if edge_weight is not None:
            links = self._incoming.edges[self._sender[self._incoming.edges] != self._receiver[self._incoming.edges]]
            into = self._receiver[links]
            first = links[torch.cat([into.new_ones(1, dtype=torch.bool), into[1:] != into[:-1]])[: links.numel()]]
            total = edge_weight.new_zeros(num_nodes).index_add_(0, into, edge_weight[links])
            loops = (self._sender == self._receiver).nonzero().view(-1)
            if as_loops:
                own = torch.ones_like(total).index_copy_(0, self._receiver[loops], edge_weight[loops])
                linked = torch.zeros_like(total, dtype=torch.bool).index_fill_(0, into, True)
                total, loops = total + own, loops[~linked[self._receiver[loops]]]
            self._rim_weight = edge_weight.index_copy(0, first, total[self._receiver[first]])
            self._rim = _Incoming(torch.cat([first, loops]), self._receiver, num_nodes) if rim else None

    def cut(self, centres: Tensor, num_hops: int | None = None) -> EgoUnion:
        """The computation graphs of nodes of shape ``[num_graphs]``, of fewer hops where so many are given."""
        num_hops = self.num_hops if num_hops is None else num_hops
        num_graphs = centres.numel()
        graphs = torch.arange(num_graphs, device=centres.device)
        ring = reached = graphs * self.num_nodes + centres  # a node of a computation graph as one number
        edges, edge_graphs, on_rim, hops = [], [], [], [torch.zeros_like(ring)]
        for hop in range(num_hops + 1):
            incoming = self._incoming if hop < num_hops else self._rim
            if incoming is None:
                break
            edge, which = incoming.into(ring % self.num_nodes)
            edge_graph = ring.div(self.num_nodes, rounding_mode="floor")[which]
            edges.append(edge)
            edge_graphs.append(edge_graph)
            on_rim.append(torch.full_like(edge, hop == num_hops, dtype=torch.bool))
            if hop < num_hops:
                sent_from = torch.unique(edge_graph * self.num_nodes + self._sender[edge])
                ring = sent_from[~torch.isin(sent_from, reached)]
                reached = torch.cat([reached, ring])
                hops.append(torch.full_like(ring, hop + 1))
        reached, in_order = reached.sort()
        edge, edge_graph, outer = torch.cat(edges), torch.cat(edge_graphs), torch.cat(on_rim)
        in_given_order = torch.argsort(edge_graph * max(self.num_edges, 1) + edge)
        edge, edge_graph, outer = edge[in_given_order], edge_graph[in_given_order], outer[in_given_order]
        sender, receiver = self._sender[edge], self._receiver[edge]
        at_rim = receiver if self._as_loops else centres[edge_graph]
        sender = torch.where(outer & (sender != receiver), at_rim, sender)
        ends = torch.stack([receiver, sender] if self.turned else [sender, receiver])
        weight = None
        if self._weight is not None and self._rim_weight is not None:
            weight = torch.where(outer, self._rim_weight[edge], self._weight[edge])
        return EgoUnion(
            node=reached % self.num_nodes,
            node_graph=reached.div(self.num_nodes, rounding_mode="floor"),
            hops=torch.cat(hops)[in_order],
            edge=edge,
            edge_graph=edge_graph,
            edge_index=torch.searchsorted(reached, edge_graph * self.num_nodes + ends),
            centre=torch.searchsorted(reached, graphs * self.num_nodes + centres),
            heard=~outer,
            edge_weight=weight,
        )

    def trimmed(self, union: EgoUnion, num_hops: int, to_targets: bool) -> Trimmed:
        """What of a union a layer needs that starts so many hops before the output.

        Args:
            union: Computation graphs, as :meth:`cut` gives them or the :meth:`~EgoUnion.first` of them.
            num_hops: The number of hops, not more than they were cut with.
            to_targets: Whether the layer gives its output only for the nodes that it is needed of.
        """
        inner = union if num_hops == self.num_hops else self.cut(union.node[union.centre], num_hops)
        nodes, nodes_inside = (each.node_graph * self.num_nodes + each.node for each in (union, inner))
        edges, edges_inside = (each.edge_graph * self.num_edges + each.edge for each in (union, inner))
        is_target = inner.hops < (num_hops if to_targets else num_hops + 1)
        order = torch.argsort(~is_target, stable=True)
        return Trimmed(
            nodes=torch.searchsorted(nodes, nodes_inside[order]),
            num_targets=int(is_target.sum()),
            edges=torch.searchsorted(edges, edges_inside),
            edge_index=torch.argsort(order)[inner.edge_index],
            edge_weight=inner.edge_weight,
        )


class _Incoming:
    """Edges by the node that they lead into."""

    def __init__(self, edges: Tensor, receiver: Tensor, num_nodes: int) -> None:
        into = receiver[edges]
        self.edges = edges[torch.argsort(into, stable=True)]
        self._count = torch.bincount(into, minlength=num_nodes)
        self._start = self._count.cumsum(0) - self._count

    def into(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """The edges into some nodes, and for each the position of its node among them."""
        count = self._count[nodes]
        which = torch.arange(nodes.numel(), device=nodes.device).repeat_interleave(count)
        place = torch.arange(which.numel(), device=nodes.device) - (count.cumsum(0) - count)[which]
        return self.edges[self._start[nodes][which] + place], which
