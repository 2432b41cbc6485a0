"""Which nodes are worth a look."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from gragr_explain.arguments import check_number, check_type
from gragr_explain.explain import NodeExplanations
from gragr_explain.report._table import is_wrong, numbers


def choose_cards(explanations: NodeExplanations, count: int = 24) -> list[int]:
    """Choose nodes for the cards of a report, the same ones every time.

    The nodes are drawn in turn from five lists: wrong predictions, the most conflicting first (drawn from twice a
    round); the most conflicting nodes; a confident node of each role; the least confident nodes; and, class by
    class, nodes whose conflict is closest to the graph's median.

    Args:
        explanations: The explanations of ``n`` nodes.
        count: How many nodes to choose, at most.

    Returns:
        ``min(count, n)`` different node ids, in the order they were drawn.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``count`` is no integer.
        InvalidArgumentError: ``count`` is negative.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> len(set(choose_cards(explanations, count=4)))
        4
    """
    check_type("explanations", explanations, NodeExplanations)
    check_number("count", count, whole=True, least=0)
    frame = numbers(explanations)
    frame["rank"] = explanations.context.rank[explanations.index, 0].cpu().double().numpy()
    frame["confidence"] = frame["confidence"].fillna(1.0)
    by_conflict = frame.sort_values(["rank", "confidence", "node"], ascending=[False, True, True])
    confident_first = frame.sort_values(["confidence", "node"], ascending=[False, True])
    wrong = iter(_nodes(by_conflict[is_wrong(by_conflict)]))
    conflicting = iter(_nodes(by_conflict[by_conflict["rank"].notna()]))
    roles = iter(_nodes(confident_first.dropna(subset="role").drop_duplicates("role")))
    uncertain = iter(_nodes(confident_first[::-1]))
    typical = iter(_nodes(_typical(frame)))
    return draw_in_turn([wrong, conflicting, roles, uncertain, wrong, typical], count)


def _typical(frame: pd.DataFrame) -> pd.DataFrame:
    """Nodes by the distance of their conflict from the median, the classes taking turns."""
    frame = frame.assign(distance=(frame["rank"] - 0.5).abs().fillna(np.inf))
    frame = frame.sort_values(["distance", "node"])
    frame["turn"] = frame.groupby("prediction").cumcount()
    return frame.sort_values(["turn", "prediction"], kind="stable")


def _nodes(frame: pd.DataFrame) -> list[int]:
    return [int(node) for node in frame["node"]]


def draw_in_turn(lists: Sequence[Iterator[int]], count: int) -> list[int]:
    """Draw from each list in turn, never the same node twice, until there are ``count`` or none is left."""
    chosen: dict[int, None] = {}
    while len(chosen) < count:
        before = len(chosen)
        for nodes in lists:
            node = next((node for node in nodes if node not in chosen), None)
            if node is not None and len(chosen) < count:
                chosen[node] = None
        if len(chosen) == before:
            break
    return list(chosen)
