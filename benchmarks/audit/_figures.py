"""Figures of the page."""

from __future__ import annotations

import matplotlib
import numpy as np
import pandas as pd

from benchmarks._page import save_figure
from benchmarks.audit._detectors import DETECTORS
from benchmarks.audit._failures import FAILURES, PROBABILITIES
from benchmarks.audit._tables import REPAIRS, by_cell, noisy, pooled_bins, repair_gain, repaired
from benchmarks.fidelity._tables import ranks

matplotlib.use("Agg")
from matplotlib import pyplot as plt

_OTHERS = [colour for colour in matplotlib.color_sequences["tab10"] if colour != matplotlib.colors.to_rgb("tab:red")]


def draw_ranks(runs: pd.DataFrame) -> str:
    """Mean ranks by AUROC at both questions; returns the file's name."""
    contests = (
        ("wrong labels", DETECTORS, by_cell(noisy(runs), "labels", "auroc")),
        ("wrong predictions", FAILURES, by_cell(runs, "failures", "auroc")),
    )
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, (title, methods, wide) in zip(axes, contests, strict=True):
        found = ranks(wide)
        colours = ["tab:red" if name == "audit" else "tab:blue" for name in found.index]
        axis.barh([methods[name] for name in found.index], found, color=colours)
        axis.invert_yaxis()
        axis.set(title=title, xlabel="mean rank by AUROC, 1 the best")
    return save_figure(figure, "audit-ranks.png")


def draw_detection(runs: pd.DataFrame) -> str:
    """AUROC against the share of wrong labels on each data set; returns the file's name."""
    wide = by_cell(noisy(runs), "labels", "auroc")
    datasets = list(wide.index.unique("dataset"))
    figure, axes = plt.subplots(1, len(datasets), figsize=(2.6 * len(datasets), 3.6), layout="constrained")
    for axis, dataset in zip(np.atleast_1d(axes), datasets, strict=True):
        means = wide.xs(dataset, level="dataset").groupby("rate").mean()
        for place, (name, title) in enumerate(DETECTORS.items()):
            style = {"lw": 1.0, "color": _OTHERS[place - 1]}
            if name == "audit":
                style = {"lw": 2.4, "color": "tab:red", "zorder": 3}
            axis.plot(100 * means.index, means[name], "o-", ms=3, label=title, **style)
        axis.set(title=dataset, xlabel="wrong labels (%)", ylabel="AUROC")
    figure.legend(*axis.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8)
    return save_figure(figure, "audit-detection.png")


def draw_calibration(runs: pd.DataFrame) -> str:
    """Shares of wrong ones against the probability that was said; returns the file's name."""
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.8), layout="constrained", sharey=True)
    for axis, title, question, methods in (
        (axes[0], "labels", "labels", ("audit",)),
        (axes[1], "predictions for test nodes", "failures", PROBABILITIES),
    ):
        axis.plot([0, 1], [0, 1], color="gray", lw=0.8)
        for method in methods:
            count, said, true = pooled_bins(runs, f"{question}/{method}").T
            there = count > 0
            style = {"lw": 2.2, "color": "tab:red"} if method == "audit" else {"lw": 1}
            axis.plot(
                said[there] / count[there], true[there] / count[there], "o-", ms=3, label=FAILURES[method], **style
            )
        axis.set(title=title, xlabel="probability to be wrong", ylabel="share that is wrong")
        axis.legend(fontsize=7)
    return save_figure(figure, "audit-calibration.png")


def draw_repairs(runs: pd.DataFrame) -> str:
    """The accuracy that comes back on each data set; returns the file's name."""
    own = repaired(runs)
    datasets = list(own.dataset.unique())
    figure, axis = plt.subplots(figsize=(8, 3.6), layout="constrained")
    colours = ("tab:red", "tab:orange", "tab:blue", "tab:cyan", "gray", "lightgray")
    names = [name for name in REPAIRS if name != "noisy"]
    for place, (name, colour) in enumerate(zip(names, colours, strict=True)):
        gains = [repair_gain(own[own.dataset == dataset], name) for dataset in datasets]
        axis.bar(
            np.arange(len(datasets)) + 0.13 * (place - 2.5),
            [gain.mean() for gain in gains],
            width=0.13,
            yerr=[0.0 if len(gain) < 2 else float(gain.sem()) for gain in gains],
            color=colour,
            label=REPAIRS[name],
        )
    axis.set(xticks=range(len(datasets)), ylabel="gain in test accuracy (points)")
    axis.set_xticklabels(datasets)
    axis.axhline(0, color="black", lw=0.8)
    axis.legend(fontsize=7)
    return save_figure(figure, "audit-repairs.png")
