"""Figures of the page."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd

from benchmarks._page import save_figure
from benchmarks.fidelity._cases import MOTIF_DATASETS
from benchmarks.fidelity._scores import SHARES

matplotlib.use("Agg")
from matplotlib import pyplot as plt

SHOWN = ("ours", "Saliency", "IntegratedGradients", "ShapleyValueSampling", "GNNExplainer", "PGExplainer", "random")


def draw_ranks(ranks: dict[str, pd.Series]) -> str:
    """The mean rank of each explainer, a panel for each kind of cells; returns the file's name."""
    figure, axes = plt.subplots(1, len(ranks), figsize=(4.2 * len(ranks), 4.6), layout="constrained", squeeze=False)
    for axis, (title, found) in zip(axes[0], ranks.items(), strict=True):
        colours = ["tab:red" if name == "ours" else "tab:blue" for name in found.index]
        axis.barh(found.index, found, color=colours)
        axis.invert_yaxis()
        axis.set(title=title, xlabel="mean rank, 1 the best")
        axis.tick_params(labelsize=8)
    return save_figure(figure, "fidelity-ranks.png")


def draw_curves(table: pd.DataFrame, backbones: Sequence[str]) -> str:
    """Fidelity at shares of the computation graph, mean over real data sets; returns the file's name.

    Explainers that are not measured on all of them are left out: their means would be of other data.
    """
    own = table.xs("model", level="focus").reset_index()
    own = own[~own.dataset.isin(MOTIF_DATASETS)]
    figure, axes = plt.subplots(
        2, len(backbones), figsize=(3.1 * len(backbones), 5.6), layout="constrained", sharex=True
    )
    for row, (column, label) in enumerate((("plus", "fidelity+"), ("minus", "fidelity−"))):
        for axis, backbone in zip(axes[row], backbones, strict=True):
            for name in SHOWN:
                cells = own[(own.backbone == backbone) & (own.explainer == name)]
                means = cells.groupby("mask")[column].mean().reindex([f"{share} %" for share in SHARES])
                if cells.dataset.nunique() == own[own.backbone == backbone].dataset.nunique():  # else of other data
                    style = {"lw": 2.4, "color": "tab:red"} if name == "ours" else {"lw": 1.1}
                    axis.plot(SHARES, means, marker=".", label=name, **style)
            axis.set(title=backbone if row == 0 else "", xlabel="edges kept (%)" if row else "", ylabel=label)
    axes[0, 0].legend(fontsize=6)
    return save_figure(figure, "fidelity-curves.png")


def draw_motifs(table: pd.DataFrame) -> str:
    """How well explainers find the motif, each data set and backbone a dot; returns the file's name."""
    own = table.xs(("model", "soft"), level=("focus", "mask")).reset_index()
    own = own[own.dataset.isin(MOTIF_DATASETS)]
    order = own.groupby("explainer").truth_auroc.mean().sort_values(ascending=False).index
    figure, axis = plt.subplots(figsize=(7, 4.8), layout="constrained")
    for place, name in enumerate(order):
        values = own[own.explainer == name].truth_auroc
        axis.scatter(
            values,
            np.full(len(values), place),
            s=9,
            alpha=0.5,
            color="tab:red" if name.startswith("ours") else "tab:blue",
        )
        axis.plot([values.mean()], [place], marker="|", ms=14, color="black")
    axis.set(yticks=range(len(order)), xlabel="AUROC of the motif's edges", ylim=(len(order) - 0.5, -0.5))
    axis.set_yticklabels(order, fontsize=8)
    axis.axvline(0.5, color="gray", lw=0.8, ls="--")
    return save_figure(figure, "fidelity-motifs.png")
