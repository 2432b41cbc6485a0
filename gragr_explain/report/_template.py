"""Pages from templates: one file each, which runs its own script and loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from gragr_explain.report._encoding import to_json

_TEMPLATES = files("gragr_explain.report") / "templates"
_SHARED = ("dom.js", "store.js", "parts.js", "drawing.js", "table.js", "page.js")


def render_template(name: str, scripts: Sequence[str], payload: Mapping[str, Any], **context: Any) -> str:
    """A page that needs nothing but itself.

    It carries a content security policy that lets a browser run its one script and load nothing at all, so that not
    even a mistake in escaping a name could make it run or fetch something.

    Args:
        name: The template.
        scripts: What its script is made of, beside what all pages have.
        payload: What the script knows.
        **context: What the template knows beside it.
    """
    script = "\n".join(['"use strict";', "(() => {", *map(_text, (*_SHARED, *scripts)), "})();"])
    environment = Environment(autoescape=True, loader=FunctionLoader(_text), undefined=StrictUndefined)
    return environment.get_template(name).render(
        payload=payload,
        data=Markup(to_json(payload)),
        style=Markup(_text("report.css")),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        **context,
    )


def _text(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")
