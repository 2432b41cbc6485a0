"""Explanations of any number of nodes, written while they are made, from one process or many."""

from gragr_explain.streaming._explanations import read_explanations
from gragr_explain.streaming._export import Export, open_export
from gragr_explain.streaming._ray import export_on_ray
from gragr_explain.streaming._stream import stream_export

__all__ = ["Export", "export_on_ray", "open_export", "read_explanations", "stream_export"]
