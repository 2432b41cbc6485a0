"""The computation graphs of the nodes of one graph, cut as small as the model allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from gragr_explain.explain._arguments import arguments_of_part
from gragr_explain.explain._copies import REFUSALS
from gragr_explain.explain._ego import EgoGraphs, EgoUnion
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._gradients import gradients_at_ones
from gragr_explain.explain._listening import layer_outputs, listening
from gragr_explain.explain._products import Products, Source
from gragr_explain.explain._rounding import difference
from gragr_explain.explain._rows import SharedRows
from gragr_explain.explain._trim import Trimmed, takes_pairs
from gragr_explain.explain._union import Footprint, Union
from gragr_explain.history import message_passing_layers
from gragr_explain.inputs import forward_arguments
from gragr_explain.messages import keeps_its_graph, mask_dtype

_ROUNDING = 100
"""How many units in the last place of the largest output count as no difference."""

_ROUNDING_OF_GRADIENTS = 10_000
"""The same of the largest gradient, in which the rounding of all layers adds up."""

_CLEARLY_LESS = 0.75
"""A layer runs on a part of the graph if that is at most this share of it: picking it takes time as well."""


class Inputs(NamedTuple):
    """What a model is called with."""

    x: Tensor
    edge_index: Tensor
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Part:
    """Computation graphs of some nodes: where they lie in the graph, and as a model takes them.

    Attributes:
        ego: Their nodes and edges, by those of the whole graph.
        union: The same as one graph, with features that are multiplied with weights only once for all nodes.
        is_whole: Whether it is the whole graph, of which a model may not allow copies.
    """

    ego: EgoUnion
    union: Union
    is_whole: bool = False


class _Trims(Enum):
    """Whether layers run on no more of computation graphs than they need, and give no more."""

    TO_TARGETS = auto()
    TO_PARTS = auto()
    NO = auto()


class NodeParts:
    """Cuts the computation graphs of nodes out of a graph, and notices where a model looks beyond them.

    The smallest way of cutting that a model allows is found by trying: what it says of the nodes must stay as it was
    on the whole graph, in its output and in that of its last layer (where it is certain, probabilities hardly move).

    What is kept holds neither the model nor its features, but weights that these were multiplied with, and weights of
    edges; each call must be with the same model and inputs.

    Args:
        model: The model, in evaluation mode.
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        arguments: What else the model takes.
    """

    def __init__(self, model: nn.Module, x: Tensor, edge_index: Tensor, arguments: dict[str, Any]) -> None:
        with torch.no_grad(), listening(model) as calls, layer_outputs(model) as outputs:
            self._output = model(x, edge_index, **arguments)
        last = outputs[-1] if outputs else None
        self._last_layer = last if last is not None and last.shape[:1] == x.shape[:1] else None
        self._typical = (
            float(self._output.abs().mean()),
            0.0 if self._last_layer is None else float(self._last_layer.abs().mean()),
        )
        self._num_calls = len(outputs)
        self._begun = sorted(calls.begun, reverse=True)
        cuts = _possible_cuts(model, x, edge_index.clone(), arguments, num_hops=len(calls.order))
        pairs = all(takes_pairs(layer) for layer in message_passing_layers(model))
        self._ways = [(cut, trims) for cut in cuts for trims in _Trims if pairs or trims is not _Trims.TO_TARGETS]
        self._products, shared = Products(), None
        self._of_made_rows = Footprint.measured(calls, x, edge_index.size(1))
        if x.dim() == 2 and x.is_floating_point():
            rows = SharedRows(Source(x, self._products), torch.arange(x.size(0), device=x.device))
            shared = _footprint_of(model, rows, edge_index, arguments, self._output, self._typical[0])
        self._shares, self._is_compared = shared is not None, False
        self.footprint = shared or self._of_made_rows

    def gradients(
        self,
        model: nn.Module,
        inputs: Inputs,
        nodes: Tensor,
        memory: int,
        objective: Callable[[Tensor], Tensor],
    ) -> tuple[Part, Tensor, FeatureGradient]:
        """The gradients at the computation graphs of as many of the first of some nodes as fit into so many bytes.

        Args:
            model: The model, in evaluation mode.
            inputs: Its inputs.
            nodes: The nodes, ``[num_nodes]``; at least the first is explained, where nothing cut out is like the whole
                graph on the whole graph.
            memory: Bytes.
            objective: From the model's outputs for the first of the nodes, ``[num_parts, *]``, to a number.

        Returns:
            The computation graphs, and the gradients of their edges and of their features.
        """
        while True:
            part = self._cut(inputs, nodes, memory)
            if part.is_whole and not self._shares:
                return part, *_gradients_of(model, part.union, objective)  # there is nothing else to try
            found = self._gradients(model, part, objective)
            if found is not None and (self._is_compared or self._compare(model, part, objective, *found)):
                return part, *found
            if self._shares and (found is not None or part.is_whole):
                self._shares, self.footprint = False, self._of_made_rows
            else:
                self._ways.pop(0)

    def _compare(
        self,
        model: nn.Module,
        part: Part,
        objective: Callable[[Tensor], Tensor],
        of_edges: Tensor,
        of_features: FeatureGradient,
    ) -> bool:
        """Whether gradients that were found with shared rows or trimmed layers are those without; sure from then on."""
        x = part.union.x
        if not isinstance(x, SharedRows) and not part.union.trimmed:
            return True
        plain = replace(part.union, x=x.made() if isinstance(x, SharedRows) else x, trimmed={})
        plain_of_edges, plain_of_features = _gradients_of(model, plain, objective)
        pairs = (of_edges, plain_of_edges), (of_features.made(), plain_of_features.made())
        is_same = all(difference(found, made) <= _ROUNDING_OF_GRADIENTS for found, made in pairs)
        self._is_compared = is_same and part.union.num_edges > 0
        return is_same

    def _cut(self, inputs: Inputs, nodes: Tensor, memory: int) -> Part:
        """As many of the first of some nodes as fit into so many bytes, in the smallest way that is left."""
        if not self._ways:
            return self._part(inputs, _whole(inputs, nodes[:1]), is_whole=True)
        graphs, trims = self._ways[0]
        ego = graphs.cut(nodes)
        num_nodes = torch.bincount(ego.node_graph, minlength=ego.num_graphs)
        num_edges = torch.bincount(ego.edge_graph, minlength=ego.num_graphs)
        ego = ego.first(self.footprint.parts_within(memory, num_nodes, num_edges))
        return self._part(inputs, ego, trimmed=self._trimmed(graphs, ego, trims))

    def _trimmed(self, graphs: EgoGraphs, ego: EgoUnion, trims: _Trims) -> dict[int, Trimmed]:
        """What layers need of computation graphs, for as many of the last as that is clearly less than all."""
        found: dict[int, Trimmed] = {}
        # the first layer needs all edges, and a part of features that are made would be a copy of them
        first = self._shares and trims is _Trims.TO_TARGETS
        for passed in self._begun if trims is not _Trims.NO else ():
            if passed == 0 and not first:
                break
            each = graphs.trimmed(ego, graphs.num_hops - passed, to_targets=trims is _Trims.TO_TARGETS)
            if each.edges.numel() + each.num_targets > _CLEARLY_LESS * (ego.edge.numel() + ego.node.numel()):
                break
            found[passed] = each
        return found

    def _gradients(
        self, model: nn.Module, part: Part, objective: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, FeatureGradient] | None:
        """The gradients, where the model says the same as on the whole graph."""
        outputs: list[Tensor] = []

        def noted(output: Tensor) -> Tensor:
            outputs.append(output)
            return objective(output)

        try:
            with layer_outputs(model) as layers:
                found = _gradients_of(model, part.union, noted)
        except torch.OutOfMemoryError:
            raise
        except REFUSALS:
            return None  # no graph that this model can take
        nodes = part.ego.node[part.ego.centre]
        away = difference(outputs[0].detach(), self._output[nodes], self._typical[0])
        if self._last_layer is not None:
            last = layers[self._num_calls - 1][part.union.wanted]
            away = max(away, difference(last, self._last_layer[nodes], self._typical[1]))
        return found if away <= (_ROUNDING if len(self._ways) > 1 else 10 * _ROUNDING) else None

    def _part(
        self, inputs: Inputs, ego: EgoUnion, *, is_whole: bool = False, trimmed: Mapping[int, Trimmed] | None = None
    ) -> Part:
        arguments = arguments_of_part(inputs.arguments, inputs.x, inputs.edge_index, ego.node, ego.edge)
        if ego.edge_weight is not None:
            arguments["edge_weight"] = ego.edge_weight
        union = Union(
            x=SharedRows(Source(inputs.x, self._products), ego.node) if self._shares else inputs.x[ego.node],
            edge_index=ego.edge_index,
            arguments=arguments,
            wanted=ego.centre,
            num_outputs=ego.node.numel(),
            node_part=ego.node_graph,
            edge_part=ego.edge_graph,
            trimmed=trimmed or {},
        )
        return Part(ego, union, is_whole)


def _footprint_of(
    model: nn.Module, rows: SharedRows, edge_index: Tensor, arguments: dict[str, Any], output: Tensor, typical: float
) -> Footprint | None:
    """What a model takes with rows that are shared; ``None`` where it does not take them, or says something else."""
    try:
        with torch.no_grad(), listening(model) as calls:
            found = model(rows, edge_index, **arguments)
    except torch.OutOfMemoryError:
        raise
    except REFUSALS:
        return None
    is_same = isinstance(found, Tensor) and difference(found, output, typical) <= 10 * _ROUNDING
    return Footprint.measured(calls, rows, edge_index.size(1)) if is_same else None


def _gradients_of(
    model: nn.Module, union: Union, objective: Callable[[Tensor], Tensor]
) -> tuple[Tensor, FeatureGradient]:
    """The gradients of a number of the outputs that are wanted."""
    return gradients_at_ones(
        model,
        lambda output: objective(output[union.wanted]),
        union.x,
        union.edge_index,
        union.arguments,
        trimmed=union.trimmed,
    )


def _possible_cuts(
    model: nn.Module, x: Tensor, edge_index: Tensor, arguments: dict[str, Any], num_hops: int
) -> Iterator[EgoGraphs]:
    """How computation graphs can be cut, the smallest first; none where a model is known to look beyond them.

    Messages are passed so many times, one after another: a layer may do so more than once.
    """
    layers = message_passing_layers(model)
    if getattr(model, "auxiliary_weight", 0) or any(keeps_its_graph(layer) for layer in layers):
        return
    like = x.size(0), max(num_hops, len(layers)), layers[0].flow  # compiled layers are not heard of
    yield EgoGraphs(edge_index, *like, rim=False)
    weight = arguments.get("edge_weight")
    if weight is None:
        weight = x.new_ones(edge_index.size(1), dtype=mask_dtype(x))
    if weight.dim() == 1 and forward_arguments(model, Data(edge_weight=weight)):
        yield EgoGraphs(edge_index, *like, edge_weight=weight, as_loops=True)
        yield EgoGraphs(edge_index, *like, edge_weight=weight)
    yield EgoGraphs(edge_index, *like)


def _whole(inputs: Inputs, node: Tensor) -> EgoUnion:
    nodes = torch.arange(inputs.x.size(0), device=node.device)
    edges = torch.arange(inputs.edge_index.size(1), device=node.device)
    zeros = torch.zeros_like
    everywhere = torch.ones_like(edges, dtype=torch.bool)
    return EgoUnion(nodes, zeros(nodes), zeros(nodes), edges, zeros(edges), inputs.edge_index, node, everywhere)
