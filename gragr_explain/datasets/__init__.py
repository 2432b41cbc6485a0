"""Graphs to train on: by name, handwritten digits, from a file; and many graphs with five tasks."""

from gragr_explain.datasets._dataset import GraphDataset
from gragr_explain.datasets._graph_tasks import GRAPH_TASKS, GraphTasks, load_graph_tasks
from gragr_explain.datasets._load import DATASETS, load_dataset

__all__ = ["DATASETS", "GRAPH_TASKS", "GraphDataset", "GraphTasks", "load_dataset", "load_graph_tasks"]
