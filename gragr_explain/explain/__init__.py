"""Explanations: an algorithm for ``torch_geometric.explain``, and the same for many nodes at once."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gragr_explain.explain._edge_gradient import EdgeGradientExplainer
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._explanation import GradientExplanation
from gragr_explain.explain._gradients import input_gradients, layer_gradients
from gragr_explain.explain._many import explain_many, explain_parts
from gragr_explain.explain._occlusion import OcclusionExplainer
from gragr_explain.explain._result import Explanations, GraphExplanations, NodeExplanations
from gragr_explain.explain._strongest import Edge, Feature

if TYPE_CHECKING:
    from gragr_explain.explain._captum import EdgeGradientAttribution

__all__ = [
    "Edge",
    "EdgeGradientAttribution",
    "EdgeGradientExplainer",
    "Explanations",
    "Feature",
    "GradientContextExplainer",
    "GradientExplanation",
    "GraphExplanations",
    "NodeExplanations",
    "OcclusionExplainer",
    "explain_many",
    "explain_parts",
    "input_gradients",
    "layer_gradients",
]


def __getattr__(name: str) -> Any:
    """Import what is for Captum when it is asked for: Captum takes half a second, which nothing else needs."""
    if name != "EdgeGradientAttribution":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}._captum").EdgeGradientAttribution
