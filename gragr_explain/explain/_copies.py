"""What a model's outputs are computed from, cut out of a graph, and many disjoint copies of it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain.config import ModelTaskLevel

from gragr_explain.errors import GragrError, UnsupportedModelError
from gragr_explain.explain._arguments import arguments_of_part
from gragr_explain.explain._listening import listening
from gragr_explain.explain._rounding import is_same_output
from gragr_explain.explain._trim import Trimmed, trimmed_output
from gragr_explain.history import message_passing_layers
from gragr_explain.messages import keeps_its_graph, mask_dtype

REFUSALS = GragrError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, AssertionError
"""What a model raises for a graph that it cannot take."""


@dataclass(frozen=True)
class Computation:
    """A graph as a model takes it, and the outputs that are wanted.

    Attributes:
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        arguments: What else the model takes.
        wanted: Which rows of the model's output are wanted, ``[num_wanted]``.
        num_outputs: How many rows the model's output has.
        trimmed: What layers need of the graph for the wanted outputs, where that is less than all, by how often
            messages were passed before.
    """

    x: Tensor
    edge_index: Tensor
    arguments: dict[str, Any]
    wanted: Tensor
    num_outputs: int
    trimmed: Mapping[int, Trimmed] = field(default_factory=dict, kw_only=True)

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return self.edge_index.size(1)

    def run(self, model: nn.Module, edge_mask: Tensor) -> Tensor:
        """The wanted outputs under an edge mask, ``[num_wanted, *]``.

        Raises:
            UnsupportedModelError: If edges cannot be masked, or the output has another number of rows.
        """
        output = trimmed_output(model, edge_mask, self.trimmed, self.x, self.edge_index, self.arguments)
        if output.size(0) != self.num_outputs:
            raise UnsupportedModelError(f"expected {self.num_outputs} outputs of the model, got {output.size(0)}")
        return output[self.wanted]

    def without(self, gone: Tensor) -> Computation:
        """The same without some edges, ``[num_edges]``; all nodes stay, and every layer runs on all of them.

        Example:
            >>> pair = Computation(torch.rand(2, 1), torch.tensor([[0, 1], [1, 0]]), {}, torch.tensor([1]), 2)
            >>> pair.without(torch.tensor([True, False])).edge_index.tolist()
            [[1], [0]]
        """
        kept = (~gone).nonzero().view(-1)
        arguments = arguments_of_part(self.arguments, self.x, self.edge_index, slice(None), kept)
        return Computation(self.x, self.edge_index[:, kept], arguments, self.wanted, self.num_outputs)

    def copies(self, count: int) -> Computation:
        """Disjoint copies as one graph, arguments joined as PyG joins those of the graphs of a batch.

        The edges of a copy come together, and so do its outputs.

        Example:
            >>> pair = Computation(torch.rand(2, 1), torch.tensor([[0], [1]]), {}, torch.tensor([1]), 2)
            >>> pair.copies(3).edge_index.tolist(), pair.copies(3).wanted.tolist()
            ([[0, 2, 4], [1, 3, 5]], [1, 3, 5])
        """
        if count == 1:
            return self
        data = Data(x=self.x, edge_index=self.edge_index)

        def repeated(name: str, value: Any) -> Any:
            if not isinstance(value, Tensor) or value.dim() == 0:
                return value
            return _repeat(value, count, data.__cat_dim__(name, value), int(data.__inc__(name, value)))

        return Computation(
            x=repeated("x", self.x),
            edge_index=repeated("edge_index", self.edge_index),
            arguments={name: repeated(name, value) for name, value in self.arguments.items()},
            wanted=_repeat(self.wanted, count, 0, self.num_outputs),
            num_outputs=count * self.num_outputs,
            trimmed={
                passed: each.copies(count, self.x.size(0), self.num_edges) for passed, each in self.trimmed.items()
            },
        )


def distances(
    whole: Computation, level: ModelTaskLevel, senders: Tensor, receivers: Tensor, num_hops: int
) -> Tensor | None:
    """How many layers a message from each node takes to a wanted output, ``[num_nodes]``.

    Zero for the nodes that an output is read from, ``num_hops + 1`` where it is more than ``num_hops``. ``None`` where
    it is not known which nodes these are: without an ``edge_label_index`` at edge level, a ``batch`` at graph level.

    Example:
        >>> path = torch.tensor([[0, 1, 2], [1, 2, 3]])
        >>> whole = Computation(torch.rand(4, 1), path, {}, torch.tensor([2]), 4)
        >>> distances(whole, ModelTaskLevel.node, *path, num_hops=1)
        tensor([2, 1, 0, 2])
    """
    distance = torch.full((whole.x.size(0),), num_hops + 1, device=whole.x.device)
    if level == ModelTaskLevel.node:
        distance[whole.wanted] = 0
    elif level == ModelTaskLevel.edge and isinstance(ends := whole.arguments.get("edge_label_index"), Tensor):
        distance[ends[:, whole.wanted].reshape(-1)] = 0
    elif level == ModelTaskLevel.graph and isinstance(batch := whole.arguments.get("batch"), Tensor):
        distance[torch.isin(batch, whole.wanted)] = 0
    else:
        return None
    for hop in range(num_hops):
        reached = senders[distance[receivers] == hop]
        distance[reached] = distance[reached].clamp(max=hop + 1)
    return distance


def cut(whole: Computation, level: ModelTaskLevel, distance: Tensor, edges: Tensor) -> Computation:
    """The part of a graph with some edges, and the nodes that the wanted outputs are read from.

    Args:
        whole: The whole graph.
        level: What its outputs belong to.
        distance: From :func:`distances`.
        edges: Which edges to keep, in ascending order, ``[num_kept]``.
    """
    inside = distance == 0
    inside[whole.edge_index[:, edges].reshape(-1)] = True
    place = inside.cumsum(0) - 1
    arguments = arguments_of_part(whole.arguments, whole.x, whole.edge_index, inside.nonzero().view(-1), edges)
    if level == ModelTaskLevel.node:
        wanted, num_outputs = place[whole.wanted], int(inside.sum())
    elif level == ModelTaskLevel.edge:
        arguments["edge_label_index"] = place[whole.arguments["edge_label_index"][:, whole.wanted]]
        wanted, num_outputs = torch.arange(whole.wanted.numel(), device=edges.device), whole.wanted.numel()
    else:
        chosen = whole.wanted.unique()
        arguments["batch"] = torch.searchsorted(chosen, whole.arguments["batch"][inside])
        wanted, num_outputs = torch.searchsorted(chosen, whole.wanted), chosen.numel()
    return Computation(whole.x[inside], place[whole.edge_index[:, edges]], arguments, wanted, num_outputs)


def with_batch(model: nn.Module, x: Tensor, arguments: dict[str, Any], level: ModelTaskLevel) -> dict[str, Any]:
    """The arguments, with the ``batch`` of a single graph where a model of graphs takes one and got none."""
    takes_batch = level == ModelTaskLevel.graph and "batch" in inspect.signature(model.forward).parameters
    if not takes_batch or arguments.get("batch") is not None:
        return arguments
    return {**arguments, "batch": torch.zeros(x.size(0), dtype=torch.long, device=x.device)}


def messages_of_a_copy(model: nn.Module, whole: Computation, part: Computation, output: Tensor) -> int | None:
    """Whether copies of a part, one of them without its edges, give what the whole graph gives, and how large they are.

    An edge cannot change a copy more than all edges do: what a model mixes between copies shows here.
    """
    if any(keeps_its_graph(layer) for layer in message_passing_layers(model)):
        return None
    ones, none = (part.x.new_full((part.num_edges,), value, dtype=mask_dtype(part.x)) for value in (1.0, 0.0))
    expected = torch.cat([output, whole.run(model, none.new_zeros(whole.num_edges))])
    try:
        with listening(model) as calls:
            found = part.copies(2).run(model, torch.cat([ones, none]))
    except REFUSALS:
        return None
    return calls.largest // 2 if is_same_output(found, expected) else None


def _repeat(value: Tensor, count: int, dim: int, step: int) -> Tensor:
    """Copies one after another along a dimension, each greater than the one before by a step."""
    copies = torch.cat([value] * count, dim)
    if step == 0:
        return copies
    shape = [1] * value.dim()
    shape[dim] = -1
    return copies + torch.arange(count, device=value.device).repeat_interleave(value.size(dim)).view(shape) * step
