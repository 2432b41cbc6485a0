"""Explain graph neural networks by how they learned.

Example:
    >>> from gragr_explain import GraGR, GradientContextExplainer
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gragr_explain.context import influences
    from gragr_explain.editing import edit
    from gragr_explain.explain import (
        EdgeGradientAttribution,
        EdgeGradientExplainer,
        GradientContextExplainer,
        GraphExplanations,
        NodeExplanations,
        OcclusionExplainer,
        explain_many,
        explain_parts,
    )
    from gragr_explain.history import GradientHistory, GradientRecorder
    from gragr_explain.rationale import LLMWriter, TemplateWriter
    from gragr_explain.report import export
    from gragr_explain.streaming import stream_export
    from gragr_explain.training import GraGR, GraGRPlusPlus

__version__ = "0.1.0"

__all__ = [
    "EdgeGradientAttribution",
    "EdgeGradientExplainer",
    "GraGR",
    "GraGRPlusPlus",
    "GradientContextExplainer",
    "GradientHistory",
    "GradientRecorder",
    "GraphExplanations",
    "LLMWriter",
    "NodeExplanations",
    "OcclusionExplainer",
    "TemplateWriter",
    "edit",
    "explain_many",
    "explain_parts",
    "export",
    "influences",
    "stream_export",
]

_HOMES = {
    "EdgeGradientAttribution": "explain",
    "EdgeGradientExplainer": "explain",
    "GraGR": "training",
    "GraGRPlusPlus": "training",
    "GradientContextExplainer": "explain",
    "GradientHistory": "history",
    "GradientRecorder": "history",
    "GraphExplanations": "explain",
    "LLMWriter": "rationale",
    "NodeExplanations": "explain",
    "OcclusionExplainer": "explain",
    "TemplateWriter": "rationale",
    "edit": "editing",
    "explain_many": "explain",
    "explain_parts": "explain",
    "export": "report",
    "influences": "context",
    "stream_export": "streaming",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: torch takes seconds, which ``--help`` need not."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
