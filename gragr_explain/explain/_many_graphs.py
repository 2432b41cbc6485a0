"""Explaining many graphs at once."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ExplanationType
from tqdm.auto import tqdm

from gragr_explain.errors import (
    GragrError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.explain._change import changes as measure_changes
from gragr_explain.explain._copies import REFUSALS, messages_of_a_copy
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._facts import change_fact, prediction_facts, supporting_nodes
from gragr_explain.explain._feature_gradient import FeatureGradient
from gragr_explain.explain._listening import listening
from gragr_explain.explain._objective import check_returned, confidences, predictions
from gragr_explain.explain._result import GraphExplanations
from gragr_explain.explain._rounding import SAME_OUTPUT, difference, warn_of_chance
from gragr_explain.explain._strongest import Edge, Feature, strongest_edges, strongest_features
from gragr_explain.explain._union import Footprint, Union, union_evidence
from gragr_explain.explain._unlabelled import check_labelled, unlabelled
from gragr_explain.history import message_edges, message_passing_layers
from gragr_explain.inputs import check_data, check_index, check_one_kind, forward_arguments, trial_errors
from gragr_explain.labels import classes_of, values_of
from gragr_explain.modes import evaluating
from gragr_explain.rationale import ChangeFact, NeighbourFact, judge

_AT_MOST_AT_ONCE = 64


def explain_graphs(
    explainer: Explainer,
    algorithm: GradientContextExplainer,
    graphs: Any,
    index: Any,
    *,
    top_edges: int,
    top_features: int,
    memory_mb: int,
    progress: bool,
) -> GraphExplanations:
    """Explain many graphs; see :func:`explain_many`."""
    if isinstance(graphs, Batch):
        graphs = graphs.to_data_list()
    if isinstance(graphs, Data) or not isinstance(graphs, Sequence | Dataset):
        raise InvalidTypeError(
            f"a graph-level model needs a sequence of graphs to explain, got {type(graphs).__name__}"
        )
    if len(graphs) == 0:
        raise InvalidGraphError("expected at least one graph, got none")
    chosen = check_index(index, len(graphs))
    numbers = torch.arange(len(graphs)) if chosen is None else chosen
    picked = {number: graphs[number] for number in numbers.tolist() or [0]}
    _check_graphs(explainer, algorithm, picked)

    with evaluating(explainer.model):
        job = _Job.prepare(explainer, picked)
        algorithm.check_class_names(job.trial)
        outputs = [job.trial[:0]]
        edges: list[list[Edge]] = []
        features: list[list[Feature]] = []
        changes: list[ChangeFact | None] = []
        with tqdm(total=numbers.numel(), desc="explaining", unit="graph", disable=not progress) as bar:
            for batch in job.run(numbers.tolist(), top_edges, top_features, memory_mb):
                outputs.append(batch.output)
                edges += batch.edges
                features += batch.features
                changes += batch.changes
                bar.update(len(batch.edges))

    output = torch.cat(outputs)
    prediction, confidence = predictions(output, explainer.model_config), confidences(output, explainer.model_config)
    label = _labels([picked[number] for number in numbers.tolist()], is_class=confidence is not None)
    neighbours = [
        [NeighbourFact(f"node {node}", weight, None) for node, weight in supporting_nodes(found, None)]
        for found in edges
    ]
    subjects, labels = [f"graph {number}" for number in numbers.tolist()], None if label is None else label.tolist()
    facts = prediction_facts(
        subjects,
        prediction,
        confidence,
        neighbours,
        features,
        changes,
        labels,
        algorithm.names,
        source="post hoc",
        explains_labels=explainer.explanation_type == ExplanationType.phenomenon,
    )
    return GraphExplanations(
        index=numbers.to(output.device),
        prediction=prediction,
        confidence=output.new_full(numbers.shape, torch.nan) if confidence is None else confidence,
        label=None if label is None else label.to(output.device),
        edges=edges,
        features=features,
        changes=changes,
        rationales=algorithm.writer(facts),
        reliability=[judge(each) for each in facts],
        class_names=algorithm.class_names,
        feature_names=algorithm.feature_names,
        num_graphs=len(graphs),
        explains_labels=explainer.explanation_type == ExplanationType.phenomenon,
    )


class _Batch(NamedTuple):
    """Outputs, and for each its strongest edges, its strongest features, and its change."""

    output: Tensor
    edges: list[list[Edge]]
    features: list[list[Feature]]
    changes: list[ChangeFact | None]


@dataclass(frozen=True)
class _Job:
    """A model, and graphs by their number."""

    explainer: Explainer
    graphs: dict[int, Data]
    names: tuple[str, ...]
    takes_batch: bool
    trial: Tensor
    footprint: Footprint

    @classmethod
    def prepare(cls, explainer: Explainer, graphs: dict[int, Data]) -> _Job:
        model = explainer.model
        number = max(graphs, key=lambda number: graphs[number].edge_index.size(1))
        names = tuple(name for name in forward_arguments(model, graphs[number]) if name != "batch")
        takes_batch = "batch" in inspect.signature(model.forward).parameters
        union = _union([graphs[number]], names, takes_batch)
        with listening(model) as calls:
            trial = _trial(explainer, union, number)
        with torch.no_grad():
            warn_of_chance(trial, model(union.x, union.edge_index, **union.arguments))
        footprint = Footprint.measured(calls, union.x, union.num_edges)
        return cls(explainer, graphs, names, takes_batch, trial, footprint)

    def run(self, numbers: list[int], top_edges: int, top_features: int, memory_mb: int) -> Iterator[_Batch]:
        """What is found of each graph, batch by batch."""
        at_once, start = _AT_MOST_AT_ONCE if self.takes_batch else 1, 0
        while start < len(numbers):
            graphs = [self.graphs[number] for number in numbers[start : start + at_once]]
            num_nodes = torch.tensor([graph.x.size(0) for graph in graphs])
            num_edges = torch.tensor([graph.edge_index.size(1) for graph in graphs])
            graphs = graphs[: self.footprint.parts_within(memory_mb * 2**20, num_nodes, num_edges)]
            union = _union(graphs, self.names, self.takes_batch)
            evidence = self._evidence(graphs, union) if len(graphs) == 1 else self._evidence_together(graphs, union)
            if evidence is None:
                at_once = 1
                continue
            edge_evidence, gradient, output = evidence
            at_once_masked = self._at_once(union, output, memory_mb)
            edge_mask, changed = self._mask(graphs, union, edge_evidence, output, at_once_masked)
            first_node = torch.searchsorted(union.node_part, union.wanted)
            messages = message_edges(self.explainer.model, union.edge_index) - first_node[union.edge_part]
            edges = strongest_edges(edge_mask, messages, union.edge_part, len(graphs), top_edges)
            features: list[list[Feature]] = [[] for _ in graphs]
            if self.explainer.node_mask_type is not None:
                of_graphs = gradient.times_input_of_parts(union.node_part, union.num_parts)
                features = strongest_features(of_graphs, top_features)
            yield _Batch(output, edges, features, changed)
            start += len(graphs)

    @torch.no_grad()
    def _at_once(self, union: Union, output: Tensor, memory_mb: int) -> int | None:
        """How many copies of some graphs a pass may take; ``None`` where the model does not take copies."""
        if union.num_parts == 1 and messages_of_a_copy(self.explainer.model, union, union, output) is None:
            return None
        return self.footprint.masks_within(memory_mb * 2**19, union)

    def _evidence(self, graphs: list[Data], union: Union) -> tuple[Tensor, FeatureGradient, Tensor]:
        return union_evidence(self.explainer, union, self._labels(graphs))

    def _mask(
        self, graphs: list[Data], union: Union, evidence: Tensor, output: Tensor, at_once: int | None
    ) -> tuple[Tensor, list[ChangeFact | None]]:
        """How much edges support the predictions, and what is predicted without the strongest."""
        algorithm, target = self.explainer.algorithm, self._labels(graphs)
        assert isinstance(algorithm, GradientContextExplainer)
        target = self.explainer.get_target(output) if target is None else target
        trials = algorithm.trials(self.explainer.model, union, target, at_once)
        mask = algorithm.supporting(algorithm.edge_mask(trials, evidence, None), evidence)
        found = measure_changes(trials, mask, union.edge_index, predictions(output, self.explainer.model_config))
        return mask, [change_fact(change, algorithm.names) for change in found]

    def _labels(self, graphs: list[Data]) -> Tensor | None:
        """The labels, where they and not the predictions are explained."""
        if self.explainer.explanation_type != ExplanationType.phenomenon:
            return None
        return torch.cat([graph.y.reshape(-1) for graph in graphs])

    def _evidence_together(self, graphs: list[Data], union: Union) -> tuple[Tensor, FeatureGradient, Tensor] | None:
        """The same for several graphs, where none of them changes what the model says of the others.

        What is said of them must stay the same in two smaller batches, of the smaller graphs and of the larger.
        """
        order = sorted(range(len(graphs)), key=lambda row: graphs[row].x.size(0))
        try:
            evidence = self._evidence(graphs, union)
            output, typical = evidence[-1], float(evidence[-1].abs().mean())
            for rows in (order[: len(order) // 2], order[len(order) // 2 :]):
                half = _union([graphs[row] for row in rows], self.names, self.takes_batch)
                with torch.no_grad():
                    found = self.explainer.model(half.x, half.edge_index, **half.arguments)
                if difference(found, output[rows], typical) > SAME_OUTPUT:
                    return None
        except REFUSALS:  # no batch that this model can take
            return None
        return evidence


def _union(graphs: list[Data], names: tuple[str, ...], takes_batch: bool) -> Union:
    """Graphs as one, with the arguments of these names."""
    batch = Batch.from_data_list(
        [Data(x=graph.x, edge_index=graph.edge_index, **{name: graph[name] for name in names}) for graph in graphs]
    )
    arguments = {name: batch[name] for name in names}
    row_part = {
        name: torch.arange(len(graphs)).repeat_interleave(batch._slice_dict[name].diff()).to(batch.x.device)
        for name in names
        if not (batch.is_node_attr(name) or batch.is_edge_attr(name))
    }
    return Union(
        x=batch.x,
        edge_index=batch.edge_index,
        arguments={**arguments, "batch": batch.batch} if takes_batch else arguments,
        wanted=torch.arange(len(graphs), device=batch.x.device),
        num_outputs=len(graphs),
        node_part=batch.batch,
        edge_part=batch.batch[batch.edge_index[0]],
        row_part=row_part,
    )


@torch.no_grad()
def _trial(explainer: Explainer, union: Union, number: int) -> Tensor:
    """What the model returns for a graph, ``[1, *]``; errors are of a model or of graphs that cannot be used."""
    call = "model(x, edge_index) or model(x, edge_index, batch=batch)"
    with trial_errors(union.x, call, f"graph {number}: "):
        output = explainer.model(union.x, union.edge_index, **union.arguments)
    if not isinstance(output, Tensor) or output.shape[:1] != (1,):
        got = list(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise UnsupportedModelError(f"expected a model that returns one row for a graph, got {got}")
    check_returned(output, explainer.model_config)
    predictions(output, explainer.model_config)  # refuses what is no prediction of one class
    return output


def _check_graphs(explainer: Explainer, algorithm: GradientContextExplainer, graphs: dict[int, Data]) -> None:
    """Check graphs by their number, each alone and whether they are of one kind."""
    message_passing_layers(explainer.model)
    if algorithm.history_of(explainer.model) is not None:
        raise HistoryMismatchError(
            "a gradient history belongs to one graph; use GradientContextExplainer(history=False) to explain many"
        )
    for number, graph in graphs.items():
        try:
            check_data(graph)
        except GragrError as error:
            raise type(error)(f"graph {number}: {error}") from error
    check_one_kind(explainer.model, {f"graph {number}": graph for number, graph in graphs.items()})
    x = next(iter(graphs.values())).x
    if explainer.node_mask_type is not None and not x.is_floating_point():
        raise InvalidTypeError(f"a node mask needs features of floating-point numbers, got {x.dtype}")
    if algorithm.feature_names is not None and len(algorithm.feature_names) < x[0].numel():
        raise InvalidArgumentError(f"expected {x[0].numel()} feature_names, got {len(algorithm.feature_names)}")
    if algorithm.node_names is not None:
        raise InvalidArgumentError(f"expected no node_names for many graphs, got {len(algorithm.node_names)}")
    if explainer.explanation_type == ExplanationType.phenomenon:
        for number, graph in graphs.items():
            if not isinstance(graph.y, Tensor) or graph.y.numel() != 1:
                got = list(graph.y.shape) if isinstance(graph.y, Tensor) else graph.y
                raise InvalidGraphError(
                    f"explaining a phenomenon needs one label y of each graph, graph {number} has {got}"
                )
        unknown = [number for number, graph in graphs.items() if len(unlabelled(graph.y, 1, explainer.model_config))]
        check_labelled("graph", unknown)


def _labels(graphs: list[Data], *, is_class: bool) -> Tensor | None:
    """The labels of graphs: classes, -1 for a graph that has none, or the numbers of a regression, NaN for one."""
    given = [(classes_of if is_class else values_of)(graph.y, 1) for graph in graphs]
    if all(y is None for y in given):
        return None
    missing = -1 if is_class else torch.nan
    return torch.tensor([missing if y is None else y.item() for y in given])
