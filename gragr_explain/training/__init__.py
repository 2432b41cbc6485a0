"""Training that corrects conflicting gradients and records them."""

from gragr_explain.training._correction import correct_field
from gragr_explain.training._gragr import GraGR
from gragr_explain.training._hyperparameters import TABLE_5, Hyperparameters, hyperparameters_of

__all__ = ["TABLE_5", "GraGR", "Hyperparameters", "correct_field", "hyperparameters_of"]
