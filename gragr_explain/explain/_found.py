"""The evidence for one output, or for several."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from gragr_explain.explain._change import Change
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._node_parts import Inputs, Part


@dataclass(frozen=True)
class Found:
    """What of the edges speaks for some outputs.

    Attributes:
        edges: Signed evidence of edges, ``[num_edges]``.
        edge_mask: The mask of the edges, ``[num_edges]``.
        support: What of the mask speaks for the outputs, ``[num_edges]``.
        changes: For each output, what is predicted without its strongest edges, where that was measured.
    """

    edges: Tensor
    edge_mask: Tensor
    support: Tensor
    changes: list[Change | None]


@dataclass(frozen=True)
class FoundInGraph(Found):
    """What speaks for some outputs, in the whole graph.

    Attributes:
        features: Signed evidence of the features of nodes, in the shape of ``x``.
    """

    features: Tensor


@dataclass(frozen=True)
class FoundInParts(Found):
    """What speaks for the outputs of several nodes, each in its computation graph.

    Attributes:
        part: The computation graphs, whose edges and features are spoken of.
        features: The gradients of the features.
    """

    part: Part
    features: FeatureGradient

    def features_of_parts(self) -> Tensor:
        """Signed evidence of the features, added up over each computation graph, ``[num_parts, num_features]``."""
        return self.features.times_input_of_parts(self.part.union.node_part, self.part.union.num_parts)

    def whole(self, inputs: Inputs) -> FoundInGraph:
        """The evidence for a single output in the whole graph, zero outside its computation graph."""
        ego, features = self.part.ego, self.features.times_input()

        def placed(numbers: Tensor) -> Tensor:
            return numbers.new_zeros(inputs.edge_index.size(1)).index_copy_(0, ego.edge, numbers)

        return FoundInGraph(
            edges=placed(self.edges),
            edge_mask=placed(self.edge_mask),
            support=placed(self.support),
            changes=self.changes,
            features=features.new_zeros(inputs.x.shape).index_copy_(0, ego.node, features),
        )
