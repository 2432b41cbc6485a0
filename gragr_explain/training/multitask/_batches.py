"""Graphs with several labels, collated once, and their losses."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Batch, Data

from gragr_explain.errors import InvalidGraphError, InvalidTypeError, UnsupportedModelError
from gragr_explain.inputs import check_data, forward_arguments, trial_output
from gragr_explain.training.multitask._model import MultiTaskModel


@dataclass(frozen=True, eq=False)
class TaskBatch:
    """Several graphs as one.

    Attributes:
        x: Node features of shape ``[num_nodes, num_features]``.
        edge_index: Edges of shape ``[2, num_edges]``.
        edges: What the encoder takes of the edges, by name: ``edge_weight``, ``edge_attr``.
        batch: The graph of each node, of shape ``[num_nodes]``.
        y: Labels of shape ``[num_tasks, num_graphs]``, -1 where there is none.
        present: The tasks that have a label in this batch.
    """

    x: Tensor
    edge_index: Tensor
    edges: dict[str, Tensor]
    batch: Tensor
    y: Tensor
    present: tuple[int, ...]

    @property
    def num_graphs(self) -> int:
        """The number of graphs."""
        return self.y.size(1)

    def represented(self, model: MultiTaskModel) -> Tensor:
        """The shared representation of each graph, of shape ``[num_graphs, channels]``."""
        return model.represent(self.x, self.edge_index, self.batch, self.num_graphs, **self.edges)

    def logits(self, model: MultiTaskModel) -> list[Tensor]:
        """The class scores of each task, of shape ``[num_graphs, num_classes]``."""
        return model(self.x, self.edge_index, self.batch, **self.edges)


def check_graphs(graphs: Sequence[Data], num_classes: Sequence[int], name: str) -> list[Tensor]:
    """Check graphs and their labels.

    Args:
        graphs: Graphs with labels ``y`` of ``num_tasks`` numbers: classes, or -1 or NaN where there is none.
        num_classes: The number of classes of each task.
        name: What the graphs are for, as an error shall call it.

    Returns:
        The labels of each graph, integers of shape ``[num_tasks]``.

    Raises:
        InvalidTypeError: If they are no list or data set, or one of them is no graph.
        InvalidGraphError: If there is no graph, a graph cannot be used, or labels are missing or out of range.
    """
    if not (hasattr(graphs, "__len__") and hasattr(graphs, "__getitem__")):
        raise InvalidTypeError(f"expected graphs for {name} as a list or a data set, got {type(graphs).__name__}")
    if len(graphs) == 0:
        raise InvalidGraphError(f"expected at least one graph for {name}, got none")
    expected = len(num_classes)
    labels = []
    for place, graph in enumerate(graphs):
        check_data(graph)
        y = graph.get("y")
        if not isinstance(y, Tensor) or y.numel() != expected:
            got = list(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise InvalidGraphError(f"expected y of shape [1, {expected}] in graph {place} for {name}, got {got}")
        labels.append(torch.nan_to_num(y.detach().view(-1).double(), nan=-1.0))
    y = torch.stack(labels)
    bad = (y < -1) | (y >= torch.tensor(num_classes, device=y.device)) | (y != y.round())
    if bool(bad.any()):
        graph, task = bad.nonzero()[0].tolist()
        raise InvalidGraphError(
            f"expected a class in [0, {num_classes[task] - 1}], or -1 or NaN for no label, "
            f"got {float(y[graph, task]):g} in task {task} of graph {graph} for {name}"
        )
    return list(y.long())


def check_encoder(model: MultiTaskModel, graph: Data) -> None:
    """Call a model's encoder with a graph once, which gives lazy layers their shapes.

    Raises:
        UnsupportedModelError: If it cannot be called so, or its encoder returns something else than it was said to.
        InvalidGraphError: If it cannot take the graph's features.
    """
    graph = copy.copy(graph).to(str(next(model.parameters()).device))
    found, channels = trial_output(model.encoder, graph), model.heads[0].in_features
    if not isinstance(found, Tensor) or found.shape != (graph.x.size(0), channels):
        got = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise UnsupportedModelError(
            f"expected an encoder that returns representations of shape [{graph.x.size(0)}, {channels}], got {got}"
        )


def collate(
    graphs: Sequence[Data],
    labels: Sequence[Tensor],
    order: Sequence[int],
    batch_size: int,
    model: MultiTaskModel,
) -> list[TaskBatch]:
    """Put graphs into batches, in the order given, on the model's device, with what its encoder takes of edges."""
    device, encoder = next(model.parameters()).device, model.encoder
    batches = []
    for start in range(0, len(order), batch_size):
        chosen = order[start : start + batch_size]
        parts = [
            Data(x=graphs[i].x, edge_index=graphs[i].edge_index, **forward_arguments(encoder, graphs[i]))
            for i in chosen
        ]
        together = Batch.from_data_list(parts).to(device)
        y = torch.stack([labels[i] for i in chosen], dim=1).to(device)
        present = tuple((y >= 0).any(1).nonzero().view(-1).tolist())
        edges = forward_arguments(encoder, together)
        edges.pop("batch", None)  # which the model hands on itself
        batches.append(TaskBatch(together.x, together.edge_index, edges, together.batch, y, present))
    return batches


def task_losses(logits: Sequence[Tensor], batch: TaskBatch) -> list[Tensor]:
    """The mean cross entropy of each task over its labelled graphs; zero, with no gradient, for a task without any."""
    return [
        F.cross_entropy(scores, y, ignore_index=-1) if task in batch.present else scores.sum() * 0
        for task, (scores, y) in enumerate(zip(logits, batch.y, strict=True))
    ]
