"""Which graphs are worth a look."""

from __future__ import annotations

from gragr_explain.arguments import check_number, check_type
from gragr_explain.explain import GraphExplanations
from gragr_explain.report._cards import draw_in_turn
from gragr_explain.report._table import is_wrong, numbers

_COUNT = 24


def choose_graphs(explanations: GraphExplanations, count: int = _COUNT) -> list[int]:
    """Choose graphs for the cards of a report, the same ones every time.

    They are drawn in turn from three lists: wrong predictions, the surest first (drawn from twice a round); the least
    confident; and, class by class, the most confident.

    Args:
        explanations: The explanations of ``n`` graphs.
        count: How many graphs to choose, at most.

    Returns:
        ``min(count, n)`` different numbers of graphs, in the order they were drawn.

    Raises:
        InvalidTypeError: The explanations are of another type.
        InvalidArgumentError: ``count`` is negative.

    Example:
        >>> choose_graphs(explain_many(graph_explainer, graphs, progress=False), count=1)
        [1]
    """
    check_type("explanations", explanations, GraphExplanations)
    check_number("count", count, whole=True, least=0)
    frame = numbers(explanations)
    frame["confidence"] = frame["confidence"].fillna(1.0)
    surest = frame.sort_values(["confidence", "graph"], ascending=[False, True])
    wrong = iter(surest.loc[is_wrong(surest), "graph"].tolist())
    unsure = iter(frame.sort_values(["confidence", "graph"])["graph"].tolist())
    surest["turn"] = surest.groupby("prediction").cumcount()
    typical = iter(surest.sort_values(["turn", "prediction"], kind="stable")["graph"].tolist())
    return draw_in_turn([wrong, typical, unsure, wrong, typical], count)
