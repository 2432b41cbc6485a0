"""How much of the best possible explanation does each explainer reach? ``python -m benchmarks.ceiling``.

The best subset of edges is searched for every instance with few enough of them, and kept; the explainers' own scores
are those that ``python -m benchmarks.fidelity`` has measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from benchmarks._page import _markdown, save_figure, write_page
from benchmarks.fidelity._cases import BACKBONES
from benchmarks.fidelity._ceiling import MOST_EDGES, SIZES, ceiling_jobs, measure
from benchmarks.fidelity._explainers import EXPLAINERS
from benchmarks.fidelity._jobs import read_all, run
from benchmarks.fidelity._parts import case_jobs, case_parser, score_jobs
from benchmarks.fidelity._tables import LEVELS, VARIANTS, characterisation

matplotlib.use("Agg")
from matplotlib import pyplot as plt

WHY = (
    "Why ours is not nearer: one ranking answers for all sizes, and the best ten edges need not contain the best "
    "three; it is refined for the sum of what its first 1 to 10 edges are worth. Only graphs, and nodes for which the "
    "greedy search has failed, are refined; *ours, always refined* below is what refining all nodes gains. The greedy "
    "search counts only by three quarters that edges suffice: by one, on validation nodes of five data sets and four "
    "models, characterisation is 0.002 lower (0.614 with 3 edges). What refines has replaced a beam search that "
    "followed eight sets of edges. Of 14 cells of validation nodes and of graphs that are not explained here, 16 each "
    "with at most 60 edges, it reached 93.8, 92.0 and 84.4 % of the ceiling with 3, 5 and 10 edges; the greedy search "
    "44.5, 52.7 and 53.7 %, the ranking cut down from all edges 76.4, 87.8 and 97.6 %, the better of these two 87.0, "
    "98.4 and 100.6 %, and that one improved by moves, as here, 93.8, 100.7 and 101.9 % (more than 100 %, since the "
    "ceiling was then searched for upwards alone). Little more came of moves of both rankings (with as many sets "
    "again), of moves to later places, or of rankings from the largest gradients. Exchanges of edges of the whole set "
    "came after that: of 47 graphs of MUTAG that are not explained here, 98.2, 99.7 and 99.0 % with GCN (without, "
    "99.5, 98.0 and 97.5 %) and 100, 99.7 and 99.3 % with GAT (100, 99.7 and 99.0 %), of 24 nodes of tree-grid 86.8, "
    "96.7 and 93.0 % with GCN (85.7, 96.3 and 92.5 %). With the set of ten edges counting three times these three are "
    "98.2, 99.7 and 99.4 %, 100, 99.7 and 99.3 %, and 86.8, 83.2 and 99.6 %: where the best sets are not nested, what "
    "is gained with ten edges is lost with fewer. Where the number of edges is known beforehand, a set need not "
    "contain smaller ones: known_size.md."
)
GOAL_EDGES, GOAL_TIMES = 10, 2.5
GOALS = {"GCN": 0.99, "GAT": 0.99, "GraphSAGE": 0.99, "GIN": 0.95}
TITLES = {"nodes": "Nodes of real graphs", "motifs": "Nodes of motifs", "graphs": "Graphs"}
ROW = ["dataset", "backbone", "instance", "mask"]


def compared(best: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Each explainer's probabilities beside those of the best subset, a row for each explanation and size.

    Where an explainer found a better subset than the search did, which is then ``above``, the best one is its.
    """
    own = scores[(scores.focus == "model") & scores["mask"].isin([str(size) for size in SIZES])]
    found = own[[*ROW, "explainer", "p_full", "p_kept", "p_removed"]].merge(best, on=ROW, suffixes=("", "_best"))
    found["gap"] = found.p_kept - found.p_removed
    found["gap_best"] = found.p_kept_best - found.p_removed_best
    found["above"] = found.gap - found.gap_best
    top = found.loc[found.groupby(ROW).gap.transform("idxmax")].set_index(found.index)
    better = top.gap > found.gap_best
    for name in ("p_kept", "p_removed", "gap"):
        found[f"{name}_best"] = found[f"{name}_best"].mask(better, top[name])
    found["edges"] = found["mask"].astype(int)
    found["level"] = found.dataset.map({name: level for level, names in LEVELS.items() for name in names})
    return found


