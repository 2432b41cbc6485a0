"""Graphs to train on: by name, handwritten digits, or from a file."""

from gragr_explain.datasets._dataset import GraphDataset
from gragr_explain.datasets._load import DATASETS, load_dataset

__all__ = ["DATASETS", "GraphDataset", "load_dataset"]
