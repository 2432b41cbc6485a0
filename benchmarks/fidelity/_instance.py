"""One prediction that is explained, and what a model says of it under masks of edges."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from gragr_explain.messages import masked_output

_NUMBERS_AT_ONCE = 30_000_000


@dataclass(frozen=True)
class Instance:
    """One prediction of a trained model, with the graph it is computed from.

    Attributes:
        name: The node or graph of the data set.
        x: Node features of the node's computation graph or of the graph, ``[num_nodes, num_features]``. For GCN, a
            computation graph has a rim of edges that gives its outermost nodes their true degrees.
        edge_index: Its edges, ``[2, num_edges]``.
        index: The explained node in it; 0 for a graph.
        predicted: The predicted class.
        label: The true class.
        heard: Which edges can reach the prediction, ``[num_edges]``: the computation graph of hard masks' shares.
        truth: Which edges belong to the motif, ``[num_edges]``, where that is known.
        origin: The edges of the whole graph that they are, ``[num_edges]``.
        nodes: The nodes of the whole graph that its nodes are, ``[num_nodes]``.
    """

    name: int
    x: Tensor
    edge_index: Tensor
    index: int
    predicted: int
    label: int
    heard: Tensor
    truth: Tensor | None = None
    origin: Tensor | None = None
    nodes: Tensor | None = None

    @property
    def num_edges(self) -> int:
        """The number of edges."""
        return self.edge_index.size(1)


@dataclass(frozen=True)
class Problem:
    """A trained model and the predictions of it that are explained.

    Attributes:
        dataset: The data set.
        backbone: The kind of model.
        level: ``"node"`` or ``"graph"``.
        model: The model, in evaluation mode. Graph models are called with ``batch``.
        accuracy: By ``"train"``, ``"val"`` and ``"test"``.
        instances: What is explained: drawn from the test nodes or graphs before anything is explained.
        training_instances: From the training nodes or graphs, for explainers that are trained.
        validation_instances: From the validation nodes or graphs, for choosing settings.
        graphs: The whole graph of a node-level problem (one), or all graphs.
        num_classes: The number of classes.
    """

    dataset: str
    backbone: str
    level: str
    model: nn.Module
    accuracy: dict[str, float]
    instances: list[Instance]
    training_instances: list[Instance]
    validation_instances: list[Instance]
    graphs: list[Data] = field(repr=False)
    num_classes: int

    def arguments(self, num_nodes: int) -> dict[str, Tensor]:
        """What the model takes beside features and edges of one graph."""
        return {"batch": torch.zeros(num_nodes, dtype=torch.long)} if self.level == "graph" else {}


@torch.no_grad()
def probabilities(
    problem: Problem, instance: Instance, masks: Tensor, features: Tensor | None = None, *, at_once: int | None = None
) -> Tensor:
    """The class probabilities of an instance under many masks, in few passes.

    Args:
        problem: The model.
        instance: The graph.
        masks: Factors on the messages of edges, ``[num_masks, num_edges]``.
        features: Features under each mask, ``[num_masks, num_nodes, num_features]``; the instance's own if ``None``.
        at_once: How many masks a pass takes; by default as many as fit some hundred MiB.

    Returns:
        Probabilities of shape ``[num_masks, num_classes]``.
    """
    size = max(instance.x.numel() + 64 * instance.num_edges, instance.num_edges * instance.x.size(1), 1)
    at_once = at_once or max(1, _NUMBERS_AT_ONCE // size)
    found = []
    for start in range(0, masks.size(0), at_once):
        part = masks[start : start + at_once]
        xs = [instance.x] * len(part) if features is None else list(features[start : start + at_once])
        copies = Batch.from_data_list([Data(x=x, edge_index=instance.edge_index) for x in xs])
        arguments = {"batch": copies.batch} if problem.level == "graph" else {}
        output = masked_output(problem.model, part.reshape(-1), copies.x, copies.edge_index, **arguments)
        rows = copies.ptr[:-1] + instance.index if problem.level == "node" else slice(None)
        found.append(output[rows].softmax(-1))
    return torch.cat(found)
