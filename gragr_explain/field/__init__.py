"""The gradient field on a graph, as pure functions on tensors.

A *field* is a tensor of shape ``[num_nodes, channels]`` whose row :math:`v` is :math:`g_v`, the gradient of a loss with
respect to the hidden representation of node :math:`v`. Every function takes a prepared :class:`GraphOperator`, built
once per graph, or a plain ``edge_index``.
"""

from gragr_explain.field._attention import gradient_attention
from gragr_explain.field._conflict import alignment, detect_conflicts, project_conflicts
from gragr_explain.field._energy import (
    conflict_energy,
    conflict_loss,
    dirichlet_energy,
    task_conflict_energy,
)
from gragr_explain.field._frequency import (
    harmonic_energy,
    largest_frequency,
    normalized_neighbour_sum,
    rayleigh_quotient,
)
from gragr_explain.field._graph import Graph, GraphOperator, check_edges, prepare
from gragr_explain.field._neighbours import neighbour_mean, neighbour_sum
from gragr_explain.field._smoothing import conjugate_gradient_smooth, jacobi_smooth

__all__ = [
    "Graph",
    "GraphOperator",
    "alignment",
    "check_edges",
    "conflict_energy",
    "conflict_loss",
    "conjugate_gradient_smooth",
    "detect_conflicts",
    "dirichlet_energy",
    "gradient_attention",
    "harmonic_energy",
    "jacobi_smooth",
    "largest_frequency",
    "neighbour_mean",
    "neighbour_sum",
    "normalized_neighbour_sum",
    "prepare",
    "project_conflicts",
    "rayleigh_quotient",
    "task_conflict_energy",
]
