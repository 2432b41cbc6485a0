"""Colours, and figures that take on the colours of the page they stand in."""

from __future__ import annotations

import colorsys
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from gragr_explain.arguments import check_type

INK, LINE, SOFT, ACCENT, CALM = "#1f2733", "#d8dee6", "#b7c3d3", "#c81d4e", "#2563a8"
"""Text, grid lines, the bulk of a distribution, what deserves attention, and everything else."""

RAMP = LinearSegmentedColormap.from_list("calm to conflict", ["#b9cbe3", "#f0a856", "#c81d4e"])

_CLASSES = [
    "#3b7dd8",
    "#e07b39",
    "#2fa37c",
    "#d1495b",
    "#8463c9",
    "#2aa8c4",
    "#b5902a",
    "#d770ad",
    "#7f8c99",
    "#9c6b4e",
]
_VARIABLES = {
    INK: "currentColor",
    LINE: "var(--line)",
    SOFT: "var(--soft)",
    ACCENT: "var(--accent)",
    CALM: "var(--calm)",
}


def class_colours(count: int) -> list[str]:
    """A colour for each of ``count`` classes, told apart on light and on dark ground.

    Example:
        >>> class_colours(2)
        ['#3b7dd8', '#e07b39']
    """
    golden = 0.618034
    more = [colorsys.hls_to_rgb((0.08 + i * golden) % 1, 0.55, 0.5) for i in range(count - len(_CLASSES))]
    return _CLASSES[:count] + ["#" + "".join(f"{round(255 * part):02x}" for part in colour) for colour in more]


@contextmanager
def style() -> Iterator[None]:
    """Draw plainly: no frame, thin grid; and take names as they are, not as mathematics."""
    settings: dict[Any, Any] = {
        "text.parse_math": False,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.edgecolor": LINE,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 8,
        "grid.color": LINE,
        "grid.linewidth": 0.7,
        "xtick.color": LINE,
        "ytick.color": LINE,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "ytick.left": False,
        "legend.frameon": False,
        "legend.fontsize": 8,
    }
    with rc_context(settings):
        yield


@style()
def new_axes(width: float = 3.4, height: float = 2.2) -> Axes:
    """Axes on a figure of its own, of a size in inches, that belongs to no window."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


@style()
def shown_axes(count: int = 1, *, columns: int = 1, width: float = 3.4, height: float = 2.2) -> list[Axes]:
    """Axes, each of a size in inches, on one figure of pyplot's, which a notebook shows by itself."""
    from matplotlib import pyplot as plt  # chooses a backend when it is imported

    rows = -(-count // columns)
    figure = plt.figure(figsize=(width * columns, height * rows), layout="constrained")
    return [figure.add_subplot(rows, columns, place + 1) for place in range(count)]


def axes_to_draw_on(ax: Axes | None, width: float = 3.4, height: float = 2.2) -> Axes:
    """The axes that the caller gives, or else new ones of :func:`shown_axes`.

    Raises:
        InvalidTypeError: If what is given is no axes.
    """
    check_type("ax", ax, Axes, optional=True)
    return shown_axes(width=width, height=height)[0] if ax is None else ax


def to_svg(ax: Axes, name: str) -> str:
    """The figure of some axes as an ``<svg>`` element for a page.

    Text stays text, in the font of the page, and our colours become the page's own, so that the figure is
    readable on light and dark ground. Nothing in it points outside the page.

    Args:
        ax: Axes of :func:`new_axes`.
        name: What makes its ids different from those of other figures on the page.
    """
    figure, buffer = ax.figure, io.StringIO()
    assert isinstance(figure, Figure)
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\s(xmlns(:xlink)?|version|width|height)="[^"]*"', "", svg[: svg.index(">")]) + svg[svg.index(">") :]
    svg = svg.replace("xlink:href", "href")
    svg = re.sub(r'(\sid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
