"""What stands out in the explanations of many graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from torch_geometric.data import Data

from gragr_explain.explain import GraphExplanations
from gragr_explain.report._findings import Predictions
from gragr_explain.report._table import numbers
from gragr_explain.report.graphs._kinds import Kinds, Pattern, kinds_of, patterns


@dataclass(frozen=True)
class GraphFindings(Predictions):
    """What stands out in the explanations of many graphs.

    Attributes:
        frame: The numbers of the table, one row an explained graph, and beside them ``num_nodes`` and ``num_edges``,
            ``removed`` (how many of the strongest edges were taken away to see what changes) and ``falls`` (whether
            the prediction changed then), both missing where that was not measured.
        kinds: The kinds of the graphs' nodes; ``None`` where they are of none.
        patterns: For explained classes, the edges that support them more often than they occur.
    """

    kinds: Kinds | None
    patterns: dict[int, list[Pattern]]

    @property
    def measured(self) -> pd.DataFrame:
        """The graphs of which it was seen what their predictions are without their strongest edges."""
        return self.frame.dropna(subset="falls")


def find_in_graphs(explanations: GraphExplanations, graphs: Mapping[int, Data]) -> GraphFindings:
    """Look the explanations of many graphs through.

    Args:
        explanations: The explanations.
        graphs: The explained graphs, by their number.
    """
    frame = numbers(explanations)
    chosen = [graphs[number] for number in frame["graph"]]
    frame["num_nodes"] = [graph.x.size(0) for graph in chosen]
    frame["num_edges"] = [graph.edge_index.size(1) for graph in chosen]
    changes = explanations.changes
    predicted = _predicted(explanations)
    frame["removed"] = pd.Series([pd.NA if change is None else change.removed for change in changes], dtype="Int64")
    falls = [
        pd.NA if change is None else change.prediction != own for change, own in zip(changes, predicted, strict=True)
    ]
    frame["falls"] = pd.Series(falls, dtype="boolean")
    kinds = kinds_of(graphs, explanations.feature_names)
    return GraphFindings(frame, kinds, patterns(explanations, graphs, kinds))


def _predicted(explanations: GraphExplanations) -> Sequence[str]:
    if explanations.prediction.is_floating_point():
        return [""] * len(explanations)
    return [explanations.class_name(label) for label in explanations.prediction.tolist()]
