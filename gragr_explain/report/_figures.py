"""Figures of a whole graph: how psi is distributed, and where conflict lies."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from gragr_explain.arguments import check_type
from gragr_explain.context import FEATURES
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.explain import NodeExplanations
from gragr_explain.report._histogram import histogram
from gragr_explain.report._projection import project
from gragr_explain.report._psi import ROLE_MEANING, WORDING
from gragr_explain.report._style import ACCENT, CALM, LINE, RAMP, SOFT, axes_to_draw_on, shown_axes, style
from gragr_explain.report._table import is_wrong, numbers


def psi_distribution(explanations: NodeExplanations, feature: str, ax: Axes | None = None) -> Axes:
    """How one psi is distributed over the graph, and over the wrong predictions among the explained nodes.

    The axis is logarithmic where the values are positive and span more than two orders of magnitude. It leaves out
    the outermost half percent on either side.

    Args:
        explanations: The explanations.
        feature: One of :data:`gragr_explain.context.FEATURES`.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``ax`` is no axes.
        InvalidArgumentError: There is no such feature.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> psi_distribution(explanations, "conflict").get_title("left")
        'Conflict'
    """
    check_type("explanations", explanations, NodeExplanations)
    if feature not in FEATURES:
        raise InvalidArgumentError(f"expected one of {FEATURES}, got {feature!r}")
    column, context = FEATURES.index(feature), explanations.context
    valid = context.valid[:, column].cpu()
    everywhere = context.psi[:, column].cpu()[valid].double().numpy()
    frame = numbers(explanations)
    wrong = frame.loc[is_wrong(frame), f"psi_{feature}"].dropna().to_numpy()
    with style():
        ax = axes_to_draw_on(ax)
        ax.set_title(WORDING[feature].title)
        ax.set_yticks([])
        if not len(everywhere):
            ax.text(0.5, 0.5, "not defined on this graph", ha="center", va="center", transform=ax.transAxes)
            ax.set_xticks([])
            return ax
        found = histogram(everywhere)
        bins = found.edges
        ax.set_xscale(found.scale)
        ax.stairs(found.shares, bins, fill=True, color=SOFT, label="all nodes")
        if len(wrong):
            share = np.ones_like(wrong) / len(wrong)
            wrong = wrong.clip(bins[0], bins[-1])
            label = "wrong predictions"
            ax.hist(wrong, bins, weights=share, color=ACCENT, histtype="step", linewidth=1.4, label=label)
            ax.legend(loc="upper left", ncols=2, handlelength=1.1, borderaxespad=0)
        ax.set_ylim(top=1.22 * ax.get_ylim()[1])
        ax.set_xlabel(f"\N{LEFTWARDS ARROW} {WORDING[feature].low}  |  {WORDING[feature].high} \N{RIGHTWARDS ARROW}")
    return ax


def psi_distributions(explanations: NodeExplanations) -> list[Axes]:
    """How the six psi are distributed, side by side: five of :func:`psi_distribution` and :func:`role_counts`.

    Raises:
        InvalidTypeError: The explanations are of another type.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> [ax.get_title("left") for ax in psi_distributions(explanations)]
        ['Conflict', 'Stability', 'Influence', 'Confidence and gradient', 'Role', 'Receptiveness']
    """
    check_type("explanations", explanations, NodeExplanations)
    axes = shown_axes(len(FEATURES), columns=3)
    for feature, ax in zip(FEATURES, axes, strict=True):
        if feature == "role":
            role_counts(explanations, ax)
        else:
            psi_distribution(explanations, feature, ax)
    return axes


def role_counts(explanations: NodeExplanations, ax: Axes | None = None) -> Axes:
    """How many of the explained nodes play each role.

    Args:
        explanations: The explanations.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``ax`` is no axes.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> ax = role_counts(explanations)
        >>> [label.get_text() for label in ax.get_yticklabels()], [text.get_text() for text in ax.texts]
        (['hub', 'bridge', 'follower', 'outlier'], ['0', '0', '6', '0'])
    """
    check_type("explanations", explanations, NodeExplanations)
    roles = [explanations.context.role(int(node)) for node in explanations.index]
    names = [*ROLE_MEANING, *(["not defined"] if None in roles else [])]
    counts = [roles.count(None if name == "not defined" else name) for name in names]
    with style():
        ax = axes_to_draw_on(ax)
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
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations are of another type, or ``ax`` is no axes.
        InvalidArgumentError: The positions are not two numbers for each node.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> in_a_row = [(node, 0) for node in range(6)]
        >>> conflict_map(explanations, positions=in_a_row).get_title("left")
        'Where conflict lies'
    """
    check_type("explanations", explanations, NodeExplanations)
    positions = project(explanations.hidden) if positions is None else np.asarray(positions)
    if positions.shape != (explanations.context.num_nodes, 2) or positions.dtype.kind not in "iuf":
        raise InvalidArgumentError(
            f"expected positions as numbers of shape [{explanations.context.num_nodes}, 2], got {positions.dtype} of "
            f"shape {list(positions.shape)}"
        )
    rank = explanations.context.rank[:, 0].cpu().double().numpy()
    frame = numbers(explanations)
    wrong = frame.loc[is_wrong(frame), "node"].to_numpy()
    size = float(np.clip(20000 / max(len(rank), 1), 3, 36))
    order = np.argsort(np.nan_to_num(rank, nan=-1.0), kind="stable")
    grey, coloured = order[np.isnan(rank[order])], order[~np.isnan(rank[order])]
    with style():
        ax = axes_to_draw_on(ax, width=6.4, height=5.2)
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
