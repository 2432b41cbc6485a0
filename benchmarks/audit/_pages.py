"""The page ``reports/audit.md``."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from benchmarks._page import _markdown, write_page
from benchmarks.audit._cells import CLEAN, REPAIRED
from benchmarks.audit._detectors import DETECTORS
from benchmarks.audit._failures import FAILURES, PASSES
from benchmarks.audit._figures import draw_calibration, draw_detection, draw_ranks, draw_repairs
from benchmarks.audit._noise import KINDS
from benchmarks.audit._scores import calibration_error
from benchmarks.audit._tables import (
    REPAIRS,
    above_confidence,
    by_cell,
    calibration_table,
    detection_table,
    failure_table,
    noisy,
    pooled_bins,
    repair_gain,
    repair_table,
    repaired,
    seeds_sentence,
    split_table,
)
from benchmarks.audit._training import EPOCHS, FOLDS, PATIENCE
from benchmarks.fidelity._tables import ranks


def write(runs: pd.DataFrame) -> None:
    """Write the page of what was measured."""
    own = noisy(runs)
    paragraphs = [
        " ".join((*_goals(runs), seeds_sentence(runs))),
        _repairs(runs),
        _calibration(runs),
        f"![Mean ranks]({draw_ranks(runs)})",
        f"![AUROC by share of wrong labels]({draw_detection(runs)})",
        f"![Accuracy that comes back]({draw_repairs(runs)})",
        f"![Calibration]({draw_calibration(runs)})",
        _method(runs),
        "## Wrong labels: AUROC by data set",
        _markdown(split_table(own, "labels", "auroc", DETECTORS, ["dataset"])),
        "## Wrong labels: AUROC by kind and share",
        _markdown(split_table(own, "labels", "auroc", DETECTORS, ["kind", "rate"])),
        "## Wrong labels: AUROC by backbone",
        _markdown(split_table(own, "labels", "auroc", DETECTORS, ["backbone"])),
        f"## What it is for: accuracy after training again\n\n{100 * REPAIRED:.0f} % wrong labels. Test accuracy in "
        "percent, mean over cells and seeds; *gain* is the mean of the paired differences to the training on the "
        "labels as they are, ± its standard error; on the right, by kind and by data set.",
        _markdown(repair_table(runs)),
        "## Wrong predictions\n\nAll cells, those with right labels among them. AURC: area under the risk-coverage "
        "curve, the mean error of the predictions kept, over all numbers of them; smaller is better.",
        _markdown(failure_table(runs)),
        "## Wrong predictions: AUROC by data set",
        _markdown(split_table(runs, "failures", "auroc", FAILURES, ["dataset"])),
        "## Wrong predictions: AUROC where the labels are right, by data set",
        _markdown(split_table(runs[runs.kind == CLEAN], "failures", "auroc", FAILURES, ["dataset"])),
        "## Calibration\n\n*Mean distance in a run*: between the mean probability and the true share; *calibration "
        "error*: over ten equal parts of [0, 1], all runs together.",
        _markdown(calibration_table(runs)),
        "## Wrong labels",
    ]
    write_page("audit", "Which labels and which predictions are wrong?", paragraphs, detection_table(runs))


def _goals(runs: pd.DataFrame) -> list[str]:
    """Which goals are met."""
    beside = above_confidence(runs)
    below = beside[beside.difference <= 0]
    differences = "; ".join(f"{name} {row.audit:.3f} and {row.confidence:.3f}" for name, row in beside.iterrows())
    area = -by_cell(runs, "failures", "aurc")
    return [
        _contest("Wrong labels", DETECTORS, by_cell(noisy(runs), "labels", "auroc"), "AUROC")
        + _also(DETECTORS, by_cell(noisy(runs), "labels", "ap"), "average precision"),
        f"**AUROC above the plain confidence in the label on every data set: {'missed' if len(below) else 'met'}**"
        + (f", below on {' and '.join(map(str, below.index))}" if len(below) else "")
        + f" (ours and the confidence's: {differences}).",
        _contest("Wrong predictions of test nodes", FAILURES, by_cell(runs, "failures", "auroc"), "AUROC")
        + _also(FAILURES, area, "area under the risk-coverage curve"),
    ]


def _contest(question: str, methods: Mapping[str, str], wide: pd.DataFrame, score: str) -> str:
    found = ranks(wide)
    first, other = str(found.index[0]), next(name for name in found.index if name != "audit")
    verdict = "met" if first == "audit" else "missed"
    return (
        f"**{question}: best mean rank by {score} of {len(found)} methods: {verdict}**, audit has "
        f"{found['audit']:.2f}, {methods[other]} {found[other]:.2f}"
    )


def _also(methods: Mapping[str, str], wide: pd.DataFrame, score: str) -> str:
    found = ranks(wide)
    other = next(name for name in found.index if name != "audit")
    return f"; by {score} {found['audit']:.2f}, {methods[other]} {found[other]:.2f}."


def _repairs(runs: pd.DataFrame) -> str:
    """What comes back, in words."""
    own = repaired(runs)
    gains = {name: repair_gain(own, name).mean() for name in REPAIRS}
    best = max((name for name in REPAIRS if name.split("/")[0] in ("audit", "cleanlab")), key=lambda name: gains[name])
    taken = max(gains["audit/without"], gains["audit/corrected"])
    return (
        f"**What it is for.** At {100 * REPAIRED:.0f} % wrong labels, {len(own)} runs, training again is, in points of "
        f"test accuracy, {gains['audit/without']:+.2f} without the labels that audit flags and "
        f"{gains['audit/corrected']:+.2f} with its suggestions in their place; {gains['cleanlab/without']:+.2f} and "
        f"{gains['cleanlab/corrected']:+.2f} with what cleanlab flags; {gains['oracle/without']:+.2f} and "
        f"{gains['oracle/corrected']:+.2f} for an oracle that knows which are wrong. Most comes back {REPAIRS[best]}. "
        f"Audit's flags, all taken at their word, {'bring accuracy back' if taken > 0 else 'cost accuracy'}: they are "
        "a list to look through, the most doubtful first."
    )


def _calibration(runs: pd.DataFrame) -> str:
    """How far probabilities are from shares, in words."""
    said = {question: pooled_bins(runs, f"{question}/audit").sum(0) for question in ("labels", "failures")}
    gaps = runs["labels/audit/estimate"] - runs.rate
    sums = {noise: pooled_bins(cells, "labels/audit").sum(0) for noise, cells in runs.groupby(["kind", "rate"])}
    part = pd.Series({noise: (probability - true) / count for noise, (count, probability, true) in sums.items()})
    low, high = part.idxmin(), part.idxmax()
    error = {
        name: calibration_error(pooled_bins(runs, f"failures/{name}")) for name in ("audit", "softmax", "temperature")
    }
    return (
        f"**Calibration.** Predictions for test nodes: the mean probability to be wrong is "
        f"{said['failures'][1] / said['failures'][0]:.3f}, {said['failures'][2] / said['failures'][0]:.3f} are; "
        f"calibration error {error['audit']:.3f}, of the softmax {error['softmax']:.3f}, after temperature scaling "
        f"{error['temperature']:.3f}. Labels: the mean probability is {said['labels'][1] / said['labels'][0]:.3f}, "
        f"{said['labels'][2] / said['labels'][0]:.3f} are wrong; but it is off by {gaps.abs().mean():.3f} in the mean "
        f"run, from {part[low]:+.3f} with {low[0]} noise of {100 * low[1]:.0f} % to {part[high]:+.3f} with "
        f"{high[0]} noise of {100 * high[1]:.0f} %: how many labels are wrong does not follow from "
        "labels alone, and those of hard nodes are doubted as well."
    )


def _method(runs: pd.DataFrame) -> str:
    kinds = "; ".join(f"*{name}*: {what}" for name, what in KINDS.items())
    seconds = runs["audit/seconds"]
    return (
        "A share of the training labels, and the same share of the validation labels, is replaced by another class "
        f"({kinds}). A backbone of Table 5 is trained on them, for {EPOCHS[False]} epochs (web graphs {EPOCHS[True]}), "
        f"stopped after {PATIENCE} without a better validation accuracy, and goes back to its best epoch. Every "
        "method sees the same labels and this training; none sees a right label. *audit* is `audit(trained, data)` "
        "with the optimiser's settings of the training, nothing else. *Confidence*, *entropy* and *margin* are those "
        "of the trained model; *area under the margin* and *Dataset Cartography* (mean probability of the label) are "
        f"taken in every epoch. *cleanlab* has the library's self-confidence on probabilities from {FOLDS} folds, its "
        "recommended way, and its own flags. *GraphCleaner* follows its authors' code, with the same probabilities "
        "from folds, so that no training label is looked at by a model that was trained on it; it learns from "
        "validation labels. *Neighbour disagreement* is the share of the labelled neighbours with another label. "
        "*Precision* is that of as many labels as are wrong. *MCC* is that of the method's own flags: probability "
        "above one half, margin below zero, most neighbours another label; entropy and psi have none, and get the "
        "true number. Energy, temperature scaling (fitted on the validation labels, as they are) and MC dropout "
        f"({PASSES} passes) are those of the same trained model; for calibration, a score is the probability of the "
        "prediction to be wrong. Ranks are over cells, after the mean over seeds; p of Wilcoxon's signed-rank test "
        "over cells after Holm, too small rather than too large, since cells share graphs. What could be chosen (the "
        "kinds of evidence, penalty, plantings, the estimate of the share) was chosen on the same graphs with other "
        "wrong labels and other first weights (seeds 100 and 101). One defect was noticed in cells of seed 0, that "
        "hardly any label was flagged with pair noise; its remedy, the estimate of the share for each way of planting "
        "and the largest of them, was taken after trying it on cells of seed 100, and all cells were made anew.\n\n"
        f"An audit took {seconds.median():.0f} s at the median and {seconds.max():.0f} s at most, "
        f"{runs['audit/trainings'].min():.0f} to {runs['audit/trainings'].max():.0f} trainings, on a busy machine of "
        "one thread. The cells were made by `python -m benchmarks.audit`."
    )
