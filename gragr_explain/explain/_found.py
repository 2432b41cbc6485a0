"""The evidence for one output, or for several."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gragr_explain.explain._change import Change
from gragr_explain.explain._node_parts import Inputs, Part


@dataclass(frozen=True)
class Found:
    """What speaks for some outputs, in the whole graph or in a part of it.

    Attributes:
        edges: Signed evidence of edges, ``[num_edges]``.
        features: Signed evidence of the features of nodes, in the shape of ``x``.
        edge_mask: The mask of the edges, ``[num_edges]``.
        support: What of the mask speaks for the outputs, ``[num_edges]``.
        changes: For each output, what is predicted without its strongest edges, where that was measured.
        part: The part; ``None`` for the whole graph.
    """

    edges: Tensor
    features: Tensor
    edge_mask: Tensor
    support: Tensor
    changes: list[Change | None]
    part: Part | None = None

    def whole(self, inputs: Inputs) -> Found:
        """The evidence for one output in the whole graph, zero outside its part."""
        if self.part is None:
            return self
        edge, node = self.part.ego.edge, self.part.ego.node
        features = self.features.new_zeros(inputs.x.shape)
        num_edges = inputs.edge_index.size(1)
        return Found(
            edges=self.edges.new_zeros(num_edges).index_copy_(0, edge, self.edges),
            features=features.index_copy_(0, node, self.features),
            edge_mask=self.edge_mask.new_zeros(num_edges).index_copy_(0, edge, self.edge_mask),
            support=self.support.new_zeros(num_edges).index_copy_(0, edge, self.support),
            changes=self.changes,
        )
