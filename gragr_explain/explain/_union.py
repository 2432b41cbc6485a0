"""Several predictions, each of a graph of its own, explained as one graph of disjoint parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ModelTaskLevel

from gragr_explain.errors import UnsupportedModelError
from gragr_explain.explain._arguments import arguments_of_part
from gragr_explain.explain._copies import REFUSALS, Computation, cut
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._gradients import gradients_at_ones
from gragr_explain.explain._listening import Calls
from gragr_explain.explain._objective import support
from gragr_explain.explain._rounding import is_same_output
from gragr_explain.explain._rows import SharedRows
from gragr_explain.history import check_output
from gragr_explain.messages import mask_dtype


@dataclass(frozen=True)
class Union(Computation):
    """The graphs of several predictions as one graph of disjoint parts, a prediction each.

    Attributes:
        node_part: Which part each node belongs to, ``[num_nodes]``.
        edge_part: Which part each edge belongs to, ``[num_edges]``.
        row_part: Which part each row of an argument belongs to, by name, where parts have rows of their own that are
            not those of their nodes or edges.
    """

    node_part: Tensor
    edge_part: Tensor
    row_part: Mapping[str, Tensor] = field(default_factory=dict, kw_only=True)

    @property
    def num_parts(self) -> int:
        """The number of predictions."""
        return self.wanted.numel()

    def only(self, parts: Tensor) -> Union:
        """Some of the parts, ``[num_kept]`` in ascending order, nodes and edges in the order they have."""
        kept = torch.zeros(self.num_parts, dtype=torch.bool, device=parts.device)
        kept[parts] = True
        nodes, edges, number = kept[self.node_part], kept[self.edge_part], kept.cumsum(0) - 1
        place, edge_place = (torch.where(mask, mask.cumsum(0) - 1, -1) for mask in (nodes, edges))
        chosen = nodes.nonzero().view(-1), edges.nonzero().view(-1)
        arguments, row_part = arguments_of_part(self.arguments, self.x, self.edge_index, *chosen), {}
        data = Data(x=self.x, edge_index=self.edge_index)
        for name, part in self.row_part.items():
            value, rows = self.arguments[name], kept[part]
            found = value.index_select(data.__cat_dim__(name, value), rows.nonzero().view(-1))
            arguments[name] = place[found] if data.__inc__(name, value) else found  # the numbers of nodes
            row_part[name] = number[part[rows]]
        if isinstance(batch := arguments.get("batch"), Tensor):
            arguments["batch"] = number[batch]
        of_nodes = self.num_outputs == self.x.size(0) and "batch" not in self.arguments
        return Union(
            x=self.x.index_select(0, nodes.nonzero().view(-1)),
            edge_index=place[self.edge_index[:, edges]],
            arguments=arguments,
            wanted=place[self.wanted[parts]] if of_nodes else number[parts],
            num_outputs=int(nodes.sum()) if of_nodes else parts.numel(),
            node_part=number[self.node_part[nodes]],
            edge_part=number[self.edge_part[edges]],
            row_part=row_part,
            trimmed={passed: each.only(place, edge_place) for passed, each in self.trimmed.items()},
        )


def graph_alone(model: nn.Module, whole: Union, output: Tensor) -> tuple[Union, Tensor | slice]:
    """The graph that an output is of, where it is one of a batch, and which edges of the batch are its own.

    Args:
        model: The model, in evaluation mode.
        whole: The batch, of which a single output is wanted.
        output: That output, ``[1, *]``.

    Returns:
        The batch as it is, with all edges, where there is no other graph, or the model says something else of this one
        alone.
    """
    batch = whole.arguments.get("batch")
    if whole.num_outputs == 1 or not isinstance(batch, Tensor):
        return whole, slice(None)
    inside = batch == whole.wanted
    edges = inside[whole.edge_index].all(0).nonzero().view(-1)
    part = cut(whole, ModelTaskLevel.graph, torch.where(inside, 0, 1), edges)
    try:
        with torch.no_grad():
            found = part.run(model, part.x.new_ones(part.num_edges, dtype=mask_dtype(part.x)))
    except REFUSALS:
        return whole, slice(None)
    if not is_same_output(found, output):
        return whole, slice(None)
    place = batch.new_zeros(part.x.size(0)), batch.new_zeros(part.num_edges)
    return Union(part.x, part.edge_index, part.arguments, part.wanted, part.num_outputs, *place), edges


def union_evidence(
    explainer: Explainer, union: Union, target: Tensor | None = None
) -> tuple[Tensor, FeatureGradient, Tensor]:
    """What speaks for each of several predictions, with one backward pass.

    Args:
        explainer: The model, and what it returns.
        union: The graphs of the predictions.
        target: The target of each prediction, ``[num_parts, *]``; what the model predicts if ``None``.

    Returns:
        Signed evidence of the edges, ``[num_edges]``, the gradients of the features, and the model's outputs,
        ``[num_parts, *]``.

    Raises:
        UnsupportedModelError: If the model's output has another number of rows, or edges cannot be masked.
    """
    outputs: list[Tensor] = []

    def objective(output: Tensor) -> Tensor:
        check_output(output)
        if output.shape[:1] != (union.num_outputs,):
            raise UnsupportedModelError(f"expected {union.num_outputs} outputs of the model, got {list(output.shape)}")
        wanted = output[union.wanted]
        outputs.append(wanted.detach())
        goal = explainer.get_target(wanted.detach()) if target is None else target
        return support(wanted, goal, explainer.model_config, explainer.explanation_type).sum()

    edges, features = gradients_at_ones(explainer.model, objective, union.x, union.edge_index, union.arguments)
    return edges, features, outputs[0]


@dataclass(frozen=True)
class Footprint:
    """How much memory, about, a forward and a backward pass take.

    Attributes:
        per_node: Bytes for each node: its features, their gradient, their product, where they are made.
        per_message: Bytes for each message, of an edge or of a node to itself, through all layers.
    """

    per_node: int
    per_message: int

    @classmethod
    def measured(cls, calls: Calls, x: Tensor, num_edges: int) -> Footprint:
        """From the messages of one forward pass of a graph with these features and as many edges.

        Of rows that are shared, products are what takes memory, where they are enough.
        """
        width, size = math.ceil(calls.largest / (num_edges + x.size(0))), mask_dtype(x).itemsize
        per_node = 4 * size * x.shape[1:].numel()
        if isinstance(x, SharedRows):
            products = x.source.products
            width, per_node = max(width, products.width), 0 if products.are_enough else per_node
        return cls(per_node, per_message=3 * size * len(calls.order) * width)

    def parts_within(self, memory: int, num_nodes: Tensor, num_edges: Tensor) -> int:
        """How many parts, of so many nodes and edges each, fit into some memory together; at least one."""
        size = self.per_node * num_nodes + self.per_message * (num_nodes + num_edges)
        return max(1, int((size.cumsum(0) <= memory).sum()))

    def masks_within(self, memory: int, union: Union) -> int:
        """How many copies of a union fit into some memory; at least one."""
        size = self.per_node * union.x.size(0) + self.per_message * (union.x.size(0) + union.num_edges)
        return max(1, memory // max(size, 1))
