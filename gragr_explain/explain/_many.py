"""Explaining many nodes at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ExplanationType, ModelTaskLevel
from tqdm.auto import tqdm

from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidTypeError
from gragr_explain.explain._context import ModelContext
from gragr_explain.explain._ego import EgoGraphs, EgoUnion
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._facts import Edge, Feature, output_facts
from gragr_explain.explain._gradients import input_gradients
from gragr_explain.explain._objective import support
from gragr_explain.explain._result import NodeExplanations
from gragr_explain.history import message_passing_layers
from gragr_explain.inputs import check_data, check_index, forward_arguments, trial_output

_AT_MOST_AT_ONCE = 256


def explain_many(
    explainer: Explainer,
    data: Data,
    index: Tensor | Sequence[int] | int | None = None,
    *,
    top_edges: int = 10,
    top_features: int = 10,
    memory_mb: int = 512,
    progress: bool = True,
) -> NodeExplanations:
    """Explain many nodes, in batches.

    The computation graphs of a batch of nodes are explained as one disjoint union, with one backward pass. Where a
    model's prediction of a node depends on more than its computation graph (a normalisation over the whole graph, a
    cache), which is tested on every batch, nodes are explained on the whole graph one after another instead. Both
    give what ``explainer(data.x, data.edge_index, index=node)`` gives.

    Args:
        explainer: A :class:`~torch_geometric.explain.Explainer` for nodes whose algorithm is a
            :class:`GradientContextExplainer`.
        data: The graph, with ``x`` and ``edge_index``; ``edge_weight`` and ``edge_attr`` are passed to models that
            take them, ``y`` is reported as the true label (and explained, where a phenomenon is).
        index: The nodes to explain; all if ``None``.
        top_edges: How many of the edges that support a prediction are kept.
        top_features: How many of the features that support a prediction are kept.
        memory_mb: How much memory, about, a batch may take, in MiB. A batch has at least one node.
        progress: Whether to show a progress bar.

    Raises:
        InvalidTypeError: If the explainer's algorithm is another, or an input of the wrong type.
        InvalidArgumentError: If the explainer is not for nodes, or a number is not positive.
        InvalidGraphError: If the graph cannot be used.
        UnsupportedModelError: If the model has no message-passing layers, or its edges cannot be masked.
        InvalidIndexError: If a node is not in the graph.
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
    if explainer.model_config.task_level != ModelTaskLevel.node:
        level = explainer.model_config.task_level.value
        raise InvalidArgumentError(f"expected an Explainer of a node-level model, got one of task level {level!r}")
    for name, number in (("top_edges", top_edges), ("top_features", top_features), ("memory_mb", memory_mb)):
        if number < 1:
            raise InvalidArgumentError(f"expected {name} of at least 1, got {number}")
    check_data(data)
    message_passing_layers(explainer.model)
    trial_output(explainer.model, data)  # before PyG runs the model, which would fail in its own way
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
    data: Data
    arguments: dict[str, Tensor]
    target: Tensor
    shared: ModelContext

    @classmethod
    def prepare(cls, explainer: Explainer, algorithm: GradientContextExplainer, data: Data) -> _Job:
        arguments = forward_arguments(explainer.model, data)
        if explainer.explanation_type == ExplanationType.phenomenon:
            if data.y is None:
                raise InvalidGraphError("explaining a phenomenon needs the labels data.y, got none")
            target = data.y
        else:
            target = explainer.get_target(explainer.get_prediction(data.x, data.edge_index, **arguments))
        shared = algorithm.context(explainer.model, data.x, data.edge_index, target=target, **arguments)
        return cls(explainer, algorithm, data, arguments, target, shared)

    def run(
        self, nodes: Tensor, top_edges: int, top_features: int, memory_mb: int
    ) -> Iterator[tuple[list[list[Edge]], list[list[Feature]]]]:
        """The strongest edges and features of each node, batch by batch."""
        model, data = self.explainer.model, self.data
        layers = message_passing_layers(model)
        cut = EgoGraphs(data.edge_index, data.x.size(0), len(layers), layers[0].flow)
        union_works = not _looks_beyond(model)
        at_once, numbers = _AT_MOST_AT_ONCE if union_works else 1, memory_mb * 2**18
        start = 0
        while start < nodes.numel():
            batch = nodes[start : start + at_once]
            union = cut.cut(batch) if union_works else self._whole(batch)
            size = 4 * union.node.numel() * data.x[0].numel() + 6 * union.edge.numel() * self.shared.hidden.size(1)
            if size > numbers and batch.numel() > 1:
                at_once = max(1, batch.numel() * numbers // (2 * size), batch.numel() // 8)
                continue
            edge_evidence, node_evidence, output = self._evidence(batch, union)
            if union_works and not _close(output, self.shared.output[batch]):
                union_works, at_once = False, 1
                continue
            yield (
                self._strongest_edges(edge_evidence, union, batch.numel(), top_edges),
                self._strongest_features(node_evidence, union, batch.numel(), top_features),
            )
            start += batch.numel()

    def _whole(self, batch: Tensor) -> EgoUnion:
        nodes = torch.arange(self.data.x.size(0), device=batch.device)
        edges = torch.arange(self.data.edge_index.size(1), device=batch.device)
        one = torch.zeros_like
        return EgoUnion(nodes, one(nodes), edges, one(edges), self.data.edge_index, batch)

    def _evidence(self, batch: Tensor, union: EgoUnion) -> tuple[Tensor, Tensor, Tensor]:
        outputs = []

        def objective(output: Tensor) -> Tensor:
            outputs.append(output[union.centre])
            kind = self.explainer.explanation_type
            return support(outputs[0], self.target[batch], self.explainer.model_config, kind).sum()

        x = self.data.x[union.node]
        arguments = {name: value[union.edge] for name, value in self.arguments.items()}
        edge_gradient, gradient = input_gradients(self.explainer.model, objective, x, union.edge_index, **arguments)
        return self.algorithm.weigh(edge_gradient, self.shared, union.edge), gradient * x, outputs[0].detach()

    def _strongest_edges(self, evidence: Tensor, union: EgoUnion, num_graphs: int, count: int) -> list[list[Edge]]:
        weight = evidence.clamp(min=0)
        strongest = weight.new_zeros(num_graphs).scatter_reduce_(0, union.edge_graph, weight, "amax")
        order = torch.argsort(weight, descending=True, stable=True)
        order = order[torch.argsort(union.edge_graph[order], stable=True)]
        graph = union.edge_graph[order]
        per_graph = torch.bincount(graph, minlength=num_graphs)
        place = torch.arange(graph.numel(), device=graph.device) - (per_graph.cumsum(0) - per_graph)[graph]
        kept = order[(place < count) & (weight[order] > 0)]
        graph = union.edge_graph[kept]
        sources, targets = self.shared.messages[:, union.edge[kept]].tolist()
        found: list[list[Edge]] = [[] for _ in range(num_graphs)]
        weights = (weight[kept] / strongest[graph]).tolist()
        for row, source, target, value in zip(graph.tolist(), sources, targets, weights, strict=True):
            found[row].append((source, target, value))
        return found

    def _strongest_features(
        self, evidence: Tensor, union: EgoUnion, num_graphs: int, count: int
    ) -> list[list[Feature]]:
        evidence = evidence.view(evidence.size(0), -1)
        total = evidence.new_zeros(num_graphs, evidence.size(1)).index_add_(0, union.node_graph, evidence)
        weights, columns = total.clamp(min=0).sort(descending=True, stable=True)
        weights, columns = weights[:, :count], columns[:, :count]
        weights = weights / torch.where(weights[:, :1] > 0, weights[:, :1], 1)
        return [
            [feature for feature in zip(row, values, strict=True) if feature[1] > 0]
            for row, values in zip(columns.tolist(), weights.tolist(), strict=True)
        ]


def _looks_beyond(model: nn.Module) -> bool:
    """Whether a model is known to use more of the graph than a node's computation graph."""
    return bool(getattr(model, "auxiliary_weight", 0)) or any(
        getattr(layer, "cached", False) for layer in message_passing_layers(model)
    )


def _close(output: Tensor, expected: Tensor) -> bool:
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    return torch.allclose(output, expected, rtol=1e-3, atol=1e-5 * max(scale, 1.0))


def _labels(data: Data, nodes: Tensor) -> Tensor | None:
    y: Any = data.y
    if not isinstance(y, Tensor) or y.is_floating_point() or y.numel() != data.x.size(0):
        return None
    return y.view(-1)[nodes]
