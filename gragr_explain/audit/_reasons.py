"""What a doubt rests on, in words."""

from __future__ import annotations

from itertools import islice

import numpy as np
from torch import Tensor

from gragr_explain.audit._evidence import EVIDENCE
from gragr_explain.audit._facts import Facts

_MOST = 3
_LEAST = 0.25  # log-odds below which evidence is not worth a word


def reasons(facts: Facts, node: int, contributions: np.ndarray) -> list[str]:
    """What speaks against the class of a node that is in question, the strongest first, at most three.

    Args:
        facts: What is known.
        node: The node.
        contributions: What each kind of evidence adds to the log-odds, ``[num_evidence]``.
    """
    weight: dict[str, float] = {}
    for entry, value in zip(EVIDENCE, contributions, strict=True):
        weight[entry.theme] = weight.get(entry.theme, 0.0) + float(value)
    strongest = sorted((theme for theme in weight if weight[theme] >= _LEAST), key=lambda theme: -weight[theme])
    said = (_SAY[theme](facts, node) for theme in strongest if theme in _SAY)
    return list(islice((text for text in said if text is not None), _MOST))


def _held_out(facts: Facts, node: int) -> str | None:
    if facts.outside.held_out is None:
        return None
    return f"models that never saw its label say {_shares(facts, facts.outside.held_out[node], node)}"


def _without_edges(facts: Facts, node: int) -> str:
    return f"by its features alone, {_shares(facts, facts.outside.bare[node], node)}"


def _neighbour_labels(facts: Facts, node: int) -> str:
    links = facts.graph.undirected.unweighted
    around = links.col[links.rowptr[node] : links.rowptr[node + 1]]
    labels = facts.y[around[facts.known[around]]]
    if not labels.numel():
        return f"by the labels two steps away, {_shares(facts, facts.outside.far[node], node)}"
    same = int((labels == facts.label[node]).sum())
    return f"{same} of its {labels.numel()} labelled neighbours {'is' if same == 1 else 'are'} {_name(facts, node)}"


def _neighbour_predictions(facts: Facts, node: int) -> str | None:
    around = facts.run.around[node]
    return None if bool(around.isnan().any()) else f"its neighbours are predicted {_shares(facts, around, node)}"


def _nearest_labels(facts: Facts, node: int) -> str:
    return f"nodes that look like it to the model are labelled {_shares(facts, facts.run.nearest[node], node)}"


def _course(facts: Facts, node: int) -> str:
    return f"over the training, the model said {_shares(facts, facts.run.looks[:, node].mean(0), node)}"


def _turned(facts: Facts, node: int) -> str | None:
    other = int((facts.run.looks[:, node].argmax(-1) != facts.label[node]).sum())
    if not other:
        return None
    return f"in {other} of {facts.run.looks.size(0)} looks at the training, the model predicted another class"


def _norm(facts: Facts, node: int) -> str:
    return f"its gradient was {float(facts.run.norm[node]):.1f} times the mean"


def _agreement(facts: Facts, node: int) -> str | None:
    cosine = facts.run.agreement[:, node]
    if bool(cosine.isnan().all()):
        return None
    return f"the cosine of its gradient with its neighbours' was {float(cosine.nan_to_num(1).min()):.2f}"


def _conflict(facts: Facts, node: int) -> str:
    return f"its psi conflict is above that of {float(facts.conflict_rank[node]):.0%} of the nodes"


_SAY = {
    "held out": _held_out,
    "without edges": _without_edges,
    "neighbour labels": _neighbour_labels,
    "neighbour predictions": _neighbour_predictions,
    "nearest labels": _nearest_labels,
    "course": _course,
    "turned": _turned,
    "norm": _norm,
    "agreement": _agreement,
    "conflict": _conflict,
}


def _shares(facts: Facts, shares: Tensor, node: int) -> str:
    """The share of the class in question, which is a reason to doubt it also where it is the largest, and another's."""
    other = int(shares.scatter(0, facts.label[node : node + 1], -1.0).argmax())
    own, most = float(shares[facts.label[node]]), float(shares[other])
    return f"{_name(facts, node)} {'only ' if own > most else ''}{own:.0%}, {facts.class_names[other]} {most:.0%}"


def _name(facts: Facts, node: int) -> str:
    return facts.class_names[int(facts.label[node])]
