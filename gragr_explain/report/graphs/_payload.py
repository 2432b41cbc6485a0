"""What the script of the page of graphs knows, in a compact form that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch_geometric.data import Data
from tqdm.auto import tqdm

from gragr_explain.explain import Edge, GraphExplanations
from gragr_explain.rationale import ChangeFact
from gragr_explain.report._encoding import flags, rounded
from gragr_explain.report._payload import class_names_of, prediction_rows
from gragr_explain.report._style import class_colours
from gragr_explain.report._table import is_wrong
from gragr_explain.report.graphs._findings import GraphFindings
from gragr_explain.report.graphs._layout import drawn_nodes, placed

MOST_ROWS = 2_000
"""How many graphs the page can hold; the tables beside it hold them all."""

_SCALE = 400  # the length of an edge in a drawing


def build_payload(
    explanations: GraphExplanations,
    graphs: Mapping[int, Data],
    findings: GraphFindings,
    cards: Sequence[int],
    *,
    progress: bool,
) -> dict[str, Any]:
    """Everything that the page shows of single graphs.

    Args:
        explanations: The explanations.
        graphs: The explained graphs, by their number.
        findings: What stands out in the explanations.
        cards: The graphs on cards, in this order.
        progress: Whether to show how many graphs have been placed.
    """
    frame, kinds = findings.frame, findings.kinds
    rows = _rows_shown(frame, cards)
    numbers = [int(frame["graph"][row]) for row in rows]
    names = explanations.feature_names
    used = sorted({feature for row in rows for feature, _ in explanations.features[row]})
    bar = tqdm(rows, desc="drawing", unit="graph", disable=not progress or len(rows) < 200)
    return {
        "subject": "graph",
        "explainsLabels": explanations.explains_labels,
        "explained": len(frame),
        "classes": (classes := class_names_of(explanations, explanations.prediction)),
        "colours": class_colours(len(classes)),
        "featureNames": {feature: str(names[feature]) for feature in used} if names is not None else {},
        "kinds": None if kinds is None else kinds.names,
        "kindColours": [] if kinds is None else class_colours(len(kinds.names)),
        "rows": {
            "id": numbers,
            **prediction_rows(explanations, frame, rows),
            "nodes": [int(frame["num_nodes"][row]) for row in rows],
            "edges": [int(frame["num_edges"][row]) for row in rows],
            "removed": [None if pd.isna(frame["removed"][row]) else int(frame["removed"][row]) for row in rows],
            "falls": flags(frame["falls"], rows),
            "features": [
                [[feature, rounded(weight)] for feature, weight in explanations.features[row]] for row in rows
            ],
            "kind": None if kinds is None else [kinds.of[number].tolist() for number in numbers],
            "support": [[[u, v, rounded(weight)] for u, v, weight in explanations.edges[row]] for row in rows],
            "drawing": [
                _drawing(graphs[int(frame["graph"][row])], explanations.edges[row], explanations.changes[row])
                for row in bar
            ],
        },
        "cards": list(cards),
    }


def _rows_shown(frame: pd.DataFrame, cards: Sequence[int]) -> list[int]:
    """All rows, or those with a card, then the wrong ones and the least sure, in the order of the table."""
    if len(frame) <= MOST_ROWS:
        return list(range(len(frame)))
    first, right = ~frame["graph"].isin(cards), ~is_wrong(frame)
    order = frame.assign(first=first, right=right).sort_values(["first", "right", "confidence", "graph"], kind="stable")
    return sorted(order.index[:MOST_ROWS])


def _drawing(graph: Data, support: Sequence[Edge], change: ChangeFact | None) -> dict[str, Any]:
    """The graph, drawn: its nodes, their places, and its links.

    A link is ``[source, target, weight, ways, key]``: ends as positions among the nodes; how much it supports the
    prediction, whichever way; whether there is an edge both ways (2) or one (1); and whether it was taken away to see
    what would change.
    """
    edges = {(u, v) for u, v in graph.edge_index.t().tolist() if u != v}
    nodes = drawn_nodes(graph.x.size(0), sorted(edges), support)
    place = {node: position for position, node in enumerate(nodes)}
    inside = sorted((u, v) for u, v in edges if u in place and v in place)
    weights: dict[tuple[int, int], float] = {}
    for u, v, weight in support:
        weights[u, v] = max(weight, weights.get((u, v), 0.0))
    between = [(u, v) for u, v, _ in support if u != v]
    key = set(between[: 0 if change is None else change.removed])
    links = []
    for u, v in inside:
        both = (v, u) in edges
        if both and u > v:
            continue
        ways = [(u, v), (v, u)] if both else [(u, v)]
        weight = max(weights.get(way, 0.0) for way in ways)
        links.append([place[u], place[v], rounded(weight), len(ways), any(way in key for way in ways)])
    at = [round(_SCALE * part) for position in placed(nodes, inside) for part in position]
    return {"nodes": None if len(nodes) == graph.x.size(0) else nodes, "at": at, "links": links}
