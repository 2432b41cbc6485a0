"""What :func:`explain_many` finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gragr_explain.arguments import check_number
from gragr_explain.context import GradientContext
from gragr_explain.explain._names import Names
from gragr_explain.explain._notebook import graphs_html, nodes_html
from gragr_explain.explain._strongest import Edge, Feature
from gragr_explain.rationale import ChangeFact, Rationale, Reliability


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """Explanations of many predictions.

    Attributes:
        index: The explained nodes or graphs, ``[num_explained]``.
        prediction: What the model predicts for them: classes, or numbers for regression, ``[num_explained]``.
        confidence: The probability of each prediction, NaN for regression, ``[num_explained]``.
        label: The true classes, -1 where unknown, or the true numbers of a regression, NaN where unknown,
            ``[num_explained]``; ``None`` where there are none.
        edges: For each prediction, the edges that support it (or the label, where a phenomenon is explained): source,
            target and weight in ``(0, 1]``, strongest first. The weights of edges that were searched for, from 1 down
            to above 0.9, are their order; ``changes`` says what they do.
        features: For each prediction, the features that support it (or the label): column and weight in ``(0, 1]``,
            strongest first.
        changes: For each prediction, what is predicted without the edges that support it most; ``None`` where that was
            not measured: for regression, where no edge supports it, and where another class is explained.
        rationales: The text of each explanation.
        reliability: How far each prediction can be relied on.
        class_names: Names of the classes.
        feature_names: Names of the features.
        explains_labels: Whether the labels are explained, as a phenomenon is, and not the predictions.
    """

    index: Tensor
    prediction: Tensor
    confidence: Tensor
    label: Tensor | None
    edges: list[list[Edge]]
    features: list[list[Feature]]
    changes: list[ChangeFact | None]
    rationales: list[Rationale]
    reliability: list[Reliability]
    class_names: Sequence[str] | None = None
    feature_names: Sequence[str] | None = None
    explains_labels: bool = False

    @property
    def explained(self) -> Tensor:
        """What the edges and features support: the labels, where they are explained, else the predictions."""
        return self.label if self.explains_labels and self.label is not None else self.prediction

    def class_name(self, label: int) -> str:
        """What a class is called; ``class 3`` where it has no name."""
        check_number("label", label, whole=True)
        return Names(classes=self.class_names).of_class(label)

    def __len__(self) -> int:
        return self.index.numel()


@dataclass(frozen=True, kw_only=True)
class NodeExplanations(Explanations):
    """Explanations of many nodes of one graph.

    Beside what all :class:`Explanations` have:

    Attributes:
        context: psi of every node of the graph.
        all_predictions: What the model predicts for every node of the graph, ``[num_nodes]``.
        embedding: The Reasoner's embeddings of the explained nodes, ``[num_explained, embedding_channels]``.
        hidden: The hidden representations of all nodes, ``[num_nodes, hidden_channels]``.
        node_names: What texts call the nodes of the graph, where they have names.
        flow: Which way the model's messages go along its edges: ``"source_to_target"`` or ``"target_to_source"``.
    """

    context: GradientContext
    all_predictions: Tensor
    embedding: Tensor
    hidden: Tensor
    node_names: Sequence[str] | None = None
    flow: str = "source_to_target"

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(num_explained={len(self)}, num_nodes={self.context.num_nodes}, "
            f"source={self.context.source!r})"
        )

    def _repr_html_(self) -> str:
        return nodes_html(self)


@dataclass(frozen=True, kw_only=True)
class GraphExplanations(Explanations):
    """Explanations of many graphs; the ends of edges are nodes of the explained graph, counted from 0.

    Attributes:
        num_graphs: How many graphs there are, explained or not.
    """

    num_graphs: int

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_explained={len(self)}, num_graphs={self.num_graphs})"

    def _repr_html_(self) -> str:
        return graphs_html(self)
