"""Figures of a whole graph: how psi is distributed, where conflict lies, how the training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gragr_explain.context import FEATURES
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.report._projection import project
from gragr_explain.report._psi import ROLE_MEANING, WORDING
from gragr_explain.report._style import ACCENT, CALM, LINE, RAMP, SOFT, new_axes, style
from gragr_explain.report._table import numbers

if TYPE_CHECKING:
    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory

BINS = 24

PANELS = {
    "Loss": {"loss": "training loss"},
    "Accuracy": {"val_acc": "validation"},
    "Nodes in conflict": {"conflict_share": "share of nodes"},
    "Conflict energy": {"conflict_energy": "energy"},
}
"""The panels of the training curves: which of a history's curves they show, and under which names."""


def psi_distribution(explanations: NodeExplanations, feature: str, ax: Axes | None = None) -> Axes:
    """How one psi is distributed over the graph, and over the wrong predictions among the explained nodes.

    The axis is logarithmic where the values are positive and span more than two orders of magnitude. It leaves out
    the outermost half percent on either side.

    Args:
        explanations: The explanations.
        feature: One of :data:`gragr_explain.context.FEATURES`.
        ax: Where to draw; on a figure of its own by default.

    Raises:
        InvalidArgumentError: There is no such feature.
    """
    if feature not in FEATURES:
        raise InvalidArgumentError(f"expected one of {FEATURES}, got {feature!r}")
    column, context = FEATURES.index(feature), explanations.context
    valid = context.valid[:, column].cpu()
    everywhere = context.psi[:, column].cpu()[valid].double().numpy()
    frame = numbers(explanations)
    wrong = frame.loc[frame["correct"].eq(False).fillna(False), f"psi_{feature}"].dropna().to_numpy()
    with style():
        ax = ax or new_axes()
        ax.set_title(WORDING[feature].title)
        ax.set_yticks([])
        if not len(everywhere):
            ax.text(0.5, 0.5, "not defined on this graph", ha="center", va="center", transform=ax.transAxes)
            ax.set_xticks([])
            return ax
        bins, scale = _bins(everywhere)
        ax.set_xscale(scale)
        share = np.ones_like(everywhere) / len(everywhere)
        ax.hist(everywhere.clip(bins[0], bins[-1]), bins, weights=share, color=SOFT, label="all nodes")
        if len(wrong):
            share = np.ones_like(wrong) / len(wrong)
            wrong = wrong.clip(bins[0], bins[-1])
            label = "wrong predictions"
            ax.hist(wrong, bins, weights=share, color=ACCENT, histtype="step", linewidth=1.4, label=label)
            ax.legend(loc="upper left", ncols=2, handlelength=1.1, borderaxespad=0)
        ax.set_ylim(top=1.22 * ax.get_ylim()[1])
        ax.set_xlabel(f"\N{LEFTWARDS ARROW} {WORDING[feature].low}  |  {WORDING[feature].high} \N{RIGHTWARDS ARROW}")
    return ax


def psi_distributions(explanations: NodeExplanations) -> Figure:
    """How the six psi are distributed: five histograms and the roles; see :func:`psi_distribution`."""
    figure = Figure(figsize=(10.2, 4.6), layout="constrained")
    for place, feature in enumerate(FEATURES):
        with style():
            ax = figure.add_subplot(2, 3, place + 1)
        if feature == "role":
            role_counts(explanations, ax)
        else:
            psi_distribution(explanations, feature, ax)
    return figure


def role_counts(explanations: NodeExplanations, ax: Axes | None = None) -> Axes:
    """How many of the explained nodes play each role.

    Args:
        explanations: The explanations.
        ax: Where to draw; on a figure of its own by default.
    """
    roles = [explanations.context.role(int(node)) for node in explanations.index]
    names = [*ROLE_MEANING, *(["not defined"] if None in roles else [])]
    counts = [roles.count(None if name == "not defined" else name) for name in names]
    with style():
        ax = ax or new_axes()
        ax.set_title(WORDING["role"].title)
        bars = ax.barh(names, counts, color=[SOFT if name == "not defined" else CALM for name in names], height=0.62)
        ax.bar_label(bars, [f"{count:,}" for count in counts], padding=4, fontsize=8)
        ax.invert_yaxis()
        ax.set_xticks([])
        ax.grid(False)
        ax.spines["bottom"].set_visible(False)
        ax.margins(x=0.18)
    return ax


