"""Which frequencies the layers of a model favour, in plain words and drawn."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

from markupsafe import Markup

from gragr_explain.models import FrequencyProfile, plot_frequencies
from gragr_explain.report._style import new_axes, style, to_svg

_DOES = {"low": "makes neighbours more alike", "high": "tells neighbours apart", "neither": "changes little"}
_VERDICT = {
    "low": "it makes neighbours more alike{moved}: low frequencies dominate. That helps where neighbours belong "
    "together, and blurs the borders where they do not.",
    "high": "it tells neighbours apart{moved}: high frequencies dominate. That helps where neighbours differ, and "
    "loses what they have in common where they do not.",
    "neither": "it leaves neighbours about as alike as they were{moved}: neither low nor high frequencies dominate.",
}


@dataclass(frozen=True)
class Layer:
    """A layer: its name, the mean frequency before and after it, and what it does to neighbours."""

    name: str
    before: str
    after: str
    does: str


@dataclass(frozen=True)
class Layers:
    """What a page says of a model's layers: sentences, a row for each, and the drawing of all."""

    sentences: list[str]
    rows: list[Layer]
    svg: Markup
    shows: str


def describe_layers(profile: FrequencyProfile) -> Layers:
    """What each layer of a model does to the mean frequency, and the model as a whole.

    Args:
        profile: What :func:`gragr_explain.models.frequency_profile` found.
    """
    before, after = profile.before.tolist(), profile.after.tolist()
    rows = [
        Layer(name, _number(start), _number(end), "not defined" if isnan(end - start) else _DOES[kind])
        for name, start, end, kind in zip(profile.layers, before, after, profile.dominance, strict=True)
    ]
    with style():
        ax = plot_frequencies(profile, new_axes(max(3.4, 1.6 + 0.9 * len(rows)), 2.6))
    shows = "Mean frequency before and after each layer, an arrow a layer"
    sentences = [_scale(profile)] if profile.largest else []
    return Layers([*sentences, _verdict(profile)], rows, Markup(to_svg(ax, "layers")), shows)


def _scale(profile: FrequencyProfile) -> str:
    return (
        "What a layer holds of the nodes has a mean frequency on the graph: 0 is as smooth as the graph allows, all "
        f"neighbours alike, {_number(profile.largest)} as rough, and 1 is what rows by chance have."
    )


def _verdict(profile: FrequencyProfile) -> str:
    if not profile.largest:
        return "No mean frequency is defined: the graph has no edges."
    start, end = float(profile.before[0]), float(profile.after[-1])
    if isnan(end - start):
        return "From first layer to last no mean frequency is defined: what a layer holds is zero."
    moved = f", from {_number(start)} to {_number(end)}"
    said = _VERDICT[profile.overall].format(moved=moved)
    return f"From what its first layer is given to what its last one returns, {said}"


def _number(value: float) -> str:
    """A frequency in two digits.

    Example:
        >>> _number(0.456), _number(float("nan"))
        ('0.46', 'not defined')
    """
    return "not defined" if isnan(value) else f"{value:.2f}"
