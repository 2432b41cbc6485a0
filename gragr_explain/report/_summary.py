"""What a batch of explanations says, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from gragr_explain.report._psi import SOURCE_MEANING
from gragr_explain.report._table import numbers

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory


_CAPTION = {True: "came into conflict while learning", False: "pull against their neighbours"}


@dataclass(frozen=True)
class Tile:
    """One number that is worth a large print."""

    value: str
    caption: str
    tone: str = ""


@dataclass(frozen=True)
class Summary:
    """The first things to say about a batch of explanations.

    Attributes:
        tiles: The main numbers.
        sentences: What they mean.
        labels: Nodes whose label deserves a check: the model contradicts it, the most confident first.
        doubtful: Nodes whose prediction deserves a check: high conflict and little confidence.
    """

    tiles: list[Tile]
    sentences: list[str]
    labels: list[int]
    doubtful: list[int]


def summarise(explanations: NodeExplanations, history: GradientHistory | None = None, most: int = 6) -> Summary:
    """Sum up a batch of explanations.

    Nodes in conflict are those that the history counted (eq. 1 of the GraGR paper) in any step of the training. Without
    such a history, they are those whose gradient has a negative cosine with the mean of their neighbours'.

    Args:
        explanations: The explanations.
        history: What was recorded of the training.
        most: How many nodes to name, at most, in each list.
    """
    frame = numbers(explanations)
    context, index = explanations.context, explanations.index
    frame["rank"] = context.rank[index, 0].cpu().double().numpy()
    counted = history.conflict_count if history is not None else None
    recorded = counted is not None and len(counted) == context.num_nodes
    conflicts = counted[index] > 0 if counted is not None and recorded else context.alignment[index] < 0
    frame["conflicts"] = pd.Series(conflicts.cpu().numpy(), dtype="boolean").mask(frame["rank"].isna())
    known = frame.dropna(subset="correct")
    wrong = known[~known["correct"].astype(bool)]

    tiles = [Tile(f"{len(frame):,}", "node explained" if len(frame) == 1 else "nodes explained")]
    sentences = [_scope(len(frame), context.num_nodes)]
    if len(known):
        share = 1 - len(wrong) / len(known)
        tiles.append(Tile(_percent(share), f"right of {len(known):,} known labels", "calm"))
        sentences.append(_right(len(wrong), len(known)))
    elif frame["label"].isna().all():
        sentences.append("The true labels are not known, so the page cannot say how many predictions are right.")
    if frame["confidence"].notna().any():
        tiles.append(Tile(_percent(frame["confidence"].median()), "median confidence"))
    defined = frame.dropna(subset="conflicts")
    if len(defined):
        conflicting = defined[defined["conflicts"].astype(bool)]
        tiles.append(Tile(_percent(len(conflicting) / len(defined)), _CAPTION[recorded], "hot"))
        sentences += _conflict(defined, conflicting, recorded)
        sentences += _errors(known, wrong)
    undefined = len(frame) - len(defined)
    if undefined:
        sentences.append(_undefined(undefined, len(frame)))
    sentences.append(f"The gradients were {SOURCE_MEANING[context.source]}.")

    contradicted = wrong.sort_values(["confidence", "node"], ascending=[False, True])
    doubtful = frame[
        frame["rank"].ge(0.8) & frame["confidence"].notna() & ~frame["node"].isin(contradicted["node"][:most])
    ]
    doubtful = doubtful.sort_values(["confidence", "node"])
    return Summary(tiles, sentences, _first(contradicted, most), _first(doubtful, most))


def _scope(explained: int, num_nodes: int) -> str:
    if explained == num_nodes:
        return f"Every one of the graph's {num_nodes:,} nodes is explained here."
    return f"{explained:,} of the graph's {num_nodes:,} nodes {'is' if explained == 1 else 'are'} explained here."


def _right(wrong: int, known: int) -> str:
    if not wrong:
        return f"The model is right about all {known:,} whose label is known."
    return (
        f"The model is right about {known - wrong:,} of the {known:,} whose label is known, and wrong about {wrong:,}."
    )


def _conflict(defined: pd.DataFrame, conflicting: pd.DataFrame, recorded: bool) -> list[str]:
    """How many nodes conflict, and in which predicted classes they gather."""
    count = f"{len(conflicting):,} {'node' if len(conflicting) == 1 else 'nodes'}" if len(conflicting) else "No node"
    if recorded:
        sentence = f"{count} came into conflict while the model learned, with a strong gradient against the neighbours'"
    else:
        sentence = f"{count} pulled against the neighbours, with a gradient that points away from theirs"
    if conflicting.empty:
        return [sentence + "."]
    if conflicting["prediction_name"].isna().all():
        return [sentence + "."]
    by_class = defined.groupby("prediction_name")["conflicts"].agg(["mean", "sum", "size"])
    by_class = by_class[by_class["sum"] > 0].sort_values(["mean", "sum"], ascending=False)[:3]
    worst = [f"\N{LEFT DOUBLE QUOTATION MARK}{name}\N{RIGHT DOUBLE QUOTATION MARK} "
             f"({row['sum']:,.0f} of {row['size']:,.0f})" for name, row in by_class.iterrows()]  # fmt: skip
    return [f"{sentence}, most often among those predicted to be {_list(worst)}."]


def _errors(known: pd.DataFrame, wrong: pd.DataFrame) -> list[str]:
    """Whether conflict tells the wrong predictions from the right ones, said only where there is something to say."""
    bad, good = wrong["rank"].median(), known.loc[known["correct"].astype(bool), "rank"].median()
    if pd.isna(bad) or pd.isna(good):
        return []
    return [
        f"The typical wrong prediction has more conflict than {_percent(bad)} of the graph, "
        f"the typical right one more than {_percent(good)}."
    ]


def _undefined(undefined: int, total: int) -> str:
    if undefined == total:
        return "Conflict is not defined for any of them: there are no gradients to compare."
    verb = "one node" if undefined == 1 else f"{undefined:,} nodes"
    return f"For {verb} conflict is not defined, for want of neighbours or of gradients."


def _first(frame: pd.DataFrame, most: int) -> list[int]:
    return [int(node) for node in frame["node"][:most]]


def _percent(share: float) -> str:
    """A share as a percentage that never rounds up to all, or down to none."""
    percent = 100 * share
    digits = 1 if 0 < percent < 1 or 99 < percent < 100 else 0
    return f"{min(max(percent, 0.1), 99.9) if digits else percent:.{digits}f}\N{NO-BREAK SPACE}%"


def _list(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
