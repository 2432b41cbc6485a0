"""What a saved JSON says of itself: which format it has, and which version of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gragr_explain.errors import GragrError


def check_format(content: Any, kind: str, version: int, where: Path, error: type[GragrError]) -> None:
    """Check that what was read from a file is of a format, and no newer than can be read.

    Args:
        content: What the JSON holds.
        kind: What its ``format`` has to be.
        version: The newest ``version`` that can be read.
        where: The file.
        error: What to raise.

    Raises:
        GragrError: If it is of another format, or was written by a newer version.

    Example:
        >>> from gragr_explain.errors import CheckpointError
        >>> content = {"format": "gragr-explain model", "version": 3}
        >>> check_format(content, "gragr-explain model", 2, Path("cora/model.json"), CheckpointError)
        Traceback (most recent call last):
            ...
        gragr_explain.errors.CheckpointError: the gragr-explain model in 'cora' has format version 3, ...
    """
    if not isinstance(content, dict) or content.get("format") != kind:
        raise error(f"expected a {kind} in '{where.parent}', got another {where.name}")
    written = content.get("version")
    if not isinstance(written, int) or written > version:
        raise error(
            f"the {kind} in '{where.parent}' has format version {written!r}, this gragr-explain reads up to {version}; "
            "please upgrade"
        )
