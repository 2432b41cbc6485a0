"""From explanations to the facts that a rationale may state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from gragr_explain.context import FEATURES, GradientContext
from gragr_explain.explain._context import ModelContext
from gragr_explain.rationale import BANDS, Facts, FeatureFact, NeighbourFact, PsiFact

Edge = tuple[int, int, float]
"""An edge that supports an output: source, target, and weight in ``(0, 1]``."""

Feature = tuple[int, float]
"""A feature that supports an output: its column, and weight in ``(0, 1]``."""

_NAMED = 5


def output_facts(
    output: int,
    subject: str,
    shared: ModelContext,
    edges: Sequence[Edge],
    features: Sequence[Feature],
    *,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Facts:
    """The facts of one explained output.

    Args:
        output: Which output of the model.
        subject: What it is about, ``"node"``, ``"edge"`` or ``"graph"``. Only nodes have a psi.
        shared: The model on its graph.
        edges: The edges that support the output, strongest first.
        features: The features that support it, strongest first.
        label: The true class, where it is known.
        class_names: Names of the classes.
        feature_names: Names of the features.
    """
    named = partial(class_name, class_names)
    is_node, is_class = subject == "node", shared.confidence is not None
    facts = prediction_facts(
        f"{subject} {output}",
        shared.prediction[output],
        float(shared.confidence[output]) if shared.confidence is not None else None,
        [
            NeighbourFact(f"node {node}", weight, named(int(shared.prediction[node])) if is_node and is_class else None)
            for node, weight in supporting_nodes(edges, output if is_node else None)[:_NAMED]
        ],
        features,
        source=shared.gradients.source,
        label=label,
        class_names=class_names,
        feature_names=feature_names,
    )
    if not is_node:
        return facts
    return replace(facts, psi=psi_facts(shared.gradients, output), role=shared.gradients.role(output))


def prediction_facts(
    subject: str,
    prediction: Tensor,
    confidence: float | None,
    neighbours: Sequence[NeighbourFact],
    features: Sequence[Feature],
    *,
    source: str,
    label: int | None = None,
    class_names: Sequence[str] | None = None,
    feature_names: Sequence[str] | None = None,
) -> Facts:
    """The facts of a prediction of which no psi is known.

    Args:
        subject: What was predicted, for example ``"graph 3"``.
        prediction: A class or, for regression, numbers.
        confidence: The probability of the class; ``None`` for regression.
        neighbours: What is to be said of the nodes whose messages support the prediction, strongest first.
        features: The features that support it, strongest first.
        source: Where the gradients are from.
        label: The true class, where it is known.
        class_names: Names of the classes.
        feature_names: Names of the features.
    """
    return Facts(
        subject=subject,
        prediction=_number(prediction) if confidence is None else class_name(class_names, int(prediction)),
        confidence=confidence,
        label=None if label is None or label < 0 else class_name(class_names, label),
        psi=(),
        role=None,
        source=source,
        neighbours=tuple(neighbours),
        features=tuple(
            FeatureFact(str(feature_names[column]) if feature_names is not None else f"feature {column}", weight)
            for column, weight in features[:_NAMED]
        ),
    )


def psi_facts(gradients: GradientContext, node: int) -> tuple[PsiFact, ...]:
    """A node's psi, each entry with its rank in the graph and the third that the rank is in."""
    facts = []
    rows = [table[node].tolist() for table in (gradients.psi, gradients.valid, gradients.rank)]
    for name, value, valid, rank in zip(FEATURES, *rows, strict=True):
        band = BANDS[min(int(rank * len(BANDS)), len(BANDS) - 1)] if valid else None
        facts.append(PsiFact(name, value, valid, rank if valid else None, band))
    return tuple(facts)


def supporting_nodes(edges: Sequence[Edge], node: int | None) -> list[tuple[int, float]]:
    """The nodes whose messages support an output, each with the weight of its strongest edge, strongest first."""
    weights: dict[int, float] = {}
    for source, _, weight in edges:
        if source != node:
            weights[source] = max(weight, weights.get(source, 0.0))
    return sorted(weights.items(), key=lambda found: (-found[1], found[0]))


def top_edges(mask: Tensor, messages: Tensor, count: int) -> list[Edge]:
    """The strongest edges of a mask of shape ``[num_edges]``, sender first; those of weight zero left out."""
    weights, edges = _strongest(mask, count)
    sources, targets = messages[:, edges].tolist()
    return list(zip(sources, targets, weights.tolist(), strict=True))


def top_features(mask: Tensor, count: int) -> list[Feature]:
    """The strongest features of a mask of shape ``[num_features]``, those of weight zero left out."""
    weights, columns = _strongest(mask, count)
    return list(zip(columns.tolist(), weights.tolist(), strict=True))


def _strongest(mask: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The largest positive entries and where they are; of equal ones, the first."""
    positive = mask.nonzero().view(-1)
    order = torch.argsort(mask[positive], descending=True, stable=True)[:count]
    return mask[positive[order]], positive[order]


def class_name(names: Sequence[str] | None, number: int) -> str:
    """What a class is called; ``class 3`` where it has no name."""
    return str(names[number]) if names is not None and 0 <= number < len(names) else f"class {number}"


def _number(value: Tensor) -> str:
    return ", ".join(f"{entry:.4g}" for entry in value.reshape(-1).tolist())
