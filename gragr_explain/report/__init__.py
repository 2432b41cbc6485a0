"""Explanations as tables, figures and one self-contained page."""

from gragr_explain.report._cards import choose_cards
from gragr_explain.report._curves import training_curve, training_curves, trajectory
from gragr_explain.report._drawings import draw_features, draw_subgraph
from gragr_explain.report._export import FILES, export
from gragr_explain.report._figures import (
    conflict_map,
    psi_distribution,
    psi_distributions,
    role_counts,
)
from gragr_explain.report._projection import project
from gragr_explain.report._table import json_lines, table_schema, to_frame, to_table, write_jsonl, write_parquet
from gragr_explain.report.graphs import choose_graphs

__all__ = [
    "FILES",
    "choose_cards",
    "choose_graphs",
    "conflict_map",
    "draw_features",
    "draw_subgraph",
    "export",
    "json_lines",
    "project",
    "psi_distribution",
    "psi_distributions",
    "role_counts",
    "table_schema",
    "to_frame",
    "to_table",
    "training_curve",
    "training_curves",
    "trajectory",
    "write_jsonl",
    "write_parquet",
]
