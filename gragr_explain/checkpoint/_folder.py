"""A trained model and its history as a folder."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from gragr_explain import __version__
from gragr_explain.arguments import check_number, check_type
from gragr_explain.checkpoint._backbone import build_model, rebuild_arguments
from gragr_explain.errors import CheckpointError, OutputError
from gragr_explain.files import as_path, atomic, check_writable
from gragr_explain.history import GradientHistory
from gragr_explain.training import GraGR, Hyperparameters, Switches

FORMAT = "gragr-explain model"
VERSION = 1
_MANIFEST, _WEIGHTS, _HISTORY = "model.json", "model.safetensors", "history"


@dataclass(frozen=True)
class Checkpoint:
    """What :func:`load_checkpoint` reads.

    Attributes:
        trained: The trained model, in evaluation mode, with its history where one was recorded.
        dataset: The name of the data set it was trained on, or the path of its file.
        split: Which of its splits.
    """

    trained: GraGR
    dataset: str
    split: int


def save_checkpoint(trained: GraGR, folder: str | os.PathLike[str], *, dataset: str, split: int = 0) -> None:
    """Write a trained model and its history into a folder, from which :func:`load_checkpoint` reads them.

    ``model.json`` says what the folder holds, and is written last: a folder without it is not complete.

    Args:
        trained: A model that :func:`build_model` has made, as :class:`~gragr_explain.GraGR` has trained it.
        folder: Where to write.
        dataset: The name of the data set it was trained on, or the path of its file.
        split: Which of its splits.

    Raises:
        UnsupportedModelError: If the model is none that :func:`build_model` makes.
        OutputError: If the folder cannot be written.
    """
    check_type("trained", trained, GraGR)
    check_number("split", split, whole=True)
    arguments = rebuild_arguments(trained.model)
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in trained.state_dict().items()}
    payload = save(weights)
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "package": __version__,
        "model": arguments,
        "settings": asdict(trained.settings),
        "switches": asdict(trained.switches),
        "auxiliary_weight": trained.auxiliary_weight,
        "dataset": str(dataset),
        "split": split,
        "history": trained.history is not None,
        "sha256": hashlib.sha256(payload).hexdigest(),
    }
    folder = check_writable(folder)
    try:
        (folder / _MANIFEST).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot replace '{folder / _MANIFEST}' ({error.strerror or error})") from error
    if trained.history is not None:
        trained.history.save(folder / _HISTORY)
    with atomic(folder / _WEIGHTS, folder / _MANIFEST) as (weights_file, manifest_file):
        weights_file.write_bytes(payload)
        manifest_file.write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` has written.

    Raises:
        CheckpointError: If the folder is missing, not complete, damaged, foreign, or written by a newer version.
        HistoryError: If the history in it is.
    """
    folder = as_path(folder)
    manifest = _read_manifest(folder)
    payload = _read(folder / _WEIGHTS)
    if hashlib.sha256(payload).hexdigest() != manifest.get("sha256"):
        raise CheckpointError(f"the model in '{folder}' is damaged: {_WEIGHTS} does not match {_MANIFEST}")
    try:
        trained = GraGR(build_model(**manifest["model"]), auxiliary_weight=manifest["auxiliary_weight"])
        trained.settings = Hyperparameters(**manifest["settings"])
        trained.switches = Switches(**manifest["switches"])
        trained.load_state_dict(load(payload))
        checkpoint = Checkpoint(trained.eval(), str(manifest["dataset"]), int(manifest["split"]))
        recorded = bool(manifest["history"])
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"the model in '{folder}' is damaged: {_MANIFEST} does not fit it ({reason})") from error
    if recorded:
        GradientHistory.load(folder / _HISTORY).attach(trained.model)
    return checkpoint


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        state = (
            "does not exist" if not folder.is_dir() else f"has no {_MANIFEST}, so that it is another's or not complete"
        )
        raise CheckpointError(f"expected a folder that `gragr-explain train` has written: '{folder}' {state}")
    try:
        manifest = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointError(f"the model in '{folder}' is damaged: {_MANIFEST} is not JSON") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise CheckpointError(f"expected a model of gragr-explain in '{folder}', got another {_MANIFEST}")
    version = manifest.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise CheckpointError(
            f"the model in '{folder}' has format version {version!r}, this gragr-explain reads up to {VERSION}; "
            "please upgrade"
        )
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read '{path}' ({error.strerror or error})") from error
