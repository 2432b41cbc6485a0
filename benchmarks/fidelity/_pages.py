"""``reports/fidelity.md``, from what is measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks._page import _markdown, write_page
from benchmarks._runs import Job
from benchmarks.fidelity import _figures
from benchmarks.fidelity._cases import BACKBONES, DATASETS, MOTIF_DATASETS
from benchmarks.fidelity._explainers import EXPLAINERS, SHAPLEY_CALLS
from benchmarks.fidelity._jobs import read
from benchmarks.fidelity._scores import EDGE_MASKS, FEATURES
from benchmarks.fidelity._tables import (
    HISTORY,
    LEVELS,
    REFINED,
    UNTRAINED,
    against,
    by_cell,
    cells,
    curve_areas,
    everywhere,
    friedman,
    of_datasets,
    ranks,
)

REAL = [name for name in DATASETS if name not in MOTIF_DATASETS]
_MEASURED = 0.2
"""The share of cells that an explainer must be measured on to be ranked; one backbone of four is enough."""
_TITLES = {"nodes": "nodes of real graphs", "motifs": "nodes of motifs", "graphs": "graphs"}


def write_pages(cases: Sequence[Job], scores: Sequence[Job], folder: Path) -> None:
    """Write the page of all results that are there, and say which are not.

    Args:
        cases: All cases.
        scores: All explainers on them.
        folder: Where the results are kept.
    """
    found = {part: [read(job, folder) for job in jobs] for part, jobs in (("cases", cases), ("scores", scores))}
    missing = [
        f"{job['explainer']} on {job['dataset']}, {job['backbone']}"
        for job, rows in zip(scores, found["scores"], strict=True)
        if rows is None
    ]
    there = {part: [rows for rows in tables if rows is not None] for part, tables in found.items()}
    if not any(rows.explainer[0] == "ours" for rows in there["scores"]):
        print("ours is not measured yet: no page is written")
        return
    rows = pd.concat(there["scores"], ignore_index=True)
    table = cells(rows)
    wide = by_cell(table)
    places = {name: of_datasets(wide, LEVELS[name]) for name in LEVELS}
    places = {name: part.loc[:, part.notna().mean() >= _MEASURED] for name, part in places.items() if len(part)}
    ranked = {name: ranks(part) for name, part in places.items()}
    images = {
        "Mean ranks": _figures.draw_ranks({_TITLES[name]: found for name, found in ranked.items()}),
        "Fidelity by share of edges": _figures.draw_curves(table, BACKBONES),
    }
    if "motifs" in places:
        images["How well motifs are found"] = _figures.draw_motifs(table)
    sections = [
        *_verdict(table, wide, places, ranked),
        *([_missing(missing, len(scores))] if missing else []),
        *(f"![{title}]({image})" for title, image in images.items()),
        *_protocol(),
        *_ranking(places, ranked),
        *_against(wide, places),
        *_by_dataset(wide),
        *_by_backbone(wide),
        *_by_mask(table),
        *_by_form(table),
        *_features(table),
        *_motifs(table),
        *_history(table),
        *_failures(rows),
        *_seconds(rows),
        "## The models",
    ]
    described = pd.concat(there["cases"], ignore_index=True) if there["cases"] else pd.DataFrame()
    write_page("fidelity", "Which explainer is most faithful to the model?", sections, _models(described))


def _verdict(
    table: pd.DataFrame, wide: pd.DataFrame, places: dict[str, pd.DataFrame], ranked: dict[str, pd.Series]
) -> list[str]:
    texts = []
    for name, found in ranked.items():
        shared = found[everywhere(places[name])]
        ours = shared.get("ours", float("nan"))
        before = [f"{other} ({rank:.2f})" for other, rank in found.items() if rank < ours]
        place = "does not have the best mean rank" if before else "has the best mean rank"
        compared = against(places[name])
        worse = compared[(compared.difference < 0) & (compared.p < 0.05)].index
        texts.append(
            f"**{_TITLES[name].capitalize()}:** ours {place}, {ours:.2f} of {len(shared)} explainers over "
            f"{len(places[name])} cells"
            + (f"; better: {', '.join(before)}" if before else "")
            + f". Significantly better than ours (Wilcoxon over cells, Holm): {', '.join(worse) or 'none'}."
        )
    searched = {
        name: found[["ours", *REFINED]].dropna().mean() for name, found in places.items() if set(REFINED) <= set(found)
    }
    if searched:
        texts.append(
            "The search adds one edge after another. Its rankings are refined for graphs, and for nodes where it has "
            "failed: where gradients foretold wrongly what adding edges does, or the chosen edges do less than most of "
            "what all do (the limits were chosen on validation nodes). Refining compares a ranking with one that is "
            "cut down from all edges, and improves the better one by moves and exchanges of single edges; what that "
            "costs is in explainer_cost.md. Mean characterisation so, with no ranking of nodes refined "
            "(`refine=False`), and with all (`refine=True`): "
            + "; ".join(
                f"{means['ours']:.3f}, {means[REFINED[0]]:.3f} and {means[REFINED[1]]:.3f} ({_TITLES[name]})"
                for name, means in searched.items()
            )
            + "."
        )
    if {"GNNExplainer", "PGExplainer"} <= set(wide):
        both = wide[["ours", "GNNExplainer", "PGExplainer"]].dropna()
        ratios = both["ours"].mean() / both.mean()
        texts.append(
            f"Mean characterisation over the {len(both)} cells that have all three: ours {both['ours'].mean():.3f}, "
            f"**{ratios['GNNExplainer']:.2f} times GNNExplainer's** and **{ratios['PGExplainer']:.2f} times "
            f"PGExplainer's** (goal 2.5 times: {'met' if ratios.min() >= 2.5 else 'missed'}; ceiling.md says how far "
            "any explainer could come). GNNExplainer is run as it is best on validation instances, edges without "
            "features; and where no 10 edges are needed, as on digits, no explainer can score."
        )
    if "motifs" in places:
        auroc = _auroc(table).mean().drop(list(HISTORY), errors="ignore").sort_values(ascending=False)
        own = auroc.reindex(["ours, uses", "ours"])
        drawn = auroc.get(UNTRAINED)
        auroc = auroc.drop(UNTRAINED, errors="ignore")
        asking = auroc.drop([name for name in auroc.index if name.startswith(("PageRank", "distance", "random"))])
        texts.append(
            f"Motifs are found best by {auroc.index[0]} (mean AUROC {auroc.iloc[0]:.3f}), and of the explainers that "
            f"ask the model by {asking.index[0]} ({asking.iloc[0]:.3f}). Our evidence of what a model uses "
            f"(`evidence='uses'`, a mask of its own) has {own.iloc[0]:.3f}, what supports a prediction, by which all "
            f"else is measured, {own.iloc[1]:.3f} (goal 0.95: {'met' if own.iloc[0] >= 0.95 else 'missed'}; goal above "
            f"all others: {'met' if own.iloc[0] >= auroc.iloc[0] else 'missed'}). PageRank asks no model: the motif "
            "lies around the node."
            + (f" A model of random weights shows about as much of it ({drawn:.3f})." if drawn is not None else "")
        )
    if set(HISTORY) <= set(wide):
        both = wide[["ours", *HISTORY]].dropna().mean()
        texts.append(
            f"The history of the training adds nothing to fidelity: {both['ours']:.4f} with it, "
            f"{both[HISTORY[0]]:.4f} without, {both[HISTORY[1]]:.4f} with that of other nodes."
        )
    return [" ".join(texts)]


def _missing(missing: Sequence[str], total: int) -> str:
    shown = "; ".join(missing[:8]) + (f"; and {len(missing) - 8} more" if len(missing) > 8 else "")
    return f"**Not complete:** {len(missing)} of {total} measurements are missing ({shown})."


def _protocol() -> list[str]:
    explainers = "; ".join(f"*{name}*: `{method.settings}`" for name, method in EXPLAINERS.items())
    return [
        "## What is measured",
        "The protocol is GraphFramEx's (Amara et al., 2022). An explainer's importance of edges becomes hard masks, "
        "the 3, 5 and 10 most important edges or 10 to 50 % of those from which a message reaches the prediction "
        "(rounded up), and a soft mask, as it is. Fidelity+ is how much the probability of the class falls without "
        "the mask's edges, fidelity− how much it falls with them alone, both as means over the instances of a cell (a "
        "data set and a backbone). The characterisation score is the harmonic mean of fidelity+ and 1 − fidelity− "
        "(PyG's `characterization_score`). An edge is removed as PyG's edge masks remove it: its messages are "
        "multiplied by zero in every layer, degrees and attention stay as they are. Where nothing else is said: focus "
        "on the model's prediction, 10 edges, by probability.",
        "**Alike for all.** Instances are drawn by chance from test nodes that have an edge (motifs: test nodes of a "
        "motif) or test graphs before anything is explained, right and wrong predictions both; where a data set has "
        "fewer than 50, the rest are validation nodes that nothing was chosen by. All explain the same computation "
        "graphs. What is not positive is no support: it is never among the chosen edges, so that fewer are kept where "
        "fewer are positive. Equally important edges are chosen in a random order, the same for all. Importance of "
        "edges from which no message reaches the prediction is set to zero. Signed or unbounded importance (Captum's) "
        "is scaled to its maximum for the soft mask. Self-loops of the web graphs are left out, since PyG's "
        "AttentionExplainer and GraphMaskExplainer misplace masks where there are any. Phenomenon focus: the true "
        "class is explained; where the prediction is right, that is the same explanation.",
        "**Settings**, the authors' or the library's where nothing else is said: "
        f"{explainers}. Shapley values take as many samples up to 25 as make at most {SHAPLEY_CALLS} calls of the "
        "model per instance. GNNExplainer learns edges and features each by themselves: on validation instances of "
        "real graphs, its edges are better so. PGExplainer is trained on 30 instances of the training part, for what "
        "the model predicts. *ours* has the history of the training on real graphs of nodes; elsewhere nothing is "
        "recorded. Importance of features is explained where they are not constant, by explainers that have it.",
    ]


def _ranking(places: dict[str, pd.DataFrame], ranked: dict[str, pd.Series]) -> list[str]:
    names = sorted({name for found in ranked.values() for name in found.index}, key=lambda n: _mean_rank(ranked, n))
    rows = []
    for name in names:
        row: dict[str, str] = {"explainer": name}
        for place, found in ranked.items():
            row[f"rank, {_TITLES[place]}"] = f"{found[name]:.2f}" if name in found else ""
            row[f"score, {_TITLES[place]}"] = f"{places[place][name].mean():.3f}" if name in places[place] else ""
        rows.append(row)
    tests = "; ".join(f"{_TITLES[name]} {friedman(part):.1g}" for name, part in places.items())
    return [
        "## Rank of the explainers",
        "Mean rank by characterisation at 10 edges over data sets and backbones, and mean score. An explainer that is "
        "not for all cells (AttentionExplainer needs GAT, GraphMaskExplainer fails on GIN, distance needs a node) is "
        "ranked in its own. Scores that differ by less than 0.0001 share a rank. p of Friedman's test that all are "
        f"alike: {tests}.",
        _markdown(pd.DataFrame(rows)),
    ]


def _mean_rank(ranked: dict[str, pd.Series], name: str) -> float:
    own = [found[name] for found in ranked.values() if name in found]
    return sum(own) / len(own)


def _against(wide: pd.DataFrame, places: dict[str, pd.DataFrame]) -> list[str]:
    parts = {"all": wide, **{_TITLES[name]: part for name, part in places.items()}}
    compared = {name: against(part) for name, part in parts.items()}
    rows = []
    for name, found in compared["all"].sort_values("difference", ascending=False).iterrows():
        row = {
            "explainer": name,
            "cells": int(found.cells),
            "ours better": int(found.better),
            "worse": int(found.worse),
            "mean difference": f"{found.difference:+.4f}",
            "ratio of means": f"{found.ratio:.2f}",
            "p": f"{found.p:.1g}",
        }
        for place in list(parts)[1:]:
            own = compared[place]
            there = name in own.index and own.cells[name] > 0
            row[place] = f"{own.difference[name]:+.4f} (p {own.p[name]:.1g})" if there else ""
        rows.append(row)
    return [
        "## Ours beside each other explainer",
        "Paired over cells; p of Wilcoxon's signed-rank test after Holm. The cells of a data set share its graph and "
        "instances, and those of a backbone its layers, so that p is too small rather than too large.",
        _markdown(pd.DataFrame(rows)),
    ]


def _by_dataset(wide: pd.DataFrame) -> list[str]:
    means = wide.T.groupby(level=0).mean().T.groupby(level="dataset").mean()
    means = means.reindex([name for name in DATASETS if name in means.index])
    text = (
        "Characterisation at 10 edges, mean over the backbones that an explainer is for (AttentionExplainer: GAT "
        "alone; GraphMaskExplainer: not GIN)."
    )
    return ["## By data set", text, _table(means.T)]


def _by_backbone(wide: pd.DataFrame) -> list[str]:
    texts = ["## By backbone"]
    for title, datasets in (("Real graphs", REAL), ("Motifs", list(MOTIF_DATASETS))):
        part = of_datasets(wide, datasets)
        if len(part):
            texts += [f"{title}: characterisation at 10 edges, mean over the data sets."]
            texts.append(_table(part.groupby(level="backbone").mean().reindex(BACKBONES).T))
    return texts


def _by_mask(table: pd.DataFrame) -> list[str]:
    own = table.xs("model", level="focus")
    own = own[own.index.get_level_values("dataset").isin(REAL)]
    means = own["score"].groupby(["explainer", "mask"]).mean().unstack("mask")[list(EDGE_MASKS)]
    areas = curve_areas(table)
    areas = areas[areas.index.get_level_values("dataset").isin(REAL)]
    means["fidelity_curve_auc"] = areas.groupby("explainer").mean()
    means["unfaithfulness"] = own.xs("soft", level="mask")["unfaithfulness"].groupby("explainer").mean()
    means["edges at 10"] = own.xs("10", level="mask")["num_edges"].groupby("explainer").mean()
    return [
        "## By size of the mask",
        "Real graphs: characterisation, mean over cells; PyG's `fidelity_curve_auc` over 10 to 50 % (of fidelity+ by "
        "1 − fidelity−, so that it is large, too, where a mask alone keeps nothing of the prediction); its "
        "`unfaithfulness` of the soft mask (lower is better); and how many edges the masks of 10 have.",
        _table(means, sort="10"),
    ]


def _by_form(table: pd.DataFrame) -> list[str]:
    columns = {}
    for focus in ("model", "phenomenon"):
        for value, form in (("score", "probability"), ("score_pred", "prediction")):
            wide = of_datasets(by_cell(table, focus=focus, value=value), REAL)
            columns[f"{focus}, by {form}"] = wide.mean()
    for value, label in (("plus", "fidelity+"), ("minus", "fidelity−")):
        columns[label] = of_datasets(by_cell(table, value=value), REAL).mean()
    return [
        "## By focus, by probability and by prediction",
        "Real graphs, 10 edges: characterisation, mean over cells; and the two fidelities of the model focus by "
        "probability.",
        _table(pd.DataFrame(columns), sort="model, by probability"),
    ]


def _features(table: pd.DataFrame) -> list[str]:
    masks = table.index.get_level_values("mask")
    if not masks.isin(FEATURES).any():
        return []
    columns = {}
    for mask in FEATURES:
        wide = by_cell(table, mask=mask)
        columns[f"score, {mask.removeprefix('features ')}"] = wide.mean()
        columns[f"rank, {mask.removeprefix('features ')}"] = ranks(wide)
    return [
        "## Masks of features",
        "The 10 most important of the features of nodes that are not zero, or 10 % of them, kept alone or set to zero: "
        "characterisation and rank, means over the cells of real graphs. All edges stay.",
        _table(pd.DataFrame(columns), sort="score, 10"),
    ]


def _auroc(table: pd.DataFrame, value: str = "truth_auroc") -> pd.DataFrame:
    return of_datasets(by_cell(table, mask="soft", value=value), MOTIF_DATASETS).dropna(axis=1, how="all")


def _motifs(table: pd.DataFrame) -> list[str]:
    if "truth_auroc" not in table or table["truth_auroc"].isna().all():
        return []
    found = {name: _auroc(table, name) for name in ("truth_auroc", "truth_recall")}
    columns = {"AUROC": found["truth_auroc"].mean(), "recall": found["truth_recall"].mean()}
    for backbone, part in found["truth_auroc"].groupby(level="backbone"):
        columns[f"AUROC, {backbone}"] = part.mean()
    columns["rank by AUROC"] = ranks(found["truth_auroc"])
    by_data = found["truth_auroc"].groupby(level="dataset").mean()
    return [
        "## Motifs",
        "How well importance tells the edges of a node's motif from the others in reach, AUROC; and how many of as "
        "many most important edges as the motif has in reach are its own (recall). Means over instances and cells. "
        "The motif is what the label was made of, not what a model must have used. An edge of it may speak against "
        "the prediction: *ours, uses* and the magnitudes of Captum's signed methods count that as importance, and "
        "stand in this section alone, as PageRank does where the weaker end of an edge counts, which finds motifs "
        "better, on validation instances, but on real graphs less of what a prediction needs. Features are constant; "
        "GAT, which could not tell structures apart by them, is given the logarithm of the degree.",
        "How *ours, uses* was chosen: on 708 validation instances, by mean AUROC. The larger magnitude of the "
        "gradients of an edge's two directions has 0.899, since sum aggregation gives all edges into a node the same "
        "gradient, those from hubs too. Walks that follow the gradients have 0.957 from the explained node with the "
        "weaker end of each edge (0.939 with the sum of both ends), 0.967 when they start at any node, as often as "
        "what arrives there matters, and go on half of the time; 0.960 where edges whose gradient is a rounding "
        "error count as unused, which is what was taken. Gradients of each layer, their square roots, both "
        "directions alike, and other shares of going on change that by 0.005 or less. PageRank's weaker end has "
        "0.986 (restart 0.05; 0.955 with the sum and 0.15). The more a walk ignores the gradients, the nearer it "
        "comes to that: with every second step so 0.977, with four of five 0.985. Walks by the norm of the gradient "
        "of each message, which in a sum is the same for all messages into a node, have 0.977, and 0.989 where they "
        "go on 95 % of the time, more than PageRank.",
        "We took none of these, since what they show is not what a model has learned. Drawing the weights of the "
        "model anew shows how much that is (Adebayo et al., 2018): *ours, uses, random weights*. On validation "
        "instances of four data sets, the masks of a trained and of a random model have a rank correlation of 0.83 "
        "with magnitudes, 0.92 with the walks that were taken, and 0.96 to 0.98 with those by norms, whose AUROC is "
        "the same for both. So this section tells less of explainers than it seems to, ours among them: motifs are "
        "found by where they are.",
        _table(pd.DataFrame(columns), sort="AUROC"),
        "AUROC by data set, mean over the backbones.",
        _table(by_data.reindex([name for name in MOTIF_DATASETS if name in by_data.index]).T),
    ]


def _history(table: pd.DataFrame) -> list[str]:
    names = ["ours", *HISTORY]
    wide = by_cell(table)
    if not set(names) <= set(wide):
        return []
    both = wide[names].dropna()
    columns = {f"{mask} edges": by_cell(table, mask=mask).loc[both.index, names].mean() for mask in ("3", "5", "10")}
    columns["soft"] = by_cell(table, mask="soft").loc[both.index, names].mean()
    features = by_cell(table, mask=FEATURES[0])
    columns[FEATURES[0]] = features.loc[features.index.intersection(both.index), names].mean()
    columns["cells better than without"] = (both.round(4).gt(both[HISTORY[0]].round(4), axis=0)).sum()
    columns["worse"] = (both.round(4).lt(both[HISTORY[0]].round(4), axis=0)).sum()
    return [
        "## What the history adds",
        f"Characterisation on the {len(both)} cells of real graphs of nodes whose training was recorded: with the "
        "history, without, and with that of other nodes (all that was recorded of a node given to another).",
        _table(pd.DataFrame(columns), sort=None),
    ]


def _failures(rows: pd.DataFrame) -> list[str]:
    failed = rows[rows["mask"] == ""]
    if failed.empty:
        return []
    counted = failed.groupby(["explainer", "backbone", "error"]).agg(
        datasets=("dataset", "nunique"), explanations=("instance", "size")
    )
    return ["## What failed", _markdown(counted.reset_index())]


def _seconds(rows: pd.DataFrame) -> list[str]:
    timed = rows[(rows["mask"] == "10") & (rows.focus == "model")]
    found = timed.groupby(["explainer", "dataset", "backbone"]).seconds.median()
    columns = {"median over cells": found.groupby("explainer").median(), "largest": found.groupby("explainer").max()}
    table = pd.DataFrame(columns).sort_values("median over cells")
    return [
        "## Seconds per explanation",
        "Median over instances of processor time, one by one, on one thread; without what a method is "
        "prepared with (PGExplainer's training).",
        _markdown(table.map("{:.4f}".format).reset_index()),
    ]


def _models(described: pd.DataFrame) -> pd.DataFrame:
    rows = [
        {
            "data set": row.dataset,
            "model": row.backbone,
            **{part: f"{100 * getattr(row, f'accuracy_{part}'):.1f}" for part in ("train", "val", "test")},
            "explained": row.explained,
            "of them right": row.right,
            "edges in reach, median": row.heard_median,
            "largest": row.heard_max,
        }
        for row in described.itertuples()
    ]
    return pd.DataFrame(rows)


def _table(numbers: pd.DataFrame, sort: str | None = "") -> str:
    """Numbers as Markdown, the best explainer first: by a column, by the mean of all (``""``), or as they are."""
    if sort is not None:
        key = numbers[sort] if sort else numbers.mean(axis=1)
        numbers = numbers.loc[key.sort_values(ascending=False).index]
    shown = numbers.map(lambda value: "" if pd.isna(value) else f"{value:.3f}")
    shown.index.name, shown.columns.name = numbers.index.name or "explainer", None
    return _markdown(shown.reset_index())
