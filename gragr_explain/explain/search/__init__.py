"""The search for the edges that a prediction needs, and that suffice for it: rankings, and sets of a known size."""

from gragr_explain.explain.search._search import Where, search
from gragr_explain.explain.search._worth import Trials, slopes

__all__ = ["Trials", "Where", "search", "slopes"]
