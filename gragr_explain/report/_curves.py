"""Figures of a training: its curves, and what became of the nodes meanwhile."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.explain import NodeExplanations
from gragr_explain.history import GradientHistory
from gragr_explain.report._style import ACCENT, CALM, axes_to_draw_on, shown_axes, style
from gragr_explain.report._table import is_wrong, numbers

PANELS = {
    "Loss": {"loss": "training loss"},
    "Accuracy": {"val_acc": "validation"},
    "Nodes in conflict": {"conflict_share": "share of nodes"},
    "Conflict energy": {"conflict_energy": "energy"},
}
"""The panels of the training curves: which of a history's curves they show, and under which names."""

_SHARES = ("Accuracy", "Nodes in conflict")

TRAJECTORIES = {
    "alignment": "How nodes agreed with neighbours",
    "confidence": "How sure the model was",
    "norm": "How hard nodes pulled",
}
"""The values of each node over the training that can be drawn, and the titles of the drawings."""


def training_curve(history: GradientHistory, panel: str, ax: Axes | None = None) -> Axes:
    """One panel of :func:`training_curves`.

    Args:
        history: A recorded history.
        panel: ``"Loss"``, ``"Accuracy"``, ``"Nodes in conflict"`` or ``"Conflict energy"``.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The history is of another type, or ``ax`` is no axes.
        InvalidArgumentError: There is no such panel.

    Example:
        >>> ax = training_curve(trained.history, "Loss")
        >>> ax.get_xlabel(), len(ax.lines[0].get_xdata())
        ('epoch', 30)
    """
    check_type("history", history, GradientHistory)
    if panel not in tuple(PANELS):
        raise InvalidArgumentError(f"expected one of {tuple(PANELS)}, got {panel!r}")
    with style():
        ax = axes_to_draw_on(ax)
        ax.set_title(panel)
        lines = [(label, history.curves[name]) for name, label in PANELS[panel].items() if history.curves.get(name)]
        for (label, values), colour in zip(lines, (CALM, ACCENT), strict=False):
            marker = "o" if len(values) == 1 else None
            ax.plot(range(1, len(values) + 1), values, color=colour, label=label, marker=marker, linewidth=1.5)
        if len(lines) > 1:
            ax.legend(loc="best")
        if panel in _SHARES:
            ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.set_xlabel("epoch")
    return ax


def training_curves(history: GradientHistory) -> list[Axes]:
    """How the training went: loss, accuracy, share of conflict nodes and conflict energy over the epochs, side by side.

    A panel whose curves the history does not have is left out.

    Raises:
        InvalidTypeError: The history is of another type.

    Example:
        >>> [ax.get_title("left") for ax in training_curves(trained.history)]
        ['Loss', 'Accuracy', 'Nodes in conflict', 'Conflict energy']
    """
    check_type("history", history, GradientHistory)
    panels = recorded_panels(history)
    if not panels:
        return []
    axes = shown_axes(len(panels), columns=len(panels))
    return [training_curve(history, panel, ax) for panel, ax in zip(panels, axes, strict=True)]


def trajectory(explanations: NodeExplanations, history: GradientHistory, name: str, ax: Axes | None = None) -> Axes:
    """A value of the explained nodes over the training, of those predicted right and of those predicted wrong.

    Lines are medians; the bands hold the middle half of the nodes. Where no label is known, all nodes are one group.

    Args:
        explanations: The explanations of some of the nodes.
        history: What was recorded of the training of their model, on the same graph.
        name: ``"confidence"``, ``"norm"`` for the size of the gradients, or ``"alignment"`` for the cosine of the
            gradients with those of the neighbours, on which psi's conflict rests.
        ax: Where to draw; on a figure of pyplot's by default, which a notebook shows.

    Raises:
        InvalidTypeError: The explanations or the history are of another type, or ``ax`` is no axes.
        InvalidArgumentError: There is no such trajectory, it was not recorded, or it is of another graph.

    Example:
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> trajectory(explanations, trained.history, "confidence").get_title("left")
        'How sure the model was'
    """
    check_type("explanations", explanations, NodeExplanations)
    check_type("history", history, GradientHistory)
    if name not in tuple(TRAJECTORIES):
        raise InvalidArgumentError(f"expected one of {tuple(TRAJECTORIES)}, got {name!r}")
    if name not in recorded_trajectories(explanations, history):
        raise InvalidArgumentError(
            f"expected a history with the {name} of {explanations.context.num_nodes} nodes over two steps or more, "
            f"got one of {sorted(history.trajectories)}"
        )
    recorded = history.trajectories[name]
    values = recorded.values[:, explanations.index.to(recorded.sums.device)].cpu().double().numpy()
    frame = numbers(explanations)
    correct = frame["correct"]
    groups = {
        "right predictions": (correct.eq(True).fillna(False).to_numpy(bool), CALM),
        "wrong predictions": (is_wrong(frame).to_numpy(bool), ACCENT),
    }
    if correct.isna().all():
        groups = {"explained nodes": (np.ones(len(correct), dtype=bool), CALM)}
    taken = history.num_steps / recorded.count  # steps from one observation to the next
    steps = [taken * start for start in recorded.starts]
    with style():
        ax = axes_to_draw_on(ax)
        ax.set_title(TRAJECTORIES[name])
        for label, (members, colour) in groups.items():
            if members.any():
                low, middle, high = np.nanquantile(values[:, members], [0.25, 0.5, 0.75], axis=1)
                ax.fill_between(steps, low, high, color=colour, alpha=0.16, linewidth=0)
                ax.plot(steps, middle, color=colour, label=label, linewidth=1.5)
        if name == "confidence":
            ax.yaxis.set_major_formatter(PercentFormatter(1))
        ax.legend(loc="best")
        ax.set_xlabel("step")
    return ax


def recorded_trajectories(explanations: NodeExplanations, history: GradientHistory) -> list[str]:
    """The values of which a history has two or more steps for the nodes of a graph."""
    size = explanations.context.num_nodes if len(explanations) else None
    found = {name: each for name, each in history.trajectories.items() if each.sums.size(1) == size}
    return [name for name in TRAJECTORIES if name in found and len(found[name].starts) > 1]


def recorded_panels(history: GradientHistory) -> list[str]:
    """The panels for which a history has a curve."""
    return [panel for panel, curves in PANELS.items() if any(history.curves.get(name) for name in curves)]
