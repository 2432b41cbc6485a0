"""The gradient history of a model: recorded while anybody's loop trains it, saved, loaded, found again."""

from gragr_explain.history._arguments import warn_of_other_arguments
from gragr_explain.history._history import ATTRIBUTE, GradientHistory, find_history, graph_digest
from gragr_explain.history._known_weights import knows_weights, warn_of_other_weights
from gragr_explain.history._predictions import (
    are_probabilities,
    call_for_log_probs,
    class_log_probs,
    is_sigmoid,
    margins,
    self_labels,
)
from gragr_explain.history._recorder import GradientRecorder, copy_weights
from gragr_explain.history._running import FieldRecord, Trajectory, full_precision
from gragr_explain.history._tap import (
    along_flow,
    check_not_recomputed,
    check_output,
    hidden_layer,
    hidden_representation,
    layer_input,
    message_edges,
    message_flow,
    message_passing_layers,
    tap,
)
from gragr_explain.history._trajectory import call_with, first_names, recorded_weights

__all__ = [
    "ATTRIBUTE",
    "FieldRecord",
    "GradientHistory",
    "GradientRecorder",
    "Trajectory",
    "along_flow",
    "are_probabilities",
    "call_for_log_probs",
    "call_with",
    "check_not_recomputed",
    "check_output",
    "class_log_probs",
    "copy_weights",
    "find_history",
    "first_names",
    "full_precision",
    "graph_digest",
    "hidden_layer",
    "hidden_representation",
    "is_sigmoid",
    "knows_weights",
    "layer_input",
    "margins",
    "message_edges",
    "message_flow",
    "message_passing_layers",
    "recorded_weights",
    "self_labels",
    "tap",
    "warn_of_other_arguments",
    "warn_of_other_weights",
]
