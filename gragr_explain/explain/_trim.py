"""Layers that run on no more of a graph than those after them hear of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.nn import MessagePassing

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.history import message_passing_layers
from gragr_explain.messages import edge_mask_applied, masked_output
from gragr_explain.modes import hooked


@dataclass(frozen=True)
class Trimmed:
    """The part of a graph that a layer needs, as PyG's ``trim_to_layer`` calls it.

    A message that starts many layers before the output may come from far away, one of the last layer not: each layer
    needs the computation graphs of as many hops as are left. The farthest nodes of these only send: of them no output
    is needed, and a layer that PyG calls bipartite, which takes a pair of sources and targets, gives none.

    Attributes:
        nodes: Its nodes, ``[num_kept_nodes]``, targets first, as PyG's bipartite layers expect them.
        num_targets: How many of them are targets; where that is all of them, the layer is called as ever.
        edges: Its edges, ``[num_kept_edges]``.
        edge_index: The edges between its nodes, ``[2, num_kept_edges]``.
        edge_weight: Their weights, where they are others than in the graph, ``[num_kept_edges]``.
    """

    nodes: Tensor
    num_targets: int
    edges: Tensor
    edge_index: Tensor
    edge_weight: Tensor | None = None

    def copies(self, count: int, num_nodes: int, num_edges: int) -> Trimmed:
        """The same of several copies of the graph, which has so many nodes and edges.

        Example:
            >>> part = Trimmed(torch.tensor([2, 0]), 1, torch.tensor([1]), torch.tensor([[1], [0]]))
            >>> pair = part.copies(2, num_nodes=3, num_edges=2)
            >>> pair.nodes.tolist(), pair.num_targets, pair.edges.tolist(), pair.edge_index.tolist()
            ([2, 5, 0, 3], 2, [1, 3], [[2, 3], [0, 1]])
        """
        copy = torch.arange(count, device=self.nodes.device).unsqueeze(1)
        nodes, targets = self.nodes + num_nodes * copy, self.num_targets
        places = torch.empty_like(nodes)
        places[:, :targets] = torch.arange(count * targets, device=copy.device).view(count, -1)
        places[:, targets:] = torch.arange(count * targets, nodes.numel(), device=copy.device).view(count, -1)
        edge_index = places[:, self.edge_index].transpose(0, 1).reshape(2, -1)
        return Trimmed(
            nodes=torch.cat([nodes[:, :targets].reshape(-1), nodes[:, targets:].reshape(-1)]),
            num_targets=count * targets,
            edges=(self.edges + num_edges * copy).view(-1),
            edge_index=edge_index,
            edge_weight=None if self.edge_weight is None else self.edge_weight.repeat(count),
        )

    def only(self, node_place: Tensor, edge_place: Tensor) -> Trimmed:
        """What is left of it in a part of the graph that no edge leads out of.

        Args:
            node_place: The places of nodes in that part, or -1, ``[num_nodes]``.
            edge_place: The places of edges in that part, or -1, ``[num_edges]``.

        Example:
            >>> pair = Trimmed(torch.tensor([1, 3]), 2, torch.tensor([0, 2]), torch.tensor([[0, 1], [0, 1]]))
            >>> rest = pair.only(torch.tensor([-1, -1, 0, 1]), torch.tensor([-1, 0, 1]))
            >>> rest.nodes.tolist(), rest.num_targets, rest.edges.tolist(), rest.edge_index.tolist()
            ([1], 1, [1], [[0], [0]])
        """
        nodes, edges = node_place[self.nodes], edge_place[self.edges]
        is_node, is_edge = nodes >= 0, edges >= 0
        return Trimmed(
            nodes=nodes[is_node],
            num_targets=int(is_node[: self.num_targets].sum()),
            edges=edges[is_edge],
            edge_index=(is_node.cumsum(0) - 1)[self.edge_index[:, is_edge]],
            edge_weight=None if self.edge_weight is None else self.edge_weight[is_edge],
        )


def trimmed_output(
    model: nn.Module,
    edge_mask: Tensor,
    graphs: Mapping[int, Trimmed],
    x: Tensor,
    edge_index: Tensor,
    arguments: dict[str, Any],
) -> Tensor:
    """A model's output with its messages multiplied by an edge mask, and layers that run on parts of the graph.

    What a layer gives is zero for nodes that are no targets of its part; outputs that these have no share in stay as
    they are. A layer that is called with other edges than the model runs on all of them.

    Args:
        model: The model, in evaluation mode.
        edge_mask: Factors as for :func:`~gragr_explain.messages.edge_mask_applied`.
        graphs: The part that a layer needs, by how often messages were passed before it.
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        arguments: What else the model takes.

    Raises:
        UnsupportedModelError: If a layer passes messages along other edges than those it is called with, or does not
            give a row for each node.
    """
    if not graphs:
        return masked_output(model, edge_mask, x, edge_index, **arguments)
    with (
        edge_mask_applied(model, edge_mask, edge_index) as parts,
        _trimming(model, graphs, parts, x.size(0), edge_index, arguments.get("edge_weight")),
    ):
        return model(x, edge_index, **arguments)


@contextmanager
def _trimming(
    model: nn.Module,
    graphs: Mapping[int, Trimmed],
    parts: dict[MessagePassing, tuple[Tensor, Tensor]],
    num_nodes: int,
    edge_index: Tensor,
    edge_weight: Tensor | None,
) -> Iterator[None]:
    """Hand layers the parts that they need, and fill their outputs up, as long as the context lasts."""
    at_work, passed = dict[MessagePassing, Trimmed](), 0

    def count(_layer: MessagePassing, _inputs: Any) -> None:
        nonlocal passed
        passed += 1

    def part_of(name: str, value: Any, graph: Trimmed) -> Any:
        if name == "edge_index":
            return graph.edge_index
        if "edge" in name:
            fits = isinstance(value, Tensor) and value.shape[:1] == edge_index.shape[1:]
            return value.index_select(0, graph.edges) if fits else value
        is_pair = isinstance(value, tuple | list)
        sources, *more = value if is_pair else [value]
        if not isinstance(sources, Tensor) or sources.shape[:1] != (num_nodes,):
            return value
        of_sources = sources.index_select(0, graph.nodes)
        if not is_pair and graph.num_targets == graph.nodes.numel():
            return of_sources
        if name != "x" or len(more) > 1:
            raise UnsupportedModelError(f"expected one matrix of node features, got another as {name!r}")
        [targets] = more or [sources]
        return of_sources, None if targets is None else targets.index_select(0, graph.nodes[: graph.num_targets])

    def trim(layer: MessagePassing, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if passed not in graphs:
            return None
        given, graph = _signature(type(layer).forward).bind(layer, *args, **kwargs), graphs[passed]
        own_edges = given.arguments.get("edge_index")
        if own_edges is not edge_index and not (isinstance(own_edges, Tensor) and torch.equal(own_edges, edge_index)):
            return None
        for name, value in list(given.arguments.items())[1:]:
            is_weight = name == "edge_weight" and value is edge_weight and graph.edge_weight is not None
            given.arguments[name] = graph.edge_weight if is_weight else part_of(name, value, graph)
        at_work[layer], parts[layer] = graph, (graph.edge_index, graph.edges)
        return given.args[1:], given.kwargs

    def fill_up(layer: MessagePassing, _inputs: Any, output: Any) -> Any:
        if layer not in at_work:
            return None
        graph, _ = at_work.pop(layer), parts.pop(layer)
        targets = graph.nodes[: graph.num_targets]
        if not isinstance(output, Tensor) or output.shape[:1] != targets.shape:
            raise UnsupportedModelError(f"expected {type(layer).__name__} to give a row for each node")
        return output.new_zeros(num_nodes, *output.shape[1:]).index_copy(0, targets, output)

    layers = message_passing_layers(model)
    handles = [layer.register_propagate_forward_pre_hook(count) for layer in layers]
    handles += [layer.register_forward_pre_hook(trim, with_kwargs=True) for layer in layers]
    handles += [layer.register_forward_hook(fill_up, prepend=True) for layer in layers]
    with hooked(handles):
        yield


def takes_pairs(layer: MessagePassing) -> bool:
    """Whether a layer says that it takes a pair of sources and targets, as PyG's bipartite layers do.

    Others are not asked for it: some would read features that are not there, which a GPU does not survive.

    Example:
        >>> from torch_geometric.nn import GATConv, GCNConv
        >>> takes_pairs(GATConv(3, 4)), takes_pairs(GCNConv(3, 4))
        (True, False)
    """
    x = _signature(type(layer).forward).parameters.get("x")
    says_so = x is not None and any(word in str(x.annotation).lower() for word in ("tuple", "pair"))
    return says_so and layer.flow == "source_to_target"


@lru_cache
def _signature(function: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(function)
