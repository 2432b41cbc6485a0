"""Generated graphs of which the explanation is known: motifs that hang on a graph without any."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.datasets import BAShapes, ExplainerDataset
from torch_geometric.datasets.graph_generator import BAGraph, ERGraph, GraphGenerator, TreeGraph
from torch_geometric.datasets.motif_generator import CycleMotif, GridMotif, HouseMotif, MotifGenerator
from torch_geometric.utils import degree

from gragr_explain.datasets._splits import draw_split

NUM_MOTIFS = 80
NUM_FEATURES = 10
BASES: dict[str, Callable[[], GraphGenerator]] = {
    "BA": lambda: BAGraph(num_nodes=300, num_edges=5),
    "ER": lambda: ERGraph(num_nodes=300, edge_prob=0.02),
    "tree": lambda: TreeGraph(depth=8, branch=2, undirected=True),
}
MOTIFS: dict[str, Callable[[], MotifGenerator]] = {
    "house": HouseMotif,
    "cycle": lambda: CycleMotif(6),
    "grid": GridMotif,
}
MOTIF_DATASETS = ("BAShapes", *(f"{base}-{motif}" for base in BASES for motif in MOTIFS))


def motif_graph(name: str, *, with_degree: bool = False, seed: int = 0) -> Data:
    """Generate a graph with motifs, the same for a name and seed.

    Args:
        name: One of :data:`MOTIF_DATASETS`.
        with_degree: Whether the first feature is the logarithm of the degree; all others are one.
        seed: Seed of the graph and of its split, 60 % of each class for training and 20 % for validation.

    Returns:
        A graph with ``x``, ``edge_index``, ``y``, the three masks, and the motif that a node or an edge belongs to, -1
        for none: ``node_motif`` of shape ``[num_nodes]`` and ``edge_motif`` of shape ``[num_edges]``.

    Example:
        >>> data = motif_graph("tree-cycle")
        >>> int(data.edge_motif.max()) + 1, (data.edge_motif == 0).sum()
        (80, tensor(12))
    """
    numbers = np.random.get_state()  # noqa: NPY002 - what PyG draws from
    try:
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyG would have BAShapes replaced by its own parts
            np.random.seed(seed)  # noqa: NPY002
            torch.manual_seed(seed)
            if name == "BAShapes":
                drawn = BAShapes()[0]
                inside = drawn.edge_label == 1
            else:
                base, motif = name.split("-")
                drawn = ExplainerDataset(BASES[base](), MOTIFS[motif](), NUM_MOTIFS)[0]
                inside = drawn.edge_mask == 1
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
    edge_index, y = drawn.edge_index, drawn.y
    x = torch.ones(y.numel(), NUM_FEATURES)
    if with_degree:
        x[:, 0] = degree(edge_index[1], y.numel()).log1p()
    node_motif = _components(edge_index[:, inside], y.numel())
    edge_motif = torch.where(inside, node_motif[edge_index[0]], -1)
    masks = draw_split(y, seed)
    return Data(x=x, edge_index=edge_index, y=y, node_motif=node_motif, edge_motif=edge_motif, **masks)


def _components(edge_index: Tensor, num_nodes: int) -> Tensor:
    """The number of the component that each node with an edge is in, -1 for all others, ``[num_nodes]``."""
    row, column = edge_index.numpy()
    links = coo_array((np.ones(row.size), (row, column)), shape=(num_nodes, num_nodes))
    component = torch.from_numpy(connected_components(links, directed=False)[1]).long()
    found = torch.full((num_nodes,), -1)
    touched = edge_index.unique()
    found[touched] = torch.unique(component[touched], return_inverse=True)[1]
    return found
