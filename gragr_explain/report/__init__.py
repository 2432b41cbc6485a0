"""Explanations as tables, figures and one self-contained page."""

from gragr_explain.report._cards import choose_cards
from gragr_explain.report._drawings import draw_features, draw_subgraph
from gragr_explain.report._export import export
from gragr_explain.report._figures import (
    conflict_map,
    psi_distribution,
    psi_distributions,
    role_counts,
    training_curve,
    training_curves,
)
from gragr_explain.report._projection import project
from gragr_explain.report._table import to_frame, write_jsonl, write_parquet

__all__ = [
    "choose_cards",
    "conflict_map",
    "draw_features",
    "draw_subgraph",
    "export",
    "project",
    "psi_distribution",
    "psi_distributions",
    "role_counts",
    "to_frame",
    "training_curve",
    "training_curves",
    "write_jsonl",
    "write_parquet",
]
