"""The graphs of the benchmark: the synthetic Cora graphs at every homophily, and real ones."""

from __future__ import annotations

import copy
import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import from_scipy_sparse_matrix, to_undirected

from benchmarks._training import WEBKB, graph_of
from gragr_explain.errors import DatasetError

HETEROPHILIC, HOMOPHILIC = WEBKB, ("Cora-public", "CiteSeer-public")
REAL = (*HETEROPHILIC, *HOMOPHILIC)
SYNTHETIC = tuple(f"syn-cora {level / 10:.2f}" for level in range(11))


@lru_cache(maxsize=2)
def load(dataset: str, seed: int) -> tuple[Data, int]:
    """A graph without directions, with its split of this seed, and its number of classes.

    Web graphs have ten splits; their features are raw words. Citation graphs have one; their features are divided by
    the number of words. Synthetic graphs come with such features and are split at random, a quarter of each class to
    train on and a quarter to validate on, as Zhu et al. (2020) do.
    """
    if dataset in SYNTHETIC:
        return _synthetic(dataset.split()[1], seed)
    data, num_classes = graph_of(dataset, seed, dataset not in WEBKB)
    data = copy.copy(data)
    data.edge_index = to_undirected(data.edge_index)
    return data, num_classes


def homophily(labels: Tensor, data: Data) -> float:
    """The share of edges whose ends have the same label."""
    source, target = data.edge_index
    return float((labels[source] == labels[target]).double().mean())


def _synthetic(level: str, seed: int) -> tuple[Data, int]:
    if "GRAGR_DATA" not in os.environ:
        raise DatasetError("expected GRAGR_DATA to name the folder that holds syn_cora, got no such variable")
    with np.load(Path(os.environ["GRAGR_DATA"]) / "syn_cora" / f"h{level}-r1.npz", allow_pickle=False) as file:
        adjacency, x = (
            csr_matrix((file[f"{name}_data"], file[f"{name}_indices"], file[f"{name}_indptr"]), file[f"{name}_shape"])
            for name in ("adj", "attr")
        )
        y = torch.from_numpy(file["labels"]).long()
    edge_index = to_undirected(from_scipy_sparse_matrix(adjacency)[0])
    data = Data(x=torch.from_numpy(x.toarray()).float(), edge_index=edge_index, y=y)
    data.train_mask, data.val_mask, data.test_mask = torch.zeros(3, len(y), dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for label in y.unique():
        nodes = (y == label).nonzero().view(-1)
        nodes = nodes[torch.randperm(len(nodes), generator=generator)]
        quarter = len(nodes) // 4
        for mask, part in zip(
            (data.train_mask, data.val_mask, data.test_mask), nodes.tensor_split([quarter, 2 * quarter]), strict=True
        ):
            mask[part] = True
    return data, int(y.max()) + 1
