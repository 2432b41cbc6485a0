"""From one row a run to the tables of the page."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from benchmarks._page import spread
from benchmarks.audit._cells import CLEAN, REPAIRED
from benchmarks.audit._detectors import DETECTORS
from benchmarks.audit._failures import FAILURES, PROBABILITIES
from benchmarks.audit._scores import calibration_error
from benchmarks.fidelity._tables import against, ranks

CELL = ["dataset", "backbone", "kind", "rate"]
REPAIRS = {
    "noisy": "as it is",
    "audit/without": "without what audit flags",
    "audit/corrected": "with audit's suggestions",
    "cleanlab/without": "without what cleanlab flags",
    "cleanlab/corrected": "with cleanlab's suggestions",
    "oracle/without": "without the wrong labels (oracle)",
    "oracle/corrected": "with the right labels (oracle)",
}


def noisy(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with wrong labels."""
    return runs[runs.kind != CLEAN]


def by_cell(runs: pd.DataFrame, question: str, score: str) -> pd.DataFrame:
    """One score of each cell, the mean over seeds, in a column for each method."""
    names = {
        name: name.split("/")[1] for name in runs if name.startswith(f"{question}/") and name.endswith(f"/{score}")
    }
    return runs.groupby(CELL, sort=False)[list(names)].mean().rename(columns=names)


def detection_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Every detector: mean ranks, mean scores, and ours beside it."""
    own = noisy(runs)
    wide = {score: by_cell(own, "labels", score)[list(DETECTORS)] for score in ("auroc", "ap", "precision", "mcc")}
    return _ranking(DETECTORS, wide, {"auroc": "AUROC", "ap": "AP"}, {"precision": "precision", "mcc": "MCC"})


def failure_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Every failure predictor, likewise; a smaller area under the risk-coverage curve is better."""
    wide = {"auroc": by_cell(runs, "failures", "auroc"), "aurc": -by_cell(runs, "failures", "aurc")}
    table = _ranking(FAILURES, wide, {"auroc": "AUROC", "aurc": "AURC"}, {})
    return table.assign(AURC=table["AURC"].str.removeprefix("-"))


def _ranking(
    methods: Mapping[str, str], wide: dict[str, pd.DataFrame], ranked: dict[str, str], others: dict[str, str]
) -> pd.DataFrame:
    places = {score: ranks(wide[score]) for score in ranked}
    beside = against(wide[next(iter(ranked))], "audit")
    rows = []
    for name in places[next(iter(ranked))].index:
        row = {"method": methods[name]}
        row |= {f"rank, {title}": f"{places[score][name]:.2f}" for score, title in ranked.items()}
        row |= {title: f"{wide[score][name].mean():.3f}" for score, title in (ranked | others).items()}
        if name == "audit":
            row |= {"ours better / worse": "", "p": ""}
        else:
            found = beside.loc[name]
            row |= {"ours better / worse": f"{found.better:.0f} / {found.worse:.0f}", "p": f"{found.p:.0e}"}
        rows.append(row)
    return pd.DataFrame(rows)


def split_table(
    runs: pd.DataFrame, question: str, score: str, methods: Mapping[str, str], by: list[str]
) -> pd.DataFrame:
    """One score of every method in parts of the cells, mean ± standard deviation over the cells of a part."""
    wide = by_cell(runs, question, score)
    rows = []
    for name, title in methods.items():
        parts = wide[name].groupby(by, sort=False)
        rows.append({"method": title} | {_title(part): spread(own, 3) for part, own in parts})
    return pd.DataFrame(rows)


def _title(part: tuple[object, ...] | object) -> str:
    names = part if isinstance(part, tuple) else (part,)
    return ", ".join(f"{100 * name:.0f} %" if isinstance(name, float) else str(name) for name in names)


def above_confidence(runs: pd.DataFrame) -> pd.DataFrame:
    """Our AUROC and the plain confidence's on each data set, and the difference over its cells."""
    wide = by_cell(noisy(runs), "labels", "auroc")
    found = wide.groupby("dataset", sort=False)[["audit", "confidence"]].mean()
    found["difference"] = found["audit"] - found["confidence"]
    pairs = (wide["audit"] - wide["confidence"]).groupby("dataset", sort=False)
    found["better"], found["cells"] = pairs.apply(lambda own: int((own > 0).sum())), pairs.size()
    return found


def repaired(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that were trained again with repaired labels."""
    return runs[runs.rate == REPAIRED]


def repair_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Test accuracy after each repair, and its paired gain over the labels as they are."""
    own = repaired(runs)
    rows = []
    for name, title in REPAIRS.items():
        row = {"trained": title, "accuracy": f"{own[f'repairs/{name}'].mean():.2f}"}
        gain = repair_gain(own, name)
        row["gain"] = f"{gain.mean():+.2f} ± {gain.sem():.2f}"
        for by in ("kind", "dataset"):
            row |= {str(part): f"{repair_gain(cells, name).mean():+.2f}" for part, cells in own.groupby(by, sort=False)}
        rows.append(row)
    rows[0] = {name: rows[0][name] if name in ("trained", "accuracy") else "" for name in rows[0]}
    return pd.DataFrame(rows)


def repair_gain(runs: pd.DataFrame, name: str) -> pd.Series:
    """How much test accuracy comes back, one number a run."""
    return runs[f"repairs/{name}"] - runs["repairs/noisy"]


def pooled_bins(runs: pd.DataFrame, name: str) -> np.ndarray:
    """The bins of a method's probabilities, added up over runs, ``[10, 3]``."""
    return np.sum([np.array([list(row) for row in bins]) for bins in runs[f"{name}/bins"]], axis=0)


def calibration_table(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean probabilities beside true shares."""
    rows = []
    parts: list[tuple[str, str, pd.DataFrame, tuple[str, ...]]] = [
        (f"labels, {_title(part)}", "labels", cells, ("audit",))
        for part, cells in runs.groupby(["kind", "rate"], sort=False)
    ]
    parts += [
        ("predictions, right labels", "failures", runs[runs.kind == CLEAN], PROBABILITIES),
        ("predictions, wrong labels", "failures", noisy(runs), PROBABILITIES),
    ]
    for title, question, part, methods in parts:
        for method in methods:
            if part.empty:
                continue
            each = [np.array([list(row) for row in bins]).sum(0) for bins in part[f"{question}/{method}/bins"]]
            gaps = [abs(said - true) / count for count, said, true in each]
            count, said, true = np.sum(each, axis=0)
            rows.append(
                {
                    "about": title,
                    "method": FAILURES[method],
                    "mean probability": f"{said / count:.3f}",
                    "true share": f"{true / count:.3f}",
                    "mean distance in a run": f"{np.mean(gaps):.3f}",
                    "calibration error": f"{calibration_error(pooled_bins(part, f'{question}/{method}')):.3f}",
                }
            )
    return pd.DataFrame(rows)


def seeds_sentence(runs: pd.DataFrame) -> str:
    """How many seeds the cells have."""
    counts = runs.groupby(CELL).size().value_counts().sort_index(ascending=False)
    parts = [f"{many} have {number} seed{'s' * (number > 1)}" for number, many in counts.items()]
    cells = "cells (a data set, a backbone, a kind and a share of wrong labels)"
    return f"Of {int(counts.sum())} {cells}, {', '.join(parts)}."
