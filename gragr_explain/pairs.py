"""Tensors and what belongs to them, as two files of which neither is ever half there: safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gragr_explain.errors import GragrError
from gragr_explain.files import atomic, check_writable


def write_pair(
    folder: Path, stem: str, kind: str, version: int, tensors: dict[str, Tensor], content: dict[str, Any]
) -> None:
    """Write ``stem.safetensors`` and ``stem.json``.

    Args:
        folder: Where to write.
        stem: What both files are called.
        kind: What they are, for :func:`read_pair` and for errors.
        version: The version of their format.
        tensors: The tensors.
        content: What else there is to say, as JSON can.

    Raises:
        OutputError: If the folder cannot be written.
    """
    payload = save({name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()})
    meta = {"format": kind, "version": version, **content}
    meta["sha256"] = _fingerprint(meta, payload)
    check_writable(folder)
    with atomic(folder / f"{stem}.safetensors", folder / f"{stem}.json") as (tensor_file, meta_file):
        tensor_file.write_bytes(payload)
        meta_file.write_text(json.dumps(meta, indent=1), encoding="utf-8")


def read_pair(
    folder: Path, stem: str, kind: str, version: int, error: type[GragrError]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_pair` has written.

    Args:
        folder: Where to read.
        stem: What both files are called.
        kind: What they have to be.
        version: The newest version of their format that can be read.
        error: What to raise.

    Returns:
        The tensors and the content.

    Raises:
        GragrError: If the files are missing, damaged, foreign, or written by a newer version.
    """
    try:
        payload = (folder / f"{stem}.safetensors").read_bytes()
        meta = json.loads((folder / f"{stem}.json").read_text(encoding="utf-8"))
    except OSError as caught:
        raise error(f"cannot read the {kind} '{caught.filename}' ({caught.strerror or caught})") from caught
    except ValueError as caught:
        raise error(f"the {kind} in '{folder}' is damaged: {stem}.json is not JSON") from caught
    if not isinstance(meta, dict) or meta.get("format") != kind:
        raise error(f"expected a {kind} in '{folder}', got another {stem}.json")
    if not isinstance(meta.get("version"), int) or meta["version"] > version:
        raise error(
            f"the {kind} in '{folder}' has format version {meta.get('version')!r}, this gragr-explain reads up to "
            f"{version}; please upgrade"
        )
    if _fingerprint(meta, payload) != meta.get("sha256"):
        raise error(f"the {kind} in '{folder}' is damaged: {stem}.safetensors does not match {stem}.json")
    try:
        return load(payload), meta
    except SafetensorError as caught:
        raise error(f"the {kind} in '{folder}' is damaged: {caught}") from caught


def _fingerprint(meta: dict[str, Any], payload: bytes) -> str:
    """What tells a pair of files from any other; its own ``sha256`` left out."""
    described = json.dumps({key: value for key, value in meta.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(described.encode() + payload).hexdigest()
