"""What a batch of explanations says, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gragr_explain.report._findings import FEW, HIGH, Findings
from gragr_explain.report._first import Pick, labels_to_check, predictions_to_doubt
from gragr_explain.report._psi import SOURCE_MEANING
from gragr_explain.report._struggle import Share, shares, struggle
from gragr_explain.report._trust import mistakes_known, trust
from gragr_explain.report._wording import counted, percent

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations

CAVEAT = (
    "An explanation says what the model went by, not what is true of the world. That a label is contradicted does not "
    "make it wrong: it makes it worth a look."
)
"""What is true of all explanations."""

_CAPTION = {
    True: "of the nodes pulled hard against their neighbours while it learned",
    False: "of the nodes pull against their neighbours",
}


@dataclass(frozen=True)
class Tile:
    """One number that is worth a large print."""

    value: str
    caption: str
    tone: str = ""


@dataclass(frozen=True)
class Part:
    """One of the questions that the summary answers, in sentences."""

    title: str
    sentences: list[str]
    show: str | None = None
    """Which of the table's filters shows the nodes that it speaks of."""


@dataclass(frozen=True)
class Summary:
    """The first things to say about a batch of explanations.

    Attributes:
        tiles: The main numbers.
        trust: How far to trust the model.
        conflict: How many nodes are in conflict, and where.
        shares: The conflict of the predicted classes, the largest share first; none where only one has conflict.
        unknown: What the explanations rest on, and what they cannot say.
        labels: Nodes whose label deserves a check: the model contradicts it, the most confident first.
        doubtful: Nodes whose prediction deserves a check: high conflict and little confidence.
    """

    tiles: list[Tile]
    trust: Part
    conflict: Part
    shares: list[Share]
    unknown: Part
    labels: list[Pick]
    doubtful: list[Pick]


def summarise(explanations: NodeExplanations, findings: Findings, most: int = 6) -> Summary:
    """Sum up a batch of explanations.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
        most: How many nodes to name, at most, in each list.
    """
    classified = not explanations.all_predictions.is_floating_point()
    labels = labels_to_check(explanations, findings, most)
    named = {pick.id for pick in labels}
    doubtful = predictions_to_doubt(explanations, findings, most + len(named)) if classified else []
    return Summary(
        tiles=_tiles(findings),
        trust=Part(
            "How far to trust the model", trust(explanations, findings), "wrong" if len(findings.wrong) else None
        ),
        conflict=Part(
            "Where it struggled",
            struggle(explanations, findings),
            "conflict" if len(findings.conflicting) else None,
        ),
        shares=shares(explanations, findings)[:10],
        unknown=Part("What this rests on", _unknown(explanations, findings)),
        labels=labels,
        doubtful=[pick for pick in doubtful if pick.id not in named][:most],
    )


def _tiles(findings: Findings) -> list[Tile]:
    frame, judged = findings.frame, findings.judged
    explained = frame["node"].nunique()
    tiles = [Tile(f"{explained:,}", "node explained" if explained == 1 else "nodes explained")]
    if len(judged):
        whose = "labels that it had not seen" if findings.judged_unseen else "known labels"
        tiles.append(Tile(percent(judged["correct"].mean()), f"right, of {len(judged):,} {whose}", "calm"))
    elif frame["confidence"].notna().any():
        tiles.append(Tile(percent(frame["confidence"].median()), "sure of the typical prediction", "calm"))
    if len(findings.defined):
        share = len(findings.conflicting) / len(findings.defined)
        tiles.append(Tile(percent(share), _CAPTION[findings.recorded], "hot"))
    mistakes = judged[~judged["correct"].astype(bool)]
    wrong = mistakes.dropna(subset="rank_conflict")
    if len(wrong) >= FEW:
        share, which = wrong["rank_conflict"].ge(HIGH).mean(), mistakes_known(len(wrong), len(mistakes), findings.whose)
        tiles.append(Tile(percent(share), f"of its {which} lie in the third that pulled hardest"))
    return tiles


def _unknown(explanations: NodeExplanations, findings: Findings) -> list[str]:
    total = len(findings.frame)
    undefined = total - len(findings.defined)
    sentences = [f"What is said of learning was {SOURCE_MEANING[explanations.context.source]}."]
    if undefined and undefined == total:
        sentences.append("Conflict is not defined for any of the nodes: there are no pulls to compare.")
    elif undefined:
        whom = counted(undefined, "node")
        sentences.append(f"For {whom} conflict is not defined, for want of neighbours or of a pull.")
    sentences.append(CAVEAT)
    return sentences