def shares(found: pd.DataFrame, by: list[str]) -> pd.Series:
    """The mean gap as a share of the best one's, over the instances that the explainer explained.

    Where no subset keeps the class better than the rest does, there is nothing to have a share of.
    """
    means = found[found.gap_best > 0].groupby(by)[["gap", "gap_best"]].mean()
    return means.gap / means.gap_best


def hopeless(found: pd.DataFrame) -> str:
    """How many instances :func:`shares` leave out."""
    known = found.drop_duplicates(ROW)
    counts = known[known.gap_best <= 0].groupby("edges").size().reindex(SIZES).fillna(0)
    return ", ".join(f"{int(count)} instances with {size} edges" for size, count in counts.items())


def characterisation_shares(found: pd.DataFrame) -> pd.Series:
    """The same of the characterisation scores of data sets and backbones, mean over them."""
    cells = found.groupby(["explainer", "edges", "dataset", "backbone"]).mean(numeric_only=True)
    scores = {
        name: characterisation(cells.p_full - cells[f"p_removed{name}"], cells.p_full - cells[f"p_kept{name}"])
        for name in ("", "_best")
    }
    means = pd.DataFrame(scores, index=cells.index).groupby(level=["explainer", "edges"]).mean()
    return means[""] / means["_best"]


def reach(own: pd.Series) -> str:
    """How many times other explainers' characterisation the best subsets reach, from their shares of it."""
    times = (1 / own).reindex(["GNNExplainer", "PGExplainer"], level="explainer")
    shown = [
        f"{', '.join(f'{value:.2f}' for value in values)} times {name}'s"
        for name, values in times.groupby(level="explainer", sort=False)
    ]
    lowest = times.groupby(level="edges").min().get(GOAL_EDGES, np.nan)
    return (
        f"**How far any explainer could come.** Were every explanation the best subset of {_listed(SIZES)} edges, its "
        f"mean characterisation would be {' and '.join(shown)}. The goal of {GOAL_TIMES} times both, with {GOAL_EDGES} "
        f"edges, is {'within' if lowest >= GOAL_TIMES else 'out of'} reach of every explainer."
        if shown
        else ""
    )


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))


def verdict(found: pd.DataFrame) -> list[str]:
    """Whether the goals are met, and who is nearer to the ceiling."""
    texts = [f"Share of the ceiling that ours reaches with {_listed(SIZES)} edges."]
    for level, part in found.groupby("level", sort=False):
        own = shares(part, ["backbone", "edges", "explainer"])
        goals, nearer = [], []
        for backbone, goal in GOALS.items():
            values = own.xs("ours", level="explainer").reindex([(backbone, size) for size in SIZES])
            met = "met" if (values >= goal).all() else "missed"
            shown = ", ".join(f"{100 * value:.1f}" for value in values)
            goals.append(f"**{backbone} {shown} %** (goal {100 * goal:.0f} %: {met})")
            for size in SIZES:
                others = own.reindex([backbone], level="backbone").xs(size, level="edges").droplevel("backbone")
                others = others.drop(["ours", *VARIANTS], errors="ignore").round(3)
                if len(others) and others.max() > round(values[backbone, size], 3):
                    nearer.append(f"{backbone} at {size}, {others.idxmax()} {100 * others.max():.1f} %")
        texts.append(
            f"{TITLES[str(level)]}: {'; '.join(goals)}. "
            + (f"Another is nearer: {'; '.join(nearer)}." if nearer else "No other explainer is nearer.")
        )
    return texts


def table_of(values: pd.Series, order: pd.Index) -> pd.DataFrame:
    """Shares in percent, a row for each explainer and a column for each of the rest."""
    wide = (100 * values).unstack("explainer").T.reindex(order)
    wide.columns = [" ".join(str(part) for part in np.atleast_1d(column)) for column in wide.columns.to_numpy()]
    shown = wide.map(lambda value: "" if pd.isna(value) else f"{value:.1f}")
    shown.index.name = "explainer"
    return shown.reset_index()


