"""What the explanations of many graphs say, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from gragr_explain.explain import GraphExplanations
from gragr_explain.report._first import Pick
from gragr_explain.report._summary import CAVEAT, Part, Tile
from gragr_explain.report._table import is_wrong
from gragr_explain.report._trust import UNSURE, how_sure, right_and_wrong
from gragr_explain.report._wording import counted, percent, quoted
from gragr_explain.report.graphs._findings import GraphFindings


@dataclass(frozen=True)
class GraphsSummary:
    """The first things to say about the explanations of many graphs.

    Attributes:
        tiles: The main numbers.
        trust: How far to trust the model.
        decides: On how many edges its predictions hang.
        unknown: What the explanations rest on, and what they cannot say.
        labels: Graphs whose label deserves a check: the model contradicts it, the most confident first.
        doubtful: Graphs whose prediction deserves a check: the least confident of the others.
    """

    tiles: list[Tile]
    trust: Part
    decides: Part
    unknown: Part
    labels: list[Pick]
    doubtful: list[Pick]


def summarise_graphs(explanations: GraphExplanations, findings: GraphFindings, most: int = 6) -> GraphsSummary:
    """Sum up the explanations of many graphs.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
        most: How many graphs to name, at most, in each list.
    """
    frame, wrong = findings.frame, findings.wrong
    falling = bool(findings.measured["falls"].any())
    surest = wrong.sort_values(["confidence", "graph"], ascending=[False, True])[:most]
    unsure = frame[~is_wrong(frame) & frame["confidence"].lt(UNSURE)]
    least_sure = unsure.sort_values(["confidence", "graph"])[:most]
    return GraphsSummary(
        tiles=_tiles(findings),
        trust=Part("How far to trust the model", _trust(explanations, findings), "wrong" if len(wrong) else None),
        decides=Part("What its predictions hang on", _decides(findings), "falls" if falling else None),
        unknown=Part("What this rests on", _unknown(explanations)),
        labels=[_pick(row, _contradiction(explanations, row)) for row in surest.itertuples()],
        doubtful=[_pick(row, _doubt(explanations, row)) for row in least_sure.itertuples()],
    )


def _pick(row: Any, why: str) -> Pick:
    return Pick(int(row.graph), f"graph {row.graph}", why)


def _tiles(findings: GraphFindings) -> list[Tile]:
    frame, known, measured = findings.frame, findings.known, findings.measured
    explained = frame["graph"].nunique()
    tiles = [Tile(f"{explained:,}", "graph explained" if explained == 1 else "graphs explained")]
    if len(known):
        tiles.append(Tile(percent(known["correct"].mean()), f"right, of {len(known):,} known labels", "calm"))
    elif frame["confidence"].notna().any():
        tiles.append(Tile(percent(frame["confidence"].median()), "sure of the typical prediction", "calm"))
    if len(measured):
        tiles.append(Tile(percent(measured["falls"].mean()), "of predictions fall without a few edges", "hot"))
        falling = measured[measured["falls"]]
        if len(falling):
            edges = int(falling["removed"].median())
            tiles.append(Tile(f"{edges}", f"{'edge is' if edges == 1 else 'edges are'} enough for the typical one"))
    return tiles


def _trust(explanations: GraphExplanations, findings: GraphFindings) -> list[str]:
    known = findings.known
    total, explained = explanations.num_graphs, findings.frame["graph"].nunique()
    sentences = [
        f"Every one of the {total:,} graphs is explained here."
        if explained == total
        else f"{explained:,} of the {total:,} graphs {'is' if explained == 1 else 'are'} explained here."
    ]
    return [*sentences, *right_and_wrong(findings), *([] if known.empty else how_sure(known))]


def _decides(findings: GraphFindings) -> list[str]:
    measured = findings.measured
    if measured.empty:
        return ["What the model would predict without the edges that support a prediction was not measured."]
    falling = measured[measured["falls"]]
    sentences = [
        f"Of {counted(len(measured), 'prediction')}, {len(falling):,} ({percent(len(falling) / len(measured))}) would "
        "be another class without the few edges that support them most."
    ]
    if len(falling):
        few, many = int(falling["removed"].median()), int(falling["removed"].max())
        sentences.append(
            f"Half of these fall with {counted(few, 'edge')} or fewer, all of them with {counted(many, 'edge')}."
        )
    stands = len(measured) - len(falling)
    if stands:
        whose = "It does" if stands == 1 else f"The other {stands:,} do" if len(falling) else "They do"
        sentences.append(f"{whose} not hang on single edges: on many of them, or on the nodes themselves.")
    return sentences


def _unknown(explanations: GraphExplanations) -> list[str]:
    bare = sum(not edges for edges in explanations.edges)
    sentences = ["Which of these graphs the model learned from is not known here: about those it is right too easily."]
    if bare:
        sentences.append(f"For {counted(bare, 'graph')} no edge {_support(explanations)}.")
    sentences.append(CAVEAT)
    return sentences


def _support(explanations: GraphExplanations) -> str:
    """What an edge would do that supports what is explained."""
    is_class = bool(explanations.confidence.isfinite().any())
    if explanations.explains_labels:
        return "supports the label" if is_class else "brings the predicted value near to the label"
    return (
        "supports the prediction: it rests on the nodes" if is_class else "raises the magnitude of the predicted value"
    )


def _contradiction(explanations: GraphExplanations, row: Any) -> str:
    label, prediction = (quoted(explanations.class_name(int(value))) for value in (row.label, row.prediction))
    return f"Labelled {label}, but the model is {percent(row.confidence)} sure of {prediction}{_hangs(row)}."


def _doubt(explanations: GraphExplanations, row: Any) -> str:
    prediction = quoted(explanations.class_name(int(row.prediction)))
    return f"Taken for {prediction}, {percent(row.confidence)} sure{_hangs(row)}."


def _hangs(row: Any) -> str:
    """On how many edges a prediction hangs, where it does."""
    return f", by {counted(int(row.removed), 'edge')}" if pd.notna(row.falls) and row.falls else ""
