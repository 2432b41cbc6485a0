"""Explanations as one HTML page that needs nothing but itself."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gragr_explain.context import FEATURES
from gragr_explain.report._figures import psi_distribution, recorded_panels, role_counts, training_curve
from gragr_explain.report._payload import build_payload, to_json
from gragr_explain.report._psi import ROLE_MEANING, SOURCE_MEANING, WORDING
from gragr_explain.report._style import to_svg
from gragr_explain.report._summary import summarise

if TYPE_CHECKING:
    from torch_geometric.data import Data
    from torch_geometric.explain import Explanation

    from gragr_explain.explain import NodeExplanations
    from gragr_explain.history import GradientHistory

_TEMPLATES = files("gragr_explain.report") / "templates"
_SCRIPTS = ("dom.js", "store.js", "pictures.js", "graph.js", "map.js", "card.js", "table.js", "page.js")


def render_page(
    explanations: NodeExplanations,
    data: Data,
    *,
    title: str,
    history: GradientHistory | None,
    cards: Mapping[int, Explanation | None],
    image_shape: tuple[int, int] | None,
) -> str:
    """The page of a batch of explanations; arguments as for :func:`gragr_explain.report.export`.

    The page carries a content security policy that lets a browser run its one script and load nothing at all, so
    that not even a mistake in escaping a name could make it run or fetch something.
    """
    script = "\n".join(['"use strict";', "(() => {", *map(_text, _SCRIPTS), "})();"])
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    payload = build_payload(explanations, data, history=history, cards=cards, image_shape=image_shape)
    environment = Environment(autoescape=True, loader=FunctionLoader(_text), undefined=StrictUndefined)
    return environment.get_template("report.html.j2").render(
        title=title,
        summary=summarise(explanations, history),
        payload=payload,
        data=Markup(to_json(payload)),
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_hash=digest,
        figures=[Markup(svg) for svg in _psi_figures(explanations)],
        curves=[Markup(svg) for svg in _training_figures(history)],
        features=FEATURES,
        wording=WORDING,
        role_meaning=ROLE_MEANING,
        source=SOURCE_MEANING[explanations.context.source],
    )


def _psi_figures(explanations: NodeExplanations) -> list[str]:
    figures = []
    for feature in FEATURES:
        ax = role_counts(explanations) if feature == "role" else psi_distribution(explanations, feature)
        figures.append(to_svg(ax, f"psi-{feature}"))
    return figures


def _training_figures(history: GradientHistory | None) -> list[str]:
    panels = recorded_panels(history) if history is not None else []
    return [
        to_svg(training_curve(history, panel), f"curve-{place}")
        for place, panel in enumerate(panels)
        if history is not None
    ]


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
