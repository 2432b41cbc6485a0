"""Handwritten digits as a graph."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph
from torch_geometric.data import Data
from torch_geometric.utils import from_scipy_sparse_matrix

from gragr_explain.datasets._dataset import GraphDataset
from gragr_explain.datasets._splits import draw_split

NEIGHBOURS = 10


def digits(split: int) -> GraphDataset:
    """Scikit-learn's 1,797 handwritten digits, each joined to the ten most similar, and to whom it is most similar.

    The features are the 64 pixels of a picture, from 0 (paper) to 1 (ink). Nothing is downloaded.

    Args:
        split: The seed by which 60 % of each class are drawn for training and 20 % for validation.
    """
    source = load_digits()
    height, width = source.images.shape[1:]
    pixels = source.data / 16
    nearest = kneighbors_graph(pixels, NEIGHBOURS)
    edge_index, _ = from_scipy_sparse_matrix(nearest.maximum(nearest.T))
    y = torch.from_numpy(source.target).long()
    return GraphDataset(
        name="digits",
        data=Data(x=torch.from_numpy(pixels).float(), edge_index=edge_index.long(), y=y, **draw_split(y, split)),
        class_names=tuple(str(digit) for digit in source.target_names),
        feature_names=tuple(f"pixel ({row}, {column})" for row in range(height) for column in range(width)),
        image_shape=(height, width),
    )
