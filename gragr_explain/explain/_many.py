"""Explaining many nodes, or many graphs, at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from torch import Tensor
from torch_geometric.data import Data, Dataset
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ExplanationType, ModelTaskLevel
from tqdm.auto import tqdm

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.explain._context import ModelContext
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._facts import Edge, Feature, output_facts
from gragr_explain.explain._many_graphs import explain_graphs
from gragr_explain.explain._node_parts import Inputs
from gragr_explain.explain._result import GraphExplanations, NodeExplanations
from gragr_explain.explain._strongest import strongest_edges, strongest_features
from gragr_explain.explain._union import sums_of_parts
from gragr_explain.history import message_passing_layers
from gragr_explain.inputs import check_data, check_index, forward_arguments, trial_output

_AT_MOST_AT_ONCE = 64


@overload
def explain_many(
    explainer: Explainer,
    data: Data,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> NodeExplanations: ...


@overload
def explain_many(  # type: ignore[overload-cannot-match]  # without PyG's types, everything is Data
    explainer: Explainer,
    data: Sequence[Data] | Dataset,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> GraphExplanations: ...


def explain_many(
    explainer: Explainer,
    data: Data | Sequence[Data] | Dataset,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> NodeExplanations | GraphExplanations:
    """Explain many nodes of a graph, or many graphs, in batches.

    A batch is explained as one disjoint union, with one backward pass: of the nodes' computation graphs, or of the
    graphs. Where a model's prediction depends on more than that (a normalisation over the whole graph or over the
    batch, a cache), which is tested on every batch, predictions are explained one after another instead, each node on
    the whole graph, each graph alone. Both give what ``explainer(data.x, data.edge_index, index=node)`` gives, and
    ``explainer(graph.x, graph.edge_index)``.

    Graphs have no psi and no embeddings here: those of a graph's nodes are post hoc, and relative to the other nodes
    of their graph, which takes longer than all of the rest; ``explainer(graph.x, graph.edge_index).psi`` has them.

    Args:
        explainer: A :class:`~torch_geometric.explain.Explainer` for nodes or graphs whose algorithm is a
            :class:`GradientContextExplainer`.
        data: For nodes, their graph, with ``x`` and ``edge_index``; for graphs, a sequence of such, or a
            :class:`~torch_geometric.data.Dataset`. ``edge_weight`` and ``edge_attr`` are passed to models that take
            them, and so is ``batch``; ``y`` is reported as the true label (and explained, where a phenomenon is).
        index: The nodes, or graphs, to explain; all if ``None``.
        top_edges: How many of the edges that support a prediction are kept.
        top_features: How many of the features that support a prediction are kept.
        memory_mb: How much memory, about, a batch may take, in MiB. A batch has at least one node or graph, whatever
            memory that takes.
        progress: Whether to show a progress bar.

    Raises:
        InvalidTypeError: If the explainer's algorithm is another, or an input of the wrong type.
        InvalidArgumentError: If the explainer is for edges, or a number is not positive.
        InvalidGraphError: If a graph cannot be used, or the graphs are not of one kind.
        UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
        InvalidIndexError: If a node is not in the graph, or a graph not in the sequence.
        HistoryMismatchError: If the history was recorded on another graph.

    Example:
        >>> from torch_geometric.nn import GCN
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> len(explain_many(explainer, data, [0, 3], progress=False))
        2
    """
    algorithm = explainer.algorithm
    if not isinstance(algorithm, GradientContextExplainer):
        raise InvalidTypeError(f"expected an Explainer with a GradientContextExplainer, got {algorithm}")
    level = explainer.model_config.task_level
    if level not in (ModelTaskLevel.node, ModelTaskLevel.graph):
        raise InvalidArgumentError(
            f"expected an Explainer of a node-level or graph-level model, got one of task level {level.value!r}"
        )
    for name, number in (("top_edges", top_edges), ("top_features", top_features), ("memory_mb", memory_mb)):
        if number < 1:
            raise InvalidArgumentError(f"expected {name} of at least 1, got {number}")
    if level == ModelTaskLevel.graph:
        return explain_graphs(explainer, algorithm, data, index, top_edges, top_features, memory_mb, progress)
    return _explain_nodes(explainer, algorithm, data, index, top_edges, top_features, memory_mb, progress)


def _explain_nodes(
    explainer: Explainer,
    algorithm: GradientContextExplainer,
    data: Any,
    index: Any,
    top_edges: int,
    top_features: int,
    memory_mb: int,
    progress: bool,
) -> NodeExplanations:
    """Explain many nodes; see :func:`explain_many`."""
    check_data(data)
    message_passing_layers(explainer.model)
    chosen = check_index(index, data.x.size(0), data.x.device)
    nodes = torch.arange(data.x.size(0), device=data.x.device) if chosen is None else chosen

    was_training = explainer.model.training
    explainer.model.eval()
    try:
        job = _Job.prepare(explainer, algorithm, data)
        edges: list[list[Edge]] = []
        features: list[list[Feature]] = []
        with tqdm(total=nodes.numel(), desc="explaining", unit="node", disable=not progress) as bar:
            for found_edges, found_features in job.run(nodes, top_edges, top_features, memory_mb):
                edges += found_edges
                features += found_features
                bar.update(len(found_edges))
    finally:
        explainer.model.train(was_training)

    shared, label = job.shared, _labels(data, nodes)
    facts = [
        output_facts(
            node,
            "node",
            shared,
            edges[row],
            features[row],
            label=None if label is None else int(label[row]),
            class_names=algorithm.class_names,
            feature_names=algorithm.feature_names,
        )
        for row, node in enumerate(nodes.tolist())
    ]
    confidence = shared.confidence
    return NodeExplanations(
        index=nodes,
        prediction=shared.prediction[nodes],
        confidence=torch.full(nodes.shape, torch.nan, device=nodes.device) if confidence is None else confidence[nodes],
        label=label,
        context=shared.gradients,
        all_predictions=shared.prediction,
        embedding=shared.embedding[nodes],
        hidden=shared.hidden,
        edges=edges,
        features=features,
        rationales=algorithm.writer(facts),
        class_names=algorithm.class_names,
        feature_names=algorithm.feature_names,
    )


@dataclass(frozen=True)
class _Job:
    """A model, its graph, and what the explanations of all nodes share."""

    explainer: Explainer
    algorithm: GradientContextExplainer
    inputs: Inputs
    target: Tensor
    shared: ModelContext

    @classmethod
    def prepare(cls, explainer: Explainer, algorithm: GradientContextExplainer, data: Data) -> _Job:
        trial_output(explainer.model, data)  # before PyG runs the model, which would fail in its own way
        arguments = forward_arguments(explainer.model, data)
        if explainer.explanation_type == ExplanationType.phenomenon:
            if data.y is None:
                raise InvalidGraphError("explaining a phenomenon needs the labels data.y, got none")
            target = data.y
        else:
            target = explainer.get_target(explainer.get_prediction(data.x, data.edge_index, **arguments))
        shared = algorithm.context(explainer.model, data.x, data.edge_index, target=target, **arguments)
        return cls(explainer, algorithm, Inputs(data.x, data.edge_index, arguments), target, shared)

    def run(
        self, nodes: Tensor, top_edges: int, top_features: int, memory_mb: int
    ) -> Iterator[tuple[list[list[Edge]], list[list[Feature]]]]:
        """The strongest edges and features of each node, batch by batch."""
        at_once, start = 1, 0
        while start < nodes.numel():
            found = self.algorithm.explain_nodes(
                self.explainer.model,
                self.inputs,
                nodes[start : start + at_once],
                self.target,
                self.shared,
                memory_mb * 2**20,
            )
            assert found.part is not None
            ego = found.part.ego
            yield (
                strongest_edges(
                    found.edge_mask, self.shared.messages[:, ego.edge], ego.edge_graph, ego.num_graphs, top_edges
                ),
                strongest_features(sums_of_parts(found.features, found.part.union), top_features),
            )
            start, at_once = start + ego.num_graphs, min(2 * ego.num_graphs, _AT_MOST_AT_ONCE)


def _labels(data: Data, nodes: Tensor) -> Tensor | None:
    y: Any = data.y
    if not isinstance(y, Tensor) or y.is_floating_point() or y.numel() != data.x.size(0):
        return None
    return y.view(-1)[nodes]
