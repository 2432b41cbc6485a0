"""Tensors and what belongs to them as files: a pair, safetensors and JSON, or one file where one is written over."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gragr_explain.errors import GragrError
from gragr_explain.files import atomic, check_writable
from gragr_explain.formats import check_format

_INSIDE = "gragr_explain"  # what the JSON is called that is inside of safetensors


def write_pair(
    folder: Path, stem: str, kind: str, version: int, tensors: dict[str, Tensor], content: dict[str, Any]
) -> None:
    """Write ``stem.safetensors`` and ``stem.json``.

    Neither file is ever half there, and an error leaves an earlier pair as it was. Two files cannot take two places at
    once, though: a process that is killed between them leaves an earlier pair damaged, which :func:`read_pair` notices.

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
    payload = save(_portable(tensors))
    meta = _described(kind, version, content, payload)
    check_writable(folder)
    with atomic(folder / f"{stem}.safetensors", folder / f"{stem}.json") as (tensor_file, meta_file):
        tensor_file.write_bytes(payload)
        meta_file.write_text(json.dumps(meta, indent=1), encoding="utf-8")


def write_single(
    folder: Path, stem: str, kind: str, version: int, tensors: dict[str, Tensor], content: dict[str, Any]
) -> None:
    """Write ``stem.safetensors`` alone, with the JSON inside, over an earlier one or over an earlier pair.

    A process that is killed, at whatever moment, leaves the earlier or the new one, and :func:`read_pair` reads it.
    Arguments and errors are those of :func:`write_pair`.
    """
    tensors = _portable(tensors)
    _, rest = _inside(save(tensors, {_INSIDE: ""}))
    meta = _described(kind, version, content, rest)
    check_writable(folder)
    with atomic(folder / f"{stem}.safetensors") as (file,):
        file.write_bytes(save(tensors, {_INSIDE: json.dumps(meta)}))
    with suppress(OSError):  # nobody reads it any more
        (folder / f"{stem}.json").unlink(missing_ok=True)


def read_pair(
    folder: Path, stem: str, kind: str, version: int, error: type[GragrError]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`write_pair` or :func:`write_single` has written.

    Args:
        folder: Where to read.
        stem: What the files are called.
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
        text, rest = _inside(payload)
        where = f"{stem}.json" if text is None else f"{stem}.safetensors"
        meta = json.loads((folder / where).read_text(encoding="utf-8") if text is None else text)
    except OSError as caught:
        raise error(f"cannot read the {kind} '{caught.filename}' ({caught.strerror or caught})") from caught
    except ValueError as caught:
        raise error(f"the {kind} in '{folder}' is damaged: {where} is not JSON") from caught
    check_format(meta, kind, version, folder / where, error)
    if _fingerprint(meta, rest) != meta.get("sha256"):
        raise error(f"the {kind} in '{folder}' is damaged: {stem}.safetensors does not match {where}")
    try:
        return load(payload), meta
    except SafetensorError as caught:
        raise error(f"the {kind} in '{folder}' is damaged: {caught}") from caught


def _portable(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def _described(kind: str, version: int, content: dict[str, Any], payload: bytes) -> dict[str, Any]:
    meta = {"format": kind, "version": version, **content}
    return {**meta, "sha256": _fingerprint(meta, payload)}


def _inside(payload: bytes) -> tuple[str | None, bytes]:
    """The JSON inside of safetensors, and what is beside it; of safetensors without, nothing and all of them."""
    start = 8 + int.from_bytes(payload[:8], "little")
    try:
        header = json.loads(payload[8:start])
        text = header.pop("__metadata__")[_INSIDE]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, payload
    return str(text), json.dumps(header, sort_keys=True).encode() + payload[start:]


def _fingerprint(meta: dict[str, Any], payload: bytes) -> str:
    """What tells tensors and what belongs to them from any other; its own ``sha256`` left out."""
    described = json.dumps({key: value for key, value in meta.items() if key != "sha256"}, sort_keys=True)
    return hashlib.sha256(described.encode() + payload).hexdigest()