def draw(found: pd.DataFrame, order: pd.Index) -> None:
    """The share of the ceiling by kind of instances, backbone and explainer."""
    shown = order.drop(list(VARIANTS), errors="ignore")
    levels = list(found.level.unique())
    size = (13, 4.4 * len(levels))
    figure, axes = plt.subplots(len(levels), len(BACKBONES), figsize=size, layout="constrained", squeeze=False)
    for row, level in zip(axes, levels, strict=True):
        own = 100 * shares(found[found.level == level], ["backbone", "edges", "explainer"])
        for axis, backbone in zip(row, BACKBONES, strict=True):
            for count, marker in zip(SIZES, "vso", strict=True):
                values = own.reindex([(backbone, count, name) for name in shown]).to_numpy()
                axis.plot(values, range(len(shown)), marker, ms=5, alpha=0.8, label=f"{count} edges")
            axis.axvline(100 * GOALS[backbone], color="black", lw=0.8, ls=":")
            axis.set(title=f"{TITLES[level]}, {backbone}", xlabel="share of the ceiling (%)", xlim=(-25, 103))
            axis.set(yticks=range(len(shown)), ylim=(len(shown) - 0.5, -0.5))
            axis.set_yticklabels(shown if axis is row[0] else [])
    axes[0, 0].legend(fontsize=7)
    save_figure(figure, "ceiling.png")


def main() -> None:
    options = case_parser("ceiling", __doc__).parse_args()

    cases = case_jobs(options.datasets, options.backbones, options.instances, 0)
    jobs = ceiling_jobs(cases)
    run([[job] for job in jobs], measure, options.workers, options.results)
    best, scores = (read_all(part, options.results) for part in (jobs, score_jobs(cases, list(EXPLAINERS))))
    if best.empty or scores.empty:
        print("no scores of explainers on these instances: run `python -m benchmarks.fidelity` first")
        return
    found = compared(best, scores)
    if not (found.explainer == "ours").any():
        print("no scores of ours on these instances: run `python -m benchmarks.fidelity` first")
        return
    order = shares(found, ["explainer"]).sort_values(ascending=False).index
    draw(found, order)
    counts = best.groupby(["backbone", "dataset"], sort=False).instance.nunique().unstack("backbone")
    sections = [
        ("By data set, mean over the backbones", shares(found, ["dataset", "edges", "explainer"])),
        ("Characterisation, as a share of the best subsets', mean over cells", characterisation_shares(found)),
        *(
            (f"{TITLES[str(level)]}, by backbone and number of edges", shares(part, ["backbone", "edges", "explainer"]))
            for level, part in found.groupby("level", sort=False)
        ),
    ]
    write_page(
        "ceiling",
        "How much of the best possible explanation does each explainer reach?",
        [
            *verdict(found),
            reach(characterisation_shares(found)),
            WHY,
            "![Share of the ceiling by backbone and explainer](ceiling.png)",
            "No explanation can do better than the subset of at most k edges with the largest p(class | only these "
            "edges) − p(class | all but these), which is what fidelity+ and fidelity− add up to. It is searched for "
            "with the model at hand: beam searches over subsets that grow edge by edge from none, and shrink edge by "
            "edge from all, then swaps, drops and additions until none helps, from the beams' best subsets and from "
            "the edges with the largest gradients at the whole graph, at none of it, and of both. On small graphs it "
            "finds what trying all subsets finds. "
            f"Of {len(found):,} explanations, {int((found.above > 1e-4).sum())} are better, by "
            f"at most {max(found.above.max(), 0):.4f}, and take its place: the ceiling is the best subset known.",
            f"Instances of `python -m benchmarks.fidelity` where at least one and at most {MOST_EDGES} edges can reach "
            f"the prediction, {best.groupby(['dataset', 'backbone']).instance.nunique().sum():,} in all; the predicted "
            "class. The share is the mean of an explainer's p(kept) − p(removed) over that of the best subsets of the "
            "same instances; it may keep fewer edges than k, as the best may. Left out of it is where even the best "
            "subset keeps the class no better than the rest does, "
            + hopeless(found)
            + ". Characterisation is of all instances; the best subsets are not chosen for it, so that more than 100 % "
            "is possible.",
            *(part for title, values in sections for part in (f"## {title}", _markdown(table_of(values, order)))),
            "## How many instances",
        ],
        counts.reindex(columns=list(options.backbones)).fillna(0).astype(int).reset_index(),
    )


if __name__ == "__main__":
    main()
