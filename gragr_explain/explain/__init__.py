"""Explanations: an algorithm for ``torch_geometric.explain``, and the same for many nodes at once."""

from gragr_explain.explain._edge_gradient import EdgeGradientExplainer
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._gradients import input_gradients, layer_gradients
from gragr_explain.explain._many import explain_many
from gragr_explain.explain._occlusion import OcclusionExplainer
from gragr_explain.explain._result import NodeExplanations

__all__ = [
    "EdgeGradientExplainer",
    "GradientContextExplainer",
    "NodeExplanations",
    "OcclusionExplainer",
    "explain_many",
    "input_gradients",
    "layer_gradients",
]
