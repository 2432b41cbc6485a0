"""Whether a text states only what the facts support: read, set against them, and what is wrong named."""

from gragr_explain.rationale.grounding._check import check_grounding
from gragr_explain.rationale.grounding._marks import MARK
from gragr_explain.rationale.grounding._reading import Reading

__all__ = ["MARK", "Reading", "check_grounding"]
