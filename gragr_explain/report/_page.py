"""Explanations as one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from markupsafe import Markup

from gragr_explain.context import FEATURES
from gragr_explain.report._captions import CURVES, psi_caption
from gragr_explain.report._curves import recorded_panels, recorded_trajectories, training_curve, trajectory
from gragr_explain.report._figures import psi_distribution, role_counts
from gragr_explain.report._findings import Findings, find
from gragr_explain.report._frequencies import describe_layers
from gragr_explain.report._payload import build_payload
from gragr_explain.report._prototypes import describe_prototypes
from gragr_explain.report._psi import ROLE_MEANING, SOURCE_MEANING, WORDING
from gragr_explain.report._style import new_axes, to_svg
from gragr_explain.report._summary import summarise
from gragr_explain.report._template import render_template

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.data import Data
    from torch_geometric.explain import Explanation

    from gragr_explain.context import Influences
    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory
    from gragr_explain.models import FrequencyProfile

_SCRIPTS = ("nodes.js", "pictures.js", "node_graph.js", "map.js", "node_card.js", "node_table.js", "node_page.js")


class Drawn(NamedTuple):
    """A figure: its drawing, what it shows for those who cannot see it, and its caption."""

    svg: Markup
    shows: str
    caption: str


def render_page(
    explanations: NodeExplanations,
    data: Data,
    *,
    title: str,
    history: GradientHistory | None,
    cards: Mapping[int, Explanation | None],
    image_shape: tuple[int, int] | None,
    frequencies: FrequencyProfile | None,
    prototypes: pd.DataFrame | None,
    influences: Influences | None,
) -> str:
    """The page of a batch of explanations; arguments as for :func:`gragr_explain.report.export`."""
    findings = find(explanations, data, history)
    payload = build_payload(
        explanations,
        data,
        findings,
        history=history,
        cards=cards,
        image_shape=image_shape,
        influences=influences,
    )
    held = payload["rows"]["id"]
    return render_template(
        "nodes.html.j2",
        _SCRIPTS,
        payload,
        title=title,
        summary=summarise(explanations, findings),
        figures=_psi_figures(explanations, findings),
        curves=_training_figures(explanations, history),
        layers=None if frequencies is None else describe_layers(frequencies),
        prototypes=None if prototypes is None else describe_prototypes(prototypes, explanations, held),
        role_meaning=ROLE_MEANING,
        source=SOURCE_MEANING[explanations.context.source],
    )


def _psi_figures(explanations: NodeExplanations, findings: Findings) -> list[Drawn]:
    figures = []
    for feature in FEATURES:
        ax = new_axes()
        if feature == "role":
            role_counts(explanations, ax)
        else:
            psi_distribution(explanations, feature, ax)
        shows = "How many nodes play each role" if feature == "role" else f"Distribution of {WORDING[feature].title}"
        figures.append(Drawn(Markup(to_svg(ax, f"psi-{feature}")), shows, psi_caption(findings, feature)))
    return figures


def _training_figures(explanations: NodeExplanations, history: GradientHistory | None) -> list[Drawn]:
    if history is None:
        return []
    names = recorded_trajectories(explanations, history)
    axes = [training_curve(history, panel, new_axes()) for panel in recorded_panels(history)]
    axes += [trajectory(explanations, history, name, new_axes()) for name in names]
    titles = [ax.get_title(loc="left") for ax in axes]
    return [
        Drawn(Markup(to_svg(ax, f"curve-{place}")), f"{title}, over the training", CURVES[title])
        for place, (ax, title) in enumerate(zip(axes, titles, strict=True))
    ]
