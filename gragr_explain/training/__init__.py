"""Training that corrects conflicting gradients and records them."""

from gragr_explain.training._conflict_term import conflict_term
from gragr_explain.training._correction import correct_field
from gragr_explain.training._gragr import GraGR, GraGRPlusPlus
from gragr_explain.training._hyperparameters import TABLE_5, Hyperparameters, hyperparameters_of
from gragr_explain.training._node_weights import conflict_hypergradient, reweight, validation_hypergradient
from gragr_explain.training._pathway import ConflictPathway, first_field, layer_sizes, relative_conflict
from gragr_explain.training._schedule import AdaptiveScheduler
from gragr_explain.training._switches import Switches
from gragr_explain.training._trajectories import Selection, select_trajectory
from gragr_explain.training.multitask import METHODS as MULTITASK_METHODS
from gragr_explain.training.multitask import MultiTaskModel, MultiTaskResult, project_tasks, train_multitask

__all__ = [
    "MULTITASK_METHODS",
    "TABLE_5",
    "AdaptiveScheduler",
    "ConflictPathway",
    "GraGR",
    "GraGRPlusPlus",
    "Hyperparameters",
    "MultiTaskModel",
    "MultiTaskResult",
    "Selection",
    "Switches",
    "conflict_hypergradient",
    "conflict_term",
    "correct_field",
    "first_field",
    "hyperparameters_of",
    "layer_sizes",
    "project_tasks",
    "relative_conflict",
    "reweight",
    "select_trajectory",
    "train_multitask",
    "validation_hypergradient",
]
