"""Pictures of which frequencies a model's layers favour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gragr_explain.arguments import check_type
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.models._frequencies import FrequencyProfile

_LOW, _HIGH, _NEITHER, _LINE = "#2563a8", "#c81d4e", "#1f2733", "#b7c3d3"
_LONG, _LONGEST = 10, 18  # characters of a layer's name that fit below its arrow, as it is and slanted
_COLOURS = {"low": _LOW, "high": _HIGH, "neither": _NEITHER}


def plot_frequencies(profile: FrequencyProfile, ax: Axes | None = None) -> Axes:
    """Draw what each layer does to the mean frequency: one arrow a layer, blue where it smooths, red where it sharpens.

    Args:
        profile: What :func:`frequency_profile` found.
        ax: Where to draw; on a figure of its own by default.

    Raises:
        InvalidTypeError: If it is no profile, or ``ax`` no axes.

    Example:
        >>> import torch
        >>> profile = FrequencyProfile(("first", "second"), torch.tensor([1.0, 0.6]), torch.tensor([0.6, 0.3]), 1.8)
        >>> plot_frequencies(profile).get_ylabel()
        'mean frequency'
    """
    check_type("profile", profile, FrequencyProfile)
    check_type("ax", ax, Axes, optional=True)
    ax = ax or Figure(figsize=(1.6 + 0.9 * len(profile.layers), 2.8), layout="constrained").add_subplot()
    _levels(ax, profile.largest)
    before, after = profile.before.tolist(), profile.after.tolist()
    for place, (start, end, kind) in enumerate(zip(before, after, profile.dominance, strict=True)):
        arrow = {"arrowstyle": "-|>", "color": _COLOURS[kind], "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (place + 0.85, end), (place + 0.15, start), arrowprops=arrow)
    for place in range(len(before) - 1):
        ends = (after[place], before[place + 1])
        ax.plot((place + 0.85, place + 1.15), ends, color=_LINE, linewidth=1)
    ax.set_xlim(0, len(before))
    names = [_shortened(name) for name in profile.layers]
    slanted: dict[str, Any] = {"rotation": 30, "ha": "right"} if max(map(len, names)) > _LONG else {}
    ax.set_xticks([place + 0.5 for place in range(len(before))], names, **slanted)
    ax.set_title(f"Dominant frequencies: {profile.overall}", fontsize=10, loc="left")
    return ax


def plot_frequency_history(profiles: Mapping[int, FrequencyProfile], ax: Axes | None = None) -> Axes:
    """Draw the mean frequency after each layer over a recorded training.

    Args:
        profiles: What :func:`frequency_history` found.
        ax: Where to draw; on a figure of its own by default.

    Raises:
        InvalidTypeError: If it is no mapping to profiles, or ``ax`` no axes.
        InvalidArgumentError: If there is no profile.

    Example:
        >>> from gragr_explain.models import frequency_history
        >>> ax = plot_frequency_history(frequency_history(trained, data))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['model.convs.0', 'model.convs.1']
    """
    check_type("profiles", profiles, Mapping)
    check_type("ax", ax, Axes, optional=True)
    for profile in profiles.values():
        check_type("a profile", profile, FrequencyProfile)
    if not profiles:
        raise InvalidArgumentError("expected at least one profile, got none")
    ax = ax or Figure(figsize=(4.2, 2.8), layout="constrained").add_subplot()
    steps, last = list(profiles), next(reversed(list(profiles.values())))
    _levels(ax, last.largest)
    for layer, name in enumerate(last.layers):
        values = [float(profile.after[layer]) for profile in profiles.values()]
        shade = (layer + 1) / len(last.layers)
        ax.plot(steps, values, color=_COLOURS[last.overall], alpha=shade, marker="o", markersize=3, label=name)
    ax.legend(frameon=False, fontsize=8)
    ax.set_xlabel("training step")
    ax.set_title(f"Dominant frequencies: {last.overall}", fontsize=10, loc="left")
    return ax


def _levels(ax: Axes, largest: float) -> None:
    for level, text in ((0.0, "smooth"), (1.0, "random"), (largest, "rough")):
        ax.axhline(level, color=_LINE, linewidth=0.8, linestyle="--", zorder=0)
        ax.annotate(text, (1, level), xycoords=("axes fraction", "data"), fontsize=7, ha="right", va="bottom")
    ax.set_ylim(-0.05 * max(largest, 1), 1.1 * max(largest, 1))
    ax.set_ylabel("mean frequency")
    ax.spines[["top", "right"]].set_visible(False)


def _shortened(name: str) -> str:
    """A name as it is or, if it is long, without its middle.

    Example:
        >>> _shortened("encoder.blocks.11.convolution")
        'encoder.…nvolution'
    """
    half = _LONGEST // 2
    return name if len(name) <= _LONGEST else f"{name[: half - 1]}…{name[-half:]}"
