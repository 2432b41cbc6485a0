"""The explanations of many graphs as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch_geometric.data import Data

from gragr_explain.explain import GraphExplanations
from gragr_explain.report._template import render_template
from gragr_explain.report._wording import percent
from gragr_explain.report.graphs._findings import GraphFindings, find_in_graphs
from gragr_explain.report.graphs._payload import build_payload
from gragr_explain.report.graphs._summary import summarise_graphs

_SCRIPTS = ("graph_drawing.js", "graph_card.js", "graph_table.js", "graph_page.js")


def render_graphs_page(
    explanations: GraphExplanations,
    graphs: Mapping[int, Data],
    *,
    title: str,
    cards: Sequence[int],
    progress: bool,
) -> str:
    """The page of the explanations of many graphs; arguments as for :func:`gragr_explain.report.export`."""
    findings = find_in_graphs(explanations, graphs)
    return render_template(
        "graphs.html.j2",
        _SCRIPTS,
        build_payload(explanations, graphs, findings, cards, progress=progress),
        title=title,
        summary=summarise_graphs(explanations, findings),
        patterns=_patterns(explanations, findings),
    )


def _patterns(explanations: GraphExplanations, findings: GraphFindings) -> list[dict[str, object]]:
    """For each class, what supports it more often than it occurs, in words and shares."""
    return [
        {
            "name": explanations.class_name(label),
            "rows": [
                {
                    "kinds": item.kinds,
                    "share": item.support,
                    "support": percent(item.support),
                    "everywhere": percent(item.everywhere),
                    "lift": f"{item.lift:.1f} times",
                    "graphs": f"{item.graphs:,}",
                }
                for item in found
            ],
        }
        for label, found in findings.patterns.items()
    ]
