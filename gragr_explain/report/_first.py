"""Which nodes to look at first, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from gragr_explain.report._wording import percent, quoted

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations
    from gragr_explain.report._findings import Findings


@dataclass(frozen=True)
class Pick:
    """What to look at: the id of a node or of a graph, what it is called, and why to look at it."""

    id: int
    name: str
    why: str


def labels_to_check(explanations: NodeExplanations, findings: Findings, most: int) -> list[Pick]:
    """Nodes whose label the model contradicts, the case that it is surest of first.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
        most: How many nodes to name, at most.
    """
    order = findings.wrong.sort_values(["confidence", "agreeing", "node"], ascending=[False, False, True])
    return [Pick(int(row.node), _called(row), _contradiction(explanations, row)) for row in order[:most].itertuples()]


def predictions_to_doubt(explanations: NodeExplanations, findings: Findings, most: int) -> list[Pick]:
    """Nodes among the fifth with the most conflict whose prediction no label confirms, the least confident first.

    Args:
        explanations: The explanations.
        findings: What stands out in them.
        most: How many nodes to name, at most.
    """
    frame = findings.frame
    open_to_doubt = (
        frame["rank_conflict"].ge(0.8) & frame["confidence"].notna() & ~frame["correct"].eq(True).fillna(False)
    )
    order = frame[open_to_doubt].sort_values(["confidence", "node"])
    return [Pick(int(row.node), _called(row), _doubt(explanations, row)) for row in order[:most].itertuples()]


def _called(row: Any) -> str:
    return f"node {row.node}" if row.node_name is None else str(row.node_name)


def _contradiction(explanations: NodeExplanations, row: Any) -> str:
    label, prediction = (quoted(explanations.class_name(int(value))) for value in (row.label, row.prediction))
    trained = ", although it was trained on that label" if row.seen else ""
    why = f"Labelled {label}, but the model is {percent(row.confidence)} sure of {prediction}{trained}"
    if row.degree:
        why += f", and puts {_of(row.agreeing, row.degree)} there too"
    return why + "."


def _doubt(explanations: NodeExplanations, row: Any) -> str:
    prediction = quoted(explanations.class_name(int(row.prediction)))
    label = "" if pd.isna(row.label) else f", labelled {quoted(explanations.class_name(int(row.label)))}"
    return (
        f"Taken for {prediction} ({percent(row.confidence)} sure){label}. More conflict than "
        f"{percent(row.rank_conflict)} of the graph; the model takes {_of(row.agreeing, row.degree)} for the same."
    )


def _of(count: int, degree: int) -> str:
    """Some of a node's neighbours.

    Example:
        >>> _of(3, 4), _of(0, 2), _of(1, 1), _of(2, 2)
        ('3 of its 4 neighbours', 'none of its 2 neighbours', 'its only neighbour', 'both its neighbours')
    """
    if degree == 1:
        return "its only neighbour" if count else "not even its only neighbour"
    if count == degree:
        return "both its neighbours" if degree == 2 else f"all its {degree:,} neighbours"
    return f"{f'{count:,}' if count else 'none'} of its {degree:,} neighbours"
