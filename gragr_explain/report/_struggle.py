"""Where a model struggled, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gragr_explain.rationale import join_words
from gragr_explain.report._findings import Findings
from gragr_explain.report._wording import counted, percent, quoted

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations


@dataclass(frozen=True)
class Share:
    """How many of the nodes predicted to be of a class are in conflict."""

    name: str
    count: int
    size: int


def struggle(explanations: NodeExplanations, findings: Findings) -> list[str]:
    """What conflict is, how many nodes are in it, and where they gather.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
    """
    frame, conflicting = findings.defined, findings.conflicting
    meaning = (
        "While a model learns, every node pulls on it, each towards a better prediction of its own. A node is in "
        "conflict where it pulls against its neighbours: it needs the model to change in a way that they do not."
    )
    if frame.empty:
        return [meaning]
    count = counted(len(conflicting), "node")
    among = f"{count[0].upper()}{count[1:]} of {len(frame):,} ({percent(len(conflicting) / len(frame))})"
    sentence = (
        f"{among} pulled hard against their neighbours at some time while the model learned"
        if findings.recorded
        else f"{among} pulled against their neighbours"
    )
    most = shares(explanations, findings)[:3]
    if most:
        sentence += ", most often among those that it takes for "
        sentence += join_words([f"{quoted(each.name)} ({each.count:,} of {each.size:,})" for each in most])
    return [meaning, sentence + ".", *_borders(explanations, findings)]


def _borders(explanations: NodeExplanations, findings: Findings) -> list[str]:
    """Whether conflict lies where classes meet, and which."""
    frame = findings.defined.dropna(subset="border")
    inside = frame["conflicts"].astype(bool)
    if not inside.any() or not findings.pairs:
        return []
    border = frame["border"].astype(bool)
    sentence = f"{percent(border[inside].mean())} of the nodes in conflict have a neighbour put in another class"
    if not inside.all():
        sentence += f", against {percent(border[~inside].mean())} of the others"
    pairs = [
        f"{quoted(explanations.class_name(one))} beside {quoted(explanations.class_name(other))} "
        f"({counted(count, 'node')})"
        for one, other, count in findings.pairs[:3]
    ]
    return [f"{sentence}. The classes that meet there most often are {join_words(pairs)}."]


def shares(explanations: NodeExplanations, findings: Findings) -> list[Share]:
    """The conflict of the predicted classes, the largest share first."""
    if explanations.all_predictions.is_floating_point():
        return []
    by_class = findings.defined.groupby("prediction")["conflicts"].agg(["mean", "sum", "size"])
    by_class = by_class[by_class["sum"] > 0].sort_values(["mean", "sum"], ascending=False)
    return [
        Share(explanations.class_name(int(label)), int(row["sum"]), int(row["size"]))
        for label, row in by_class.iterrows()
    ]
