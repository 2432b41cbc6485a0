"""Explain graph neural networks by how they learned.

>>> from gragr_explain import GraGR, GradientContextExplainer
"""

from gragr_explain.explain import GradientContextExplainer, NodeExplanations, explain_many
from gragr_explain.history import GradientHistory, GradientRecorder
from gragr_explain.report import export
from gragr_explain.training import GraGR

__version__ = "0.1.0"

__all__ = [
    "GraGR",
    "GradientContextExplainer",
    "GradientHistory",
    "GradientRecorder",
    "NodeExplanations",
    "explain_many",
    "export",
]