def conflict_map(
    explanations: NodeExplanations, *, positions: np.ndarray | None = None, ax: Axes | None = None
) -> Axes:
    """Where conflict lies: every node of the graph on a plane, coloured by the rank of its conflict.

    Wrong predictions among the explained nodes are ringed; nodes whose conflict is not defined are grey.

    Args:
        explanations: The explanations.
        positions: Where nodes lie, ``[num_nodes, 2]``; by default similar hidden representations lie together.
        ax: Where to draw; on a figure of its own by default.
    """
    positions = project(explanations.hidden) if positions is None else np.asarray(positions)
    rank = explanations.context.rank[:, 0].cpu().double().numpy()
    frame = numbers(explanations)
    wrong = frame.loc[frame["correct"].eq(False).fillna(False), "node"].to_numpy()
    size = float(np.clip(20000 / max(len(rank), 1), 3, 36))
    order = np.argsort(np.nan_to_num(rank, nan=-1.0), kind="stable")
    grey, coloured = order[np.isnan(rank[order])], order[~np.isnan(rank[order])]
    with style():
        ax = ax or new_axes(6.4, 5.2)
        x, y = positions.T
        ax.scatter(x[grey], y[grey], s=size, color=LINE, linewidths=0)
        points = ax.scatter(x[coloured], y[coloured], s=size, c=rank[coloured], cmap=RAMP, vmin=0, vmax=1, linewidths=0)
        rings = ax.scatter(x[wrong], y[wrong], s=2.6 * size, facecolors="none", edgecolors=ACCENT, linewidths=0.9)
        ax.set(xticks=[], yticks=[], title="Where conflict lies")
        ax.spines["bottom"].set_visible(False)
        if len(wrong):
            ax.legend([rings], ["wrong prediction"], loc="lower right")
        bar = ax.figure.colorbar(points, ax=ax, ticks=[0, 0.5, 1], shrink=0.6, aspect=24)
        bar.ax.set_yticklabels(["least", "median", "most"])
        bar.set_label("conflict, by rank in the graph")
        bar.outline.set_visible(False)
    return ax


def training_curve(history: GradientHistory, panel: str, ax: Axes | None = None) -> Axes:
    """One panel of :func:`training_curves`.

    Args:
        history: A recorded history.
        panel: ``"Loss"``, ``"Accuracy"``, ``"Nodes in conflict"`` or ``"Conflict energy"``.
        ax: Where to draw; on a figure of its own by default.

    Raises:
        InvalidArgumentError: There is no such panel.
    """
    if panel not in PANELS:
        raise InvalidArgumentError(f"expected one of {tuple(PANELS)}, got {panel!r}")
    with style():
        ax = ax or new_axes()
        ax.set_title(panel)
        lines = [(label, history.curves[name]) for name, label in PANELS[panel].items() if history.curves.get(name)]
        for (label, values), colour in zip(lines, (CALM, ACCENT), strict=False):
            marker = "o" if len(values) == 1 else None
            ax.plot(range(1, len(values) + 1), values, color=colour, label=label, marker=marker, linewidth=1.5)
        if len(lines) > 1:
            ax.legend(loc="best")
        ax.set_xlabel("epoch")
    return ax


def training_curves(history: GradientHistory) -> Figure:
    """How the training went: loss, accuracy, share of conflict nodes and conflict energy over the epochs.

    A panel whose curves the history does not have is left out.
    """
    panels = recorded_panels(history)
    figure = Figure(figsize=(3.4 * max(len(panels), 1), 2.3), layout="constrained")
    for place, panel in enumerate(panels):
        with style():
            ax = figure.add_subplot(1, len(panels), place + 1)
        training_curve(history, panel, ax)
    return figure


def recorded_panels(history: GradientHistory) -> list[str]:
    """The panels for which a history has a curve."""
    return [panel for panel, curves in PANELS.items() if any(history.curves.get(name) for name in curves)]


def _bins(values: np.ndarray) -> tuple[list[float], str]:
    """Edges of bins over the inner 99 percent of values, and the scale of the axis they lie on."""
    low, high = np.quantile(values, [0.005, 0.995])
    if values.min() > 0 and low > 0 and high / low > 100:
        return np.geomspace(low, high, BINS + 1).tolist(), "log"
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        margin = 0.5 * max(abs(low), 1e-6)
        low, high = low - margin, high + margin
    return np.linspace(low, high, BINS + 1).tolist(), "linear"
