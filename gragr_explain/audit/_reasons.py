"""What a doubt rests on, in words."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from torch import Tensor

from gragr_explain.audit._evidence import EVIDENCE, NAMES
from gragr_explain.audit._facts import Facts

_MOST = 3
_LEAST = 0.25  # log-odds below which evidence is not worth a word
_THEMES = [
    [entry.name for entry in EVIDENCE if entry.theme == theme]
    for theme in dict.fromkeys(entry.theme for entry in EVIDENCE)
]


class _Reason(NamedTuple):
    """A text, and whether it speaks for a third class more than for the one that the node should perhaps have."""

    text: str
    astray: bool = False


def reasons(facts: Facts, node: int, suggested: int, contributions: np.ndarray) -> list[str]:
    """What speaks against the class of a node that is in question, at most three.

    The strongest come first, and last those that speak for another class than the suggested one. Of the evidence on
    one theme, the strongest is said.

    Args:
        facts: What is known.
        node: The node.
        suggested: The class that it should perhaps have.
        contributions: What each kind of evidence adds to the log-odds, ``[num_evidence]``.
    """
    added = dict(zip(NAMES, contributions.tolist(), strict=True))
    weight = {max(names, key=added.__getitem__): sum(added[name] for name in names) for names in _THEMES}
    strongest = sorted((name for name in weight if weight[name] >= _LEAST), key=lambda name: -weight[name])
    said = (_SAY[name](facts, node, suggested) for name in strongest if name in _SAY)
    found = sorted((reason for reason in said if reason is not None), key=lambda reason: reason.astray)
    return [reason.text for reason in found[:_MOST]]


def _held_out(facts: Facts, node: int, suggested: int) -> _Reason | None:
    shares = facts.outside.held_out
    if shares is None:
        return None
    return _shares("models that never saw its label say", facts, shares[node], node, suggested)


def _without_edges(facts: Facts, node: int, suggested: int) -> _Reason:
    return _shares("by its features alone,", facts, facts.outside.bare[node], node, suggested)


def _neighbour_labels(facts: Facts, node: int, suggested: int) -> _Reason | None:
    links = facts.graph.undirected.unweighted
    around = links.col[links.rowptr[node] : links.rowptr[node + 1]]
    labels = facts.y[around[facts.known[around]]]
    if not labels.numel():
        return None
    count = labels.bincount(minlength=len(facts.class_names))
    other = _other(facts, count, node)
    same, wanted, most = (int(count[label]) for label in (facts.label[node], suggested, other))
    astray = most > wanted
    if labels.numel() == 1:
        return None if same else _Reason(f"its one labelled neighbour is {facts.class_names[other]}", astray)
    text = f"{'only ' if same > most else ''}{same} of its {labels.numel()} labelled neighbours "
    text += f"{'is' if same == 1 else 'are'} {_name(facts, node)}, {wanted} {facts.class_names[suggested]}"
    return _Reason(f"{text}, {most} {facts.class_names[other]}" if astray else text, astray)


def _two_step_labels(facts: Facts, node: int, suggested: int) -> _Reason:
    return _shares("by the labels two steps away,", facts, facts.outside.far[node], node, suggested)


def _neighbour_predictions(facts: Facts, node: int, suggested: int) -> _Reason | None:
    around = facts.run.around[node]
    if bool(around.isnan().any()):
        return None
    return _shares("its neighbours are predicted", facts, around, node, suggested)


def _nearest_labels(facts: Facts, node: int, suggested: int) -> _Reason:
    lead = "nodes that look like it to the model are labelled"
    return _shares(lead, facts, facts.run.nearest[node], node, suggested)


def _course(facts: Facts, node: int, suggested: int) -> _Reason:
    return _shares("over the training, the model said", facts, facts.run.looks[:, node].mean(0), node, suggested)


def _turned(facts: Facts, node: int, _suggested: int) -> _Reason | None:
    other = int((facts.run.looks[:, node].argmax(-1) != facts.label[node]).sum())
    if not other:
        return None
    return _Reason(f"in {other} of {facts.run.looks.size(0)} looks at the training, the model predicted another class")


def _norm(facts: Facts, node: int, _suggested: int) -> _Reason:
    return _Reason(f"its gradient was {float(facts.run.norm[node]):.1f} times the mean")


def _persistence(facts: Facts, node: int, _suggested: int) -> _Reason:
    return _Reason(f"the cosine of its gradient with that of the step before was {facts.run.persistence[node]:.2f}")


def _agreement(field: int, facts: Facts, node: int, _suggested: int) -> _Reason:
    cosine = float(facts.run.agreement[field, node])
    return _Reason(f"the cosine of its gradient with its neighbours' was {cosine:.2f}")


def _conflict(field: int, facts: Facts, node: int, _suggested: int) -> _Reason:
    return _Reason(f"its psi conflict is above that of {float(facts.conflict_ranks[node, field]):.0%} of the nodes")


_SAY: dict[str, Callable[[Facts, int, int], _Reason | None]] = {
    "held_out": _held_out,
    "held_out_margin": _held_out,
    "without_edges": _without_edges,
    "without_edges_margin": _without_edges,
    "neighbour_labels": _neighbour_labels,
    "two_step_labels": _two_step_labels,
    "neighbour_predictions": _neighbour_predictions,
    "nearest_labels": _nearest_labels,
    "confidence": _course,
    "margin": _course,
    "early_margin": _course,
    "final_margin": _course,
    "turned": _turned,
    "norm": _norm,
    "persistence": _persistence,
    "training_agreement": partial(_agreement, 0),
    "self_agreement": partial(_agreement, 1),
    "training_conflict": partial(_conflict, 0),
    "self_conflict": partial(_conflict, 1),
}


def _shares(lead: str, facts: Facts, shares: Tensor, node: int, suggested: int) -> _Reason:
    """The shares of the class in question and of the suggested one, and of a third one where that has more.

    The first is a reason to doubt also where it is the largest.
    """
    other = _other(facts, shares, node)
    own, wanted, most = float(shares[facts.label[node]]), float(shares[suggested]), float(shares[other])
    text = f"{lead} {_name(facts, node)} {'only ' if own > most else ''}{own:.0%}, "
    text += f"{facts.class_names[suggested]} {wanted:.0%}"
    return _Reason(f"{text}, {facts.class_names[other]} {most:.0%}", True) if most > wanted else _Reason(text)


def _other(facts: Facts, shares: Tensor, node: int) -> int:
    """The class with the largest share but that in question."""
    return int(shares.scatter(0, facts.label[node : node + 1], -1).argmax())


def _name(facts: Facts, node: int) -> str:
    return facts.class_names[int(facts.label[node])]
