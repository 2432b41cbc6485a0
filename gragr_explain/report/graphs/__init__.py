"""The page of a model of whole graphs: each graph drawn, with what supports its prediction."""

from gragr_explain.report.graphs._cards import choose_graphs
from gragr_explain.report.graphs._page import render_graphs_page

__all__ = ["choose_graphs", "render_graphs_page"]
