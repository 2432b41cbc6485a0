"""Sets of graphs with five tasks each."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch
import torch_geometric.datasets as pyg
from torch import Tensor
from torch_geometric.data import Batch, Data, InMemoryDataset

from gragr_explain.arguments import check_number
from gragr_explain.datasets._graph_properties import PROPERTIES, graph_properties
from gragr_explain.datasets._molecules import atom_features, read_molecules, scaffold_split
from gragr_explain.datasets._named import Source, read_source
from gragr_explain.datasets._splits import stratified
from gragr_explain.errors import DatasetError, InvalidArgumentError, InvalidTypeError
from gragr_explain.files import as_path


def _tu(name: str) -> Source:
    def read(root: str) -> InMemoryDataset:
        return pyg.TUDataset(f"{root}/TUDataset", name)

    return Source(name, f"TUDataset/{name}", read)


_TU = {name.lower(): _tu(name) for name in ("MUTAG", "PROTEINS")}
GRAPH_TASKS = ("MUTAG", "PROTEINS", "HIV")
"""The names that :func:`load_graph_tasks` knows; upper and lower case are the same to it."""


@dataclass(frozen=True)
class GraphTasks:
    """Graphs with several labels each, in three parts.

    Attributes:
        name: The name of the data set.
        train: The graphs to train on, each with ``x``, ``edge_index`` and labels ``y`` of shape ``[1, num_tasks]``.
        val: The graphs to choose by.
        test: The graphs to test on.
        task_names: The name of each task.
        num_classes: The number of classes of each task.
        thresholds: For each task but the first, the value above which a graph belongs to class 1.
    """

    name: str
    train: list[Data]
    val: list[Data]
    test: list[Data]
    task_names: tuple[str, ...]
    num_classes: tuple[int, ...]
    thresholds: tuple[float, ...]

    def balance(self, part: str = "train") -> Tensor:
        """The share of class 1 among the graphs of a part (``"train"``, ``"val"`` or ``"test"``), for each task."""
        return torch.cat([graph.y for graph in getattr(self, part)]).float().mean(0)


def load_graph_tasks(name: str, root: str | os.PathLike[str] | None = None, *, split: int = 0) -> GraphTasks:
    """Load graphs with five binary tasks each.

    The first task is the data set's own label. The others are properties counted in the graph, each *above the median
    of the training graphs* or not: ``size`` (nodes), ``cycles`` (independent ones: edges minus nodes plus components),
    ``branching`` (the standard deviation of the nodes' numbers of neighbours) and ``composition`` (the share of the
    commonest type of node).

    ``"MUTAG"`` and ``"PROTEINS"`` are split 80/10/10 by chance, each class of the first task in equal shares.
    ``"HIV"`` of MoleculeNet is split by Bemis-Murcko scaffolds, 80/10/10. Its molecules are read by RDKit the first
    time, which takes some minutes, and kept in ``root`` or the user's cache.

    Args:
        name: The name, in upper or lower case.
        root: The folder of the data, as in :func:`load_dataset`.
        split: The seed of the split; HIV has only split 0.

    Raises:
        DatasetError: If the data set is unknown, cannot be downloaded or is damaged, or RDKit is missing.
        InvalidArgumentError: If the data set has no such split.
        InvalidTypeError: If the name is no string, or the split no integer.

    Example:
        >>> tasks = load_graph_tasks("MUTAG")  # doctest: +SKIP
        >>> tasks.task_names, len(tasks.train)  # doctest: +SKIP
        (('label', 'size', 'cycles', 'branching', 'composition'), 150)
    """
    if not isinstance(name, str):
        raise InvalidTypeError(f"expected the name of a data set, got {type(name).__name__}")
    check_number("split", split, whole=True)
    key, folder = name.lower(), None if root is None else as_path(root)
    if key in _TU:
        check_number("a split", split, least=0)
        graphs = list(read_source(_TU[key], folder))
        together = Batch.from_data_list(graphs)
        properties = graph_properties(together.x.argmax(1), together.edge_index, together.batch)
        label = together.y
        part_of = stratified(label, (0.8, 0.9), split)
        parts = tuple((part_of == part).nonzero().view(-1) for part in range(3))
    elif key == "hiv":
        if split != 0:
            raise InvalidArgumentError(f"expected only split 0 of this data set, got {split}")
        graphs, properties, label, parts = _hiv(folder)
    else:
        raise DatasetError(f"unknown data set {name!r}: expected one of {', '.join(GRAPH_TASKS)}")
    thresholds = properties[parts[0]].median(0).values
    y = torch.cat([label.view(-1, 1), (properties > thresholds).long()], dim=1)
    train, val, test = (
        [Data(x=graphs[i].x, edge_index=graphs[i].edge_index, y=y[i : i + 1]) for i in part.tolist()] for part in parts
    )
    return GraphTasks(
        name=next(known for known in GRAPH_TASKS if known.lower() == key),
        train=train,
        val=val,
        test=test,
        task_names=("label", *PROPERTIES),
        num_classes=(2,) * y.size(1),
        thresholds=tuple(thresholds.tolist()),
    )


def _hiv(root: Path | None) -> tuple[list[Data], Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    molecules = read_molecules(root)
    nodes, edges = molecules["num_nodes"], molecules["num_edges"]
    features, edge_index = atom_features(molecules["x"]), molecules["edge_index"].long()
    graphs = [
        Data(x=x, edge_index=bonds)
        for x, bonds in zip(features.split(nodes.tolist()), edge_index.split(edges.tolist(), dim=1), strict=True)
    ]
    batch = torch.repeat_interleave(torch.arange(len(nodes)), nodes)
    offset = torch.repeat_interleave(nodes.cumsum(0) - nodes, edges)
    properties = graph_properties(molecules["x"][:, 0].long(), edge_index + offset, batch)
    return graphs, properties, molecules["y"], scaffold_split(molecules["scaffold"])
