"""The command line: ``gragr-explain train``, ``explain``, ``export``, ``audit``, ``edit`` and ``demo``."""

from gragr_explain.cli._main import app, main

__all__ = ["app", "main"]
