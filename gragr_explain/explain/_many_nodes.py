"""Explaining many nodes of one graph, batch by batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ExplanationType
from tqdm.auto import tqdm

from gragr_explain.errors import InvalidGraphError, warn_caller
from gragr_explain.explain._context import ModelContext
from gragr_explain.explain._explainer import GradientContextExplainer
from gragr_explain.explain._facts import change_fact, output_facts
from gragr_explain.explain._node_parts import Inputs
from gragr_explain.explain._result import NodeExplanations
from gragr_explain.explain._strongest import Edge, Feature, strongest_edges, strongest_features
from gragr_explain.explain._unlabelled import check_labelled, unlabelled
from gragr_explain.history import check_output, message_flow, message_passing_layers
from gragr_explain.inputs import check_data, check_index, forward_arguments, trial_output
from gragr_explain.labels import classes_of, values_of
from gragr_explain.modes import evaluating
from gragr_explain.rationale import ChangeFact, judge

_AT_MOST_AT_ONCE, _GROWTH = 512, 8
_MANY = 5  # nodes that are worth a warning where each takes long


@dataclass(frozen=True)
class NodeJob:
    """A model, its graph, and what the explanations of all nodes share.

    Attributes:
        explainer: The explainer of the model.
        algorithm: Its algorithm.
        data: The graph.
        nodes: The nodes to explain, ``[num_nodes]``.
        inputs: What the model is called with.
        target: The targets of all of its outputs.
        shared: The model on its graph.
    """

    explainer: Explainer
    algorithm: GradientContextExplainer
    data: Data
    nodes: Tensor
    inputs: Inputs
    target: Tensor
    shared: ModelContext

    @classmethod
    def prepare(cls, explainer: Explainer, algorithm: GradientContextExplainer, data: Any, index: Any) -> NodeJob:
        """Run the model once; raises what :func:`explain_many` does."""
        check_data(data)
        message_passing_layers(explainer.model)
        chosen = check_index(index, data.x.size(0), data.x.device)
        nodes = torch.arange(data.x.size(0), device=data.x.device) if chosen is None else chosen
        if explainer.explanation_type == ExplanationType.phenomenon:
            if data.y is None:
                raise InvalidGraphError("explaining a phenomenon needs the labels data.y, got none")
            unknown = unlabelled(data.y, data.x.size(0), explainer.model_config).to(nodes.device)
            check_labelled("node", nodes[torch.isin(nodes, unknown)])
        with evaluating(explainer.model):
            check_output(trial_output(explainer.model, data))  # before PyG, which would fail in its own way
            arguments = forward_arguments(explainer.model, data)
            if explainer.explanation_type == ExplanationType.phenomenon:
                target = data.y
            else:
                target = explainer.get_target(explainer.get_prediction(data.x, data.edge_index, **arguments))
            shared = algorithm.context(explainer.model, data.x, data.edge_index, target=target, **arguments)
        return cls(explainer, algorithm, data, nodes, Inputs(data.x, data.edge_index, arguments), target, shared)

    def explain(
        self, nodes: Tensor, bar: tqdm, *, top_edges: int, top_features: int, memory_mb: int
    ) -> NodeExplanations:
        """Explain some nodes, ``[num_explained]``; see :func:`explain_many`."""
        edges: list[list[Edge]] = []
        features: list[list[Feature]] = []
        changes: list[ChangeFact | None] = []
        names, at_once = self.algorithm.names, 1
        with evaluating(self.explainer.model):
            while len(edges) < nodes.numel():
                some = nodes[len(edges) : len(edges) + at_once]
                found = self.algorithm.explain_nodes(
                    self.explainer.model, self.inputs, some, self.target, self.shared, memory_mb * 2**20
                )
                if found.part.is_whole and not edges and nodes.numel() > _MANY and self.algorithm.search_edges:
                    warn_caller(
                        "the model says something else of the neighbourhoods that messages come from than of the whole "
                        "graph, or does not take them alone, so that each node is explained on the whole graph, in "
                        "many passes; GradientContextExplainer(search_edges=0) takes one for each"
                    )
                ego, messages = found.part.ego, self.shared.messages[:, found.part.ego.edge]
                edges += strongest_edges(found.support, messages, ego.edge_graph, ego.num_graphs, top_edges)
                if self.algorithm.explains_features:
                    features += strongest_features(found.features_of_parts(), top_features)
                else:
                    features += [[] for _ in found.changes]
                changes += [change_fact(change, names) for change in found.changes]
                bar.update(ego.num_graphs)
                have_fit = ego.num_graphs == some.numel()
                at_once = min(_GROWTH * at_once, _AT_MOST_AT_ONCE) if have_fit else ego.num_graphs

        shared, label = self.shared, self._labels(nodes)
        labels = None if label is None else label.tolist()
        phenomenon = self.explainer.explanation_type == ExplanationType.phenomenon
        facts = output_facts(nodes.tolist(), "node", shared, edges, features, changes, labels, names, phenomenon)
        nan = torch.full(nodes.shape, torch.nan, device=nodes.device)
        return NodeExplanations(
            index=nodes,
            prediction=shared.prediction[nodes],
            confidence=nan if shared.confidence is None else shared.confidence[nodes],
            label=label,
            context=shared.gradients,
            all_predictions=shared.prediction,
            embedding=shared.embedding[nodes],
            hidden=shared.hidden,
            edges=edges,
            features=features,
            changes=changes,
            rationales=self.algorithm.writer(facts),
            reliability=[judge(each) for each in facts],
            class_names=self.algorithm.class_names,
            feature_names=self.algorithm.feature_names,
            node_names=self.algorithm.node_names,
            explains_labels=phenomenon,
            flow=message_flow(self.explainer.model),
        )

    def _labels(self, nodes: Tensor) -> Tensor | None:
        read = values_of if self.shared.confidence is None else classes_of
        known = read(self.data.y, self.inputs.x.size(0))
        return None if known is None else known[nodes]
