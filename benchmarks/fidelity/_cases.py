"""Which models on which data are explained, and which of their predictions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops

from benchmarks.fidelity._instance import Instance, Problem
from benchmarks.fidelity._models import (
    BACKBONES,
    GRAPH_TRAINING,
    MOTIF_TRAINING,
    NODE_TRAINING,
    graph_accuracy,
    graph_model,
    motif_model,
    node_model,
)
from benchmarks.fidelity._motifs import MOTIF_DATASETS, NUM_MOTIFS, motif_graph
from gragr_explain.datasets import load_dataset, load_graph_tasks
from gragr_explain.explain._ego import EgoGraphs
from gragr_explain.history import message_passing_layers

NODE_DATASETS = ("Cora", "CiteSeer", "Cornell", "Texas", "Wisconsin", "digits")
GRAPH_DATASETS = ("MUTAG", "PROTEINS")
DATASETS = (*NODE_DATASETS, *GRAPH_DATASETS, *MOTIF_DATASETS)
INSTANCES, TRAINING_INSTANCES, VALIDATION_INSTANCES = 50, 30, 20
_TOLERANCE = 1e-4

__all__ = [
    "BACKBONES",
    "DATASETS",
    "GRAPH_DATASETS",
    "INSTANCES",
    "MOTIF_DATASETS",
    "NODE_DATASETS",
    "describe",
    "level_of",
    "problem",
    "recipe",
]


def level_of(dataset: str) -> str:
    """``"graph"`` where graphs are classified, ``"node"`` where nodes are."""
    return "graph" if dataset in GRAPH_DATASETS else "node"


def recipe(dataset: str, backbone: str) -> dict[str, Any]:
    """What the results on a case depend on, beside the code of the package: how it is drawn and trained."""
    if dataset in MOTIF_DATASETS:
        training = {**MOTIF_TRAINING[backbone], "motifs": NUM_MOTIFS}
    elif dataset in GRAPH_DATASETS:
        training = GRAPH_TRAINING[dataset]
    else:
        training = NODE_TRAINING.get((dataset, backbone), {})
    return {"dataset": dataset, "backbone": backbone, "version": 1, **training}


@lru_cache(maxsize=2)
def problem(dataset: str, backbone: str, seed: int = 0) -> Problem:
    """A trained model, and predictions of it to explain.

    Data, splits and the draw of instances are the same for all backbones and seeds. Instances are drawn from the test
    nodes (or graphs) that have an edge, before anything is explained and whatever is predicted for them. Where there
    are fewer than 50, the rest is drawn from validation nodes on which no setting is chosen. On generated graphs they
    are drawn from the nodes of motifs.

    Args:
        dataset: One of :data:`DATASETS`.
        backbone: One of :data:`BACKBONES`.
        seed: Seed of the model's first weights.
    """
    if level_of(dataset) == "graph":
        return _graph_problem(dataset, backbone, seed)
    if dataset in MOTIF_DATASETS:
        # all messages of a GAT are alike where all features are, and attention adds up to one: it sees no structure
        data = motif_graph(dataset, with_degree=backbone == "GAT")
        num_classes = int(data.y.max()) + 1
        model = motif_model(dataset, backbone, data, num_classes, seed)
    else:
        loaded = load_dataset(dataset)
        # PyG's AttentionExplainer and GraphMaskExplainer misplace the masks of graphs that have self-loops
        data = loaded.data.clone()
        data.edge_index = remove_self_loops(data.edge_index)[0]
        num_classes = len(loaded.class_names)
        model = node_model(dataset, backbone, data, num_classes, seed)
    return _node_problem(dataset, backbone, model, data, num_classes)


def describe(job: dict[str, Any]) -> list[dict[str, Any]]:
    """One row of what a case is: the model's accuracies, and the instances that are explained.

    Args:
        job: ``dataset``, ``backbone``, ``instances`` and ``seed``.
    """
    case = problem(job["dataset"], job["backbone"], job["seed"])
    chosen = case.instances[: job["instances"]]
    heard = sorted(int(instance.heard.sum()) for instance in chosen)
    return [
        {
            **{f"accuracy_{part}": share for part, share in case.accuracy.items()},
            "explained": len(chosen),
            "right": sum(instance.predicted == instance.label for instance in chosen),
            "heard_median": heard[len(heard) // 2],
            "heard_max": heard[-1],
        }
    ]


def _node_problem(dataset: str, backbone: str, model: nn.Module, data: Data, num_classes: int) -> Problem:
    with torch.no_grad():
        output = model(data.x, data.edge_index)
    hit = (output.argmax(-1) == data.y).float()
    has_edge = torch.bincount(data.edge_index[1], minlength=data.num_nodes) > 0
    eligible = has_edge & (data.node_motif >= 0) if "node_motif" in data else has_edge
    parts = [(data[f"{part}_mask"] & eligible).nonzero().view(-1).tolist() for part in ("train", "val", "test")]
    # only GCN's messages depend on the degrees of their senders, of which the outermost take a rim of edges to be true
    cut = _Cut(data, len(message_passing_layers(model)), with_degrees=backbone == "GCN")
    drawn = [[cut.instance(model, output, node) for node in nodes] for nodes in _draw(*parts)]
    return Problem(
        dataset=dataset,
        backbone=backbone,
        level="node",
        model=model,
        accuracy={part: float(hit[data[f"{part}_mask"]].mean()) for part in ("train", "val", "test")},
        training_instances=drawn[0],
        validation_instances=drawn[1],
        instances=drawn[2],
        graphs=[data],
        num_classes=num_classes,
    )


def _graph_problem(dataset: str, backbone: str, seed: int) -> Problem:
    tasks = load_graph_tasks(dataset)
    graphs = [
        Data(x=graph.x, edge_index=graph.edge_index, y=graph.y[0, :1])
        for graph in (*tasks.train, *tasks.val, *tasks.test)
    ]
    num_test = max(len(graphs) // 10, INSTANCES)
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0)).tolist()
    test, val, train = order[:num_test], order[num_test : num_test + len(graphs) // 10], order[num_test:]
    train = train[len(val) :]
    parts = {"train": train, "val": val, "test": test}
    chosen = {name: [graphs[index] for index in part] for name, part in parts.items()}
    model = graph_model(dataset, backbone, chosen["train"], chosen["val"], tasks.num_classes[0], seed)
    with_edges = [[index for index in part if graphs[index].num_edges > 0] for part in parts.values()]
    drawn = [[_whole(model, index, graphs[index]) for index in part] for part in _draw(*with_edges)]
    return Problem(
        dataset=dataset,
        backbone=backbone,
        level="graph",
        model=model,
        accuracy={name: graph_accuracy(model, part) for name, part in chosen.items()},
        training_instances=drawn[0],
        validation_instances=drawn[1],
        instances=drawn[2],
        graphs=graphs,
        num_classes=tasks.num_classes[0],
    )


def _draw(train: Sequence[int], val: Sequence[int], test: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Which are trained on, chosen by and explained."""
    generator = torch.Generator().manual_seed(0)

    def shuffled(part: Sequence[int]) -> list[int]:
        return [part[place] for place in torch.randperm(len(part), generator=generator).tolist()]

    train, val, test = shuffled(train), shuffled(val), shuffled(test)
    spare = val[VALIDATION_INSTANCES:]
    return train[:TRAINING_INSTANCES], val[:VALIDATION_INSTANCES], (test + spare)[:INSTANCES]


