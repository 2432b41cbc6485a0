"""The context of a node: six features psi of its gradient, what they mean in its graph, and the Reasoner."""

from gragr_explain.context._context import SOURCES, GradientContext, quantile_ranks
from gragr_explain.context._influence import Influences, TrainedOn, influences
from gragr_explain.context._psi import FEATURES, ROLES, psi_features
from gragr_explain.context._reasoner import Reasoner

__all__ = [
    "FEATURES",
    "ROLES",
    "SOURCES",
    "GradientContext",
    "Influences",
    "Reasoner",
    "TrainedOn",
    "influences",
    "psi_features",
    "quantile_ranks",
]
