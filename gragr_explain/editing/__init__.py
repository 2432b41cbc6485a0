"""Correct a model's prediction, and leave the rest alone: GRE, GRE+ and EGNN."""

from gragr_explain.editing._edit import edit, edit_independently, edit_sequence
from gragr_explain.editing._page import edit_sentences, render_edit, summarise_edit
from gragr_explain.editing._request import Method
from gragr_explain.editing._result import Edit, Flip
from gragr_explain.editing._rewiring import gre, gre_plus
from gragr_explain.editing._stitched import StitchedMLP
from gragr_explain.editing._subsets import node_subsets

__all__ = [
    "Edit",
    "Flip",
    "Method",
    "StitchedMLP",
    "edit",
    "edit_independently",
    "edit_sentences",
    "edit_sequence",
    "gre",
    "gre_plus",
    "node_subsets",
    "render_edit",
    "summarise_edit",
]
