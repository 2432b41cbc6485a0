"""From explanations to the facts that a rationale may state."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import torch
from torch import Tensor

from gragr_explain.context import FEATURES, ROLES, GradientContext
from gragr_explain.explain._change import Change
from gragr_explain.explain._context import ModelContext
from gragr_explain.explain._names import Names
from gragr_explain.explain._strongest import Edge, Feature
from gragr_explain.rationale import BANDS, ChangeFact, Facts, FeatureFact, NeighbourFact, PsiFact, ValidationFact

_NAMED = 5
_ALIKE = 0.9  # the cosine of directions that are nearly the same


def output_facts(
    outputs: Sequence[int],
    subject: str,
    shared: ModelContext,
    edges: Sequence[Sequence[Edge]],
    features: Sequence[Sequence[Feature]],
    changes: Sequence[ChangeFact | None],
    labels: Sequence[float] | None,
    names: Names,
    explains_labels: bool = False,
) -> list[Facts]:
    """The facts of explained outputs of one graph.

    Args:
        outputs: Which outputs of the model.
        subject: What they are about, ``"node"``, ``"edge"`` or ``"graph"``. Only nodes have a psi.
        shared: The model on its graph.
        edges: For each output, the edges that support it, strongest first.
        features: For each output, the features that support it, strongest first.
        changes: For each output, what is predicted without its strongest edges.
        labels: The true classes, where they are known, -1 for one that is not; or numbers, NaN for one that is not.
        names: What texts call classes, features and nodes.
        explains_labels: Whether edges, features and changes are those of the labels, not of the predictions.
    """
    is_node, is_class = subject == "node", shared.confidence is not None
    rows = torch.tensor(outputs, dtype=torch.long, device=shared.output.device)
    supporters = [
        supporting_nodes(found, output if is_node else None)[:_NAMED]
        for output, found in zip(outputs, edges, strict=True)
    ]
    near = [node for found in supporters for node, _ in found]
    classes = shared.prediction[rows.new_tensor(near)].tolist() if is_node and is_class else []
    predicted = dict(zip(near, map(names.of_class, classes), strict=False))
    neighbours = [
        [NeighbourFact(names.of_node(node), weight, predicted.get(node)) for node, weight in found]
        for found in supporters
    ]
    psi, roles = psi_facts(shared.gradients, rows) if is_node else ([()] * len(outputs), [None] * len(outputs))
    if is_node:
        subjects = [names.of_node(output) for output in outputs]
    elif shared.links is None:
        subjects = [f"{subject} {output}" for output in outputs]
    else:
        subjects = [f"link {source}-{target}" for source, target in shared.links.t()[rows].tolist()]
    return prediction_facts(
        subjects,
        shared.prediction[rows],
        None if shared.confidence is None else shared.confidence[rows],
        neighbours,
        features,
        changes,
        labels,
        names,
        source=shared.gradients.source,
        psi=psi,
        roles=roles,
        explains_labels=explains_labels,
        validation=None if shared.validation is None else shared.validation.facts(rows),
    )


def prediction_facts(
    subjects: Sequence[str],
    prediction: Tensor,
    confidence: Tensor | None,
    neighbours: Sequence[Sequence[NeighbourFact]],
    features: Sequence[Sequence[Feature]],
    changes: Sequence[ChangeFact | None],
    labels: Sequence[float] | None,
    names: Names,
    *,
    source: str,
    psi: Sequence[tuple[PsiFact, ...]] | None = None,
    roles: Sequence[str | None] | None = None,
    explains_labels: bool = False,
    validation: Sequence[ValidationFact | None] | None = None,
) -> list[Facts]:
    """The facts of predictions.

    Args:
        subjects: What was predicted, for example ``"graph 3"``.
        prediction: Classes or, for regression, numbers, ``[num_predictions, *]``.
        confidence: The probabilities of the classes, ``[num_predictions]``; ``None`` for regression.
        neighbours: What is to be said of the nodes whose messages support each prediction, strongest first.
        features: The features that support each, strongest first.
        changes: What is predicted without the strongest edges of each.
        labels: The true classes, where they are known, -1 for one that is not; or numbers, NaN for one that is not.
        names: What texts call classes and features.
        source: Where the gradients are from.
        psi: psi of each, where it is known.
        roles: The role of each, where it is known.
        explains_labels: As for :func:`output_facts`.
        validation: How often the model is right about the validation nodes most like each, where that is known.
    """
    count = len(subjects)
    others: list[str | None] = [None] * count
    if explains_labels and labels is not None and confidence is not None:
        differs = [0 <= label != own for label, own in zip(labels, prediction.tolist(), strict=True)]
        others = [names.of_class(int(label)) if other else None for label, other in zip(labels, differs, strict=True)]
    shown = [_number(row) for row in prediction] if confidence is None else map(names.of_class, prediction.tolist())
    columns = (
        subjects,
        shown,
        [None] * count if confidence is None else confidence.tolist(),
        [None] * count if labels is None else [_label(label, confidence is not None, names) for label in labels],
        [()] * count if psi is None else psi,
        [None] * count if roles is None else roles,
        [source] * count,
        map(tuple, neighbours),
        [tuple(FeatureFact(names.of_feature(at), weight) for at, weight in row[:_NAMED]) for row in features],
        changes,
        others,
        [None] * count if validation is None else validation,
    )
    return [Facts(*row) for row in zip(*columns, strict=True)]


def _label(label: float, is_class: bool, names: Names) -> str | None:
    """What a label is called, ``None`` where it is not known: a class below 0, a number that is NaN."""
    if is_class:
        return names.of_class(int(label)) if label >= 0 else None
    return None if isnan(label) else f"{label:.4g}"


def change_fact(change: Change | None, names: Names) -> ChangeFact | None:
    """What a rationale may state of a change."""
    return change and ChangeFact(change.removed, names.of_class(change.prediction), change.confidence)


def psi_facts(gradients: GradientContext, nodes: Tensor) -> tuple[list[tuple[PsiFact, ...]], list[str | None]]:
    """The psi of some nodes, each entry with its rank in the graph and its band, and their roles.

    A rank of 0.5 or more is the share of nodes that an entry is above, a smaller one 1 less the share that it is below;
    there is none where so many nodes share an entry that it is above less than half of them, and below less than half.
    """
    facts, roles = [], []
    middle, (below, above) = gradients.rank[nodes], gradients.shares(nodes)
    ranks = torch.where(below >= 0.5, below, torch.where(above > 0.5, 1 - above, torch.nan))
    tables = (table.tolist() for table in (gradients.psi[nodes], gradients.valid[nodes], middle, ranks))
    for cosine, *row in zip(gradients.alignment[nodes].tolist(), *tables, strict=True):
        entries = {
            name: PsiFact(
                name, value, valid, None if isnan(rank) else rank, _band(name, third, value, cosine) if valid else None
            )
            for name, value, valid, third, rank in zip(FEATURES, *row, strict=True)
        }
        facts.append(tuple(entries.values()))
        roles.append(ROLES[entries["role"].value] if entries["role"].valid else None)
    return facts, roles


def _band(name: str, rank: float, value: float, alignment: float) -> str:
    """The third of the graph that an entry is in, but none that says what is not so.

    Nobody is in high conflict who learned in the direction of the neighbours, however many are in less. Neighbours that
    mostly agreed did not learn in different directions, and such as opposed each other not in the same, though others
    did so even less.
    """
    band = min(int(rank * len(BANDS)), len(BANDS) - 1)
    if name == "conflict":
        band = min(band, 0 if alignment > _ALIKE else 1 if alignment > 0 else 2)
    elif name == "stability":
        band = 2 if value > _ALIKE else max(band, 1) if value > _ALIKE / 2 else min(band, 1 if value < 0 else 2)
    return BANDS[band]


def supporting_nodes(edges: Sequence[Edge], node: int | None) -> list[tuple[int, float]]:
    """The nodes whose connections support an output, each with the weight of its strongest edge, strongest first.

    They are the senders of messages; of a message that the explained node sends, which comes back to it, the receiver.
    """
    weights: dict[int, float] = {}
    for source, target, weight in edges:
        other = target if source == node else source
        if other != node:
            weights[other] = max(weight, weights.get(other, 0.0))
    return sorted(weights.items(), key=lambda found: (-found[1], found[0]))


def _number(value: Tensor) -> str:
    return ", ".join(f"{entry:.4g}" for entry in value.reshape(-1).tolist())