class _Cut:
    """Cuts the computation graphs of nodes out of a graph."""

    def __init__(self, data: Data, num_layers: int, *, with_degrees: bool) -> None:
        self.data = data
        self.part = EgoGraphs(data.edge_index, data.num_nodes, num_layers, rim=with_degrees)
        self.heard = EgoGraphs(data.edge_index, data.num_nodes, num_layers, rim=False)

    def instance(self, model: nn.Module, output: Tensor, node: int) -> Instance:
        """The computation graph of a node, of which the prediction must be what it is on the whole graph."""
        data, union = self.data, self.part.cut(torch.tensor([node]))
        heard = self.heard.cut(torch.tensor([node])).edge
        x, index = data.x[union.node], int(union.centre)
        with torch.no_grad():
            found = model(x, union.edge_index)[index]
        if not torch.allclose(found, output[node], atol=_TOLERANCE, rtol=_TOLERANCE):
            raise AssertionError(f"node {node}: expected {output[node].tolist()}, got {found.tolist()} of its part")
        truth = None
        if "node_motif" in data:
            truth = data.edge_motif[union.edge] == data.node_motif[node]
        return Instance(
            name=node,
            x=x,
            edge_index=union.edge_index,
            index=index,
            predicted=int(output[node].argmax()),
            label=int(data.y[node]),
            heard=torch.isin(union.edge, heard),
            truth=truth,
            origin=union.edge,
            nodes=union.node,
        )


@torch.no_grad()
def _whole(model: nn.Module, name: int, graph: Data) -> Instance:
    """A graph of its own."""
    output = model(graph.x, graph.edge_index, torch.zeros(graph.num_nodes, dtype=torch.long))
    return Instance(
        name=name,
        x=graph.x,
        edge_index=graph.edge_index,
        index=0,
        predicted=int(output.argmax()),
        label=int(graph.y),
        heard=torch.ones(graph.num_edges, dtype=torch.bool),
    )
