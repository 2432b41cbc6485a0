"""Condensed nodes as prototypes: the rows in which a page draws what each stands for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.report._wording import percent

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations

MOST = 24
"""How many prototypes a page shows."""

_COLUMNS = ("node", "label", "class", "nearest", "stands_for", "purity", "features")


@dataclass(frozen=True)
class Real:
    """A real node: its id, what it is called, and whether the page has a card of it."""

    node: int
    name: str
    linked: bool


@dataclass(frozen=True)
class Prototype:
    """A row: the condensed node and its class, and what it stands for.

    Attributes:
        node: The condensed node.
        class_name: Its class.
        count: The real nodes that it stands for.
        share: Their number as a share of that of the prototype that stands for most.
        own: The percentage of them that are of its class.
        nearest: The real nodes most like it.
        features: By what it stands out.
    """

    node: int
    class_name: str
    count: int
    share: float
    own: str
    nearest: list[Real]
    features: list[str]


@dataclass(frozen=True)
class Prototypes:
    """The prototypes that a page shows, those of a class together, and how many there are."""

    rows: list[Prototype]
    total: int


def check_prototypes(table: pd.DataFrame, num_nodes: int) -> None:
    """Check that a table can be drawn beside a graph.

    Raises:
        InvalidTypeError: If it is no data frame.
        InvalidArgumentError: If it is no table of prototypes, is empty, or names nodes that the graph does not have.
    """
    check_type("prototypes", table, pd.DataFrame)
    missing = [name for name in _COLUMNS if name not in table]
    if missing:
        raise InvalidArgumentError(f"expected a table of gragr_explain.condensation.prototypes, got none of {missing}")
    if table.empty:
        raise InvalidArgumentError("expected at least one prototype, got none")
    outside = [node for nodes in table["nearest"] for node in nodes if not 0 <= node < num_nodes]
    if outside:
        raise InvalidArgumentError(
            f"expected prototypes of a graph of {num_nodes} nodes, got one like node {outside[0]}"
        )


def describe_prototypes(table: pd.DataFrame, explanations: NodeExplanations, cards: Collection[int]) -> Prototypes:
    """The prototypes that stand for most real nodes.

    Args:
        table: What :func:`gragr_explain.condensation.prototypes` returned.
        explanations: The explanations of the real nodes, for their names.
        cards: The real nodes of which the page has cards.
    """
    shown = table.sort_values("stands_for", ascending=False, kind="stable").head(MOST)
    shown = shown.sort_values(["label", "stands_for"], ascending=[True, False], kind="stable")
    largest, held = max(1, int(shown["stands_for"].max())), set(cards)
    names = explanations.node_names
    rows = [
        Prototype(
            node=int(row.node),
            class_name=str(name),
            count=int(row.stands_for),
            share=int(row.stands_for) / largest,
            own="none" if pd.isna(row.purity) else percent(row.purity),
            nearest=[
                Real(int(node), f"node {node}" if names is None else str(names[node]), int(node) in held)
                for node in row.nearest
            ],
            features=list(map(str, row.features)),
        )
        for row, name in zip(shown.itertuples(), shown["class"], strict=True)
    ]
    return Prototypes(rows, len(table))
