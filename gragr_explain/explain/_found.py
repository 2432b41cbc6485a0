"""The evidence for one output, or for several."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gragr_explain.explain._change import Change
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._node_parts import Inputs, Part


@dataclass(frozen=True)
class Found:
    """What speaks for some outputs, in the whole graph.

    Attributes:
        edges: Signed evidence of edges, ``[num_edges]``.
        features: Signed evidence of the features of nodes, in the shape of ``x``.
        edge_mask: The mask of the edges, ``[num_edges]``.
        support: What of the mask speaks for the outputs, ``[num_edges]``.
        changes: For each output, what is predicted without its strongest edges, where that was measured.
    """

    edges: Tensor
    features: Tensor
    edge_mask: Tensor
    support: Tensor
    changes: list[Change | None]


@dataclass(frozen=True)
class FoundInParts:
    """What speaks for the outputs of several nodes, each in its computation graph.

    Attributes:
        part: The computation graphs.
        edges: Signed evidence of their edges, ``[num_union_edges]``.
        features: The gradients of their features.
        edge_mask: The mask of their edges, ``[num_union_edges]``.
        support: What of the mask speaks for the outputs, ``[num_union_edges]``.
        changes: For each output, what is predicted without its strongest edges, where that was measured.
    """

    part: Part
    edges: Tensor
    features: FeatureGradient
    edge_mask: Tensor
    support: Tensor
    changes: list[Change | None]

    def features_of_parts(self) -> Tensor:
        """Signed evidence of the features, added up over each computation graph, ``[num_parts, num_features]``."""
        return self.features.times_input_of_parts(self.part.union.node_part, self.part.union.num_parts)

    def whole(self, inputs: Inputs) -> Found:
        """The evidence for a single output in the whole graph, zero outside its computation graph."""
        ego, num_edges = self.part.ego, inputs.edge_index.size(1)
        features = self.features.times_input()
        return Found(
            edges=self.edges.new_zeros(num_edges).index_copy_(0, ego.edge, self.edges),
            features=features.new_zeros(inputs.x.shape).index_copy_(0, ego.node, features),
            edge_mask=self.edge_mask.new_zeros(num_edges).index_copy_(0, ego.edge, self.edge_mask),
            support=self.support.new_zeros(num_edges).index_copy_(0, ego.edge, self.support),
            changes=self.changes,
        )
