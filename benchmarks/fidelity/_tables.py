"""From tidy rows to the scores of cells: an explainer on a data set and a backbone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch_geometric.explain.metric import characterization_score, fidelity_curve_auc

from benchmarks.fidelity._cases import GRAPH_DATASETS, MOTIF_DATASETS, NODE_DATASETS
from benchmarks.fidelity._explainers import EXPLAINERS
from benchmarks.fidelity._scores import SHARES

CELL = ["dataset", "backbone", "explainer", "focus", "mask"]
HISTORY = ("ours, no history", "ours, shuffled history")
UNTRAINED = "ours, uses, random weights"
USES = tuple(name for name, method in EXPLAINERS.items() if method.uses)
"""What a model uses, whether it speaks for the prediction or against it: the question that motifs answer."""
REFINED = ("ours, never refined", "ours, always refined")
"""For nodes, no ranking refined, and all, where by default those are for which the search has failed."""
VARIANTS = (*HISTORY, *REFINED, *USES)
"""Not ranked by characterisation."""
LEVELS = {"nodes": NODE_DATASETS, "motifs": MOTIF_DATASETS, "graphs": GRAPH_DATASETS}
_DIGITS = 4
"""Scores that differ by less are the same where explainers are ranked: by rounding, or by a choice among equals."""


def cells(rows: pd.DataFrame) -> pd.DataFrame:
    """Fidelity and characterisation of each cell, focus and mask, by probability and by prediction.

    Fidelity is the mean over instances of how much the class's probability falls, fidelity+ without the masked edges
    and fidelity− with these alone; or of how often the prediction becomes right or wrong (GraphFramEx). Instances for
    which the explainer failed are left out.

    Args:
        rows: What :func:`benchmarks.fidelity._scores.measure` has found.

    Returns:
        Indexed by :data:`CELL`, with ``plus``, ``minus`` and ``score`` by probability, ``plus_pred``, ``minus_pred``
        and ``score_pred`` by prediction, and means of what else was measured.
    """
    found = rows[rows["mask"] != ""].copy()
    hit = {part: found[f"pred_{part}"] == found["target"] for part in ("full", "kept", "removed")}
    found["plus"], found["minus"] = found.p_full - found.p_removed, found.p_full - found.p_kept
    found["plus_pred"], found["minus_pred"] = (hit["full"] != hit["removed"]), (hit["full"] != hit["kept"])
    found["count"] = 1
    means = ["plus", "minus", "plus_pred", "minus_pred", "num_edges", "seconds", "unfaithfulness"]
    means += [column for column in ("truth_auroc", "truth_recall") if column in found]
    grouped = found.astype({"plus_pred": float, "minus_pred": float}).groupby(CELL)
    table = grouped[means].mean().join(grouped[["count"]].sum())
    for form in ("", "_pred"):
        table[f"score{form}"] = characterisation(table[f"plus{form}"], table[f"minus{form}"])
    return table


def characterisation(plus: pd.Series, minus: pd.Series) -> np.ndarray:
    """PyG's ``characterization_score``; 0 where nothing is lost without the explanation.

    Example:
        >>> characterisation(pd.Series([0.5, -0.1]), pd.Series([0.5, 0.0]))
        array([0.5, 0. ])
    """
    pair = (torch.tensor(values.to_numpy(dtype=float)) for values in (plus.clip(lower=0), minus))
    return characterization_score(*pair).numpy()


def curve_areas(table: pd.DataFrame, focus: str = "model") -> pd.Series:
    """PyG's ``fidelity_curve_auc`` over the shares of edges, by data set, backbone and explainer."""
    masks = [f"{share} %" for share in SHARES]
    own = table.xs(focus, level="focus")
    plus, minus = (own[name].unstack("mask")[masks] for name in ("plus", "minus"))
    x = torch.tensor(SHARES, dtype=torch.double) / 100
    areas = [
        float(fidelity_curve_auc(torch.tensor(p).clamp(min=0), torch.tensor(m).clamp(max=1 - 1e-9), x))
        for p, m in zip(plus.to_numpy(), minus.to_numpy(), strict=True)
    ]
    return pd.Series(areas, index=plus.index)


def by_cell(table: pd.DataFrame, mask: str = "10", focus: str = "model", value: str = "score") -> pd.DataFrame:
    """One value of each cell (data set, backbone), in a column for each explainer."""
    return table[value].xs((focus, mask), level=("focus", "mask")).unstack("explainer")


def of_datasets(wide: pd.DataFrame, datasets: Sequence[str]) -> pd.DataFrame:
    """The cells of some data sets."""
    return wide[wide.index.get_level_values("dataset").isin(datasets)]


def everywhere(wide: pd.DataFrame) -> list[str]:
    """The explainers that have a score in every cell, without the variants of ours."""
    return [name for name in wide if name not in VARIANTS and wide[name].notna().all()]


def ranks(wide: pd.DataFrame) -> pd.Series:
    """The mean rank of each explainer over cells, 1 the best; equals share theirs.

    Explainers with a score in every cell are ranked among themselves; each of the others in the cells that it is in,
    among those and itself.
    """
    wide = wide.round(_DIGITS)
    shared = everywhere(wide)
    found = wide[shared].rank(axis=1, ascending=False).mean()
    for name in wide.columns.difference([*shared, *VARIANTS]):
        own = wide.loc[wide[name].notna(), [*shared, name]]
        if len(own):
            found[name] = own.rank(axis=1, ascending=False)[name].mean()
    return found.sort_values()


def friedman(wide: pd.DataFrame) -> float:
    """The p-value of Friedman's test that all explainers are alike; NaN with fewer than three cells."""
    shared = everywhere(wide)
    if len(wide) < 3 or len(shared) < 3:
        return float("nan")
    return float(stats.friedmanchisquare(*(wide[name].round(_DIGITS) for name in shared)).pvalue)


def against(wide: pd.DataFrame, ours: str = "ours") -> pd.DataFrame:
    """Ours beside each other explainer, in the cells where both have a score.

    Returns:
        Indexed by explainer: ``cells``, their number; ``better`` and ``worse``, in how many of them ours is; the mean
        ``difference`` of the score; ``ratio`` of the means; and ``p`` of Wilcoxon's signed-rank test, multiplied as
        Holm does.
    """
    found = {}
    for name in wide.columns.difference([ours, *VARIANTS]):
        both = wide.reindex(columns=[ours, name]).dropna().round(_DIGITS)
        difference = both[ours] - both[name]
        p = float(stats.wilcoxon(difference).pvalue) if difference.any() else 1.0
        ratio = both[ours].mean() / both[name].mean() if both[name].mean() > 0 else float("inf")
        found[name] = {
            "cells": len(both),
            "better": int((difference > 0).sum()),
            "worse": int((difference < 0).sum()),
            "difference": difference.mean(),
            "ratio": ratio,
            "p": p,
        }
    table = pd.DataFrame(found).T.sort_values("p")
    table["p"] = (table["p"] * np.arange(len(table), 0, -1)).cummax().clip(upper=1)
    return table
