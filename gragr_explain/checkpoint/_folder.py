"""A trained model and its history as a folder."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from gragr_explain import __version__
from gragr_explain.arguments import check_number, check_type
from gragr_explain.checkpoint._backbone import build_model, float_type, rebuild_arguments
from gragr_explain.errors import CheckpointError, HistoryError
from gragr_explain.files import as_path, atomic, check_writable, locked
from gragr_explain.formats import check_format
from gragr_explain.history import GradientHistory
from gragr_explain.training import GraGR, Hyperparameters, Switches

FORMAT = "gragr-explain model"
VERSION = 2
_MANIFEST, _WEIGHTS, _HISTORY = "model.json", "model.safetensors", "history"
_PLACE = re.compile(r"model-[0-9a-f]{8}")  # what the folder of weights and history inside it is called
_LOCK = ".model.lock"
_PATIENCE = 600.0  # seconds to wait for another save
_BESIDE = "."  # in version 1, they were beside the manifest


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

    Weights and history go into a new folder inside it, called ``model-`` and eight digits; ``model.json``, which names
    that, is written last, and only then those of an earlier model are removed. So a folder without ``model.json`` is
    not complete, and one that held a model holds it until it holds the new one, whatever happens in between. Of several
    processes that save into one folder, each waits for the one before it, and the model of the last one stays.

    Args:
        trained: A model that :func:`build_model` has made, as :class:`~gragr_explain.GraGR` has trained it.
        folder: Where to write.
        dataset: The name of the data set it was trained on, or the path of its file.
        split: Which of its splits.

    Raises:
        UnsupportedModelError: If the model is none that :func:`build_model` makes.
        OutputError: If the folder cannot be written, or another process has been saving into it for ten minutes.

    Example:
        >>> import tempfile, torch
        >>> from torch_geometric.data import Data
        >>> data = Data(x=torch.eye(4), edge_index=torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]]))
        >>> data.y, data.train_mask = torch.tensor([0, 0, 1, 1]), torch.ones(4, dtype=torch.bool)
        >>> trained = GraGR(build_model("GCN", 4, 2)).fit(data, epochs=2, progress=False)
        >>> folder = tempfile.mkdtemp()
        >>> save_checkpoint(trained, folder, dataset="mine.pt")
        >>> load_checkpoint(folder).trained.history.num_steps
        2
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
    place = folder / f"model-{secrets.token_hex(4)}"
    with locked(folder / _LOCK, "model", wait=_PATIENCE):
        earlier = _named_place(folder)
        try:
            if trained.history is not None:
                trained.history.save(place / _HISTORY)
            check_writable(place)
            with atomic(place / _WEIGHTS) as (weights_file,):
                weights_file.write_bytes(payload)
            with atomic(folder / _MANIFEST) as (file,):
                file.write_text(json.dumps({**manifest, "place": place.name}, indent=1) + "\n", encoding="utf-8")
        finally:
            _remove_unnamed(folder, earlier)


def load_checkpoint(folder: str | os.PathLike[str]) -> Checkpoint:
    """Read what :func:`save_checkpoint` has written. Nothing is written, and a save in another process may go on.

    Raises:
        CheckpointError: If the folder is missing, not complete, damaged, foreign, or written by a newer version.
        HistoryError: If the history in it is.

    Example:
        >>> load_checkpoint("nothing here")
        Traceback (most recent call last):
        gragr_explain.errors.CheckpointError: ...
    """
    folder = as_path(folder)
    manifest = _read_manifest(folder)
    while True:
        try:
            return _load_named(folder, manifest)
        except (CheckpointError, HistoryError):
            earlier, manifest = manifest, _read_manifest(folder)
            if manifest == earlier:  # else a save has replaced, and then removed, what was being read
                raise


def _load_named(folder: Path, manifest: dict[str, Any]) -> Checkpoint:
    """Read the model that a manifest names."""
    place = folder / manifest["place"]
    payload = _read(place / _WEIGHTS)
    if hashlib.sha256(payload).hexdigest() != manifest.get("sha256"):
        raise CheckpointError(f"the model in '{folder}' is damaged: {_WEIGHTS} does not match {_MANIFEST}")
    try:
        weights = load(payload)
        own = {name: value for name, value in weights.items() if name.startswith("model.")}
        model = build_model(**manifest["model"]).to(float_type(own))
        trained = GraGR(model, auxiliary_weight=manifest["auxiliary_weight"])
        trained.settings = Hyperparameters(**manifest["settings"])
        trained.switches = Switches(**manifest["switches"])
        trained.load_state_dict(weights)
        checkpoint = Checkpoint(trained.eval(), str(manifest["dataset"]), int(manifest["split"]))
        recorded = bool(manifest["history"])
    except (KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"the model in '{folder}' is damaged: {_MANIFEST} does not fit it ({reason})") from error
    if recorded:
        GradientHistory.load(place / _HISTORY).attach(trained.model)
    return checkpoint


def _named_place(folder: Path) -> str | None:
    """What holds the weights and the history of the model in a folder; ``None`` where there is no model to be read."""
    try:
        return str(_read_manifest(folder)["place"])
    except CheckpointError:
        return None


def _remove_unnamed(folder: Path, earlier: str | None) -> None:
    """Remove what the manifest does not name, as far as possible: an earlier model's weights, or a failed save's."""
    named = _named_place(folder)
    if named is None and (folder / _MANIFEST).exists():
        return  # what it names cannot be told
    for path in folder.glob("model-*"):
        if _PLACE.fullmatch(path.name) and path.name != named:
            shutil.rmtree(path, ignore_errors=True)
    if earlier == _BESIDE != named:
        shutil.rmtree(folder / _HISTORY, ignore_errors=True)
        with suppress(OSError):
            (folder / _WEIGHTS).unlink()


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / _MANIFEST
    if not path.is_file():
        state = (
            "does not exist" if not folder.is_dir() else f"has no {_MANIFEST}, so that it is another's or not complete"
        )
        raise CheckpointError(f"expected a folder that `gragr-explain train` has written: '{folder}' {state}")
    try:
        manifest: dict[str, Any] = json.loads(_read(path))
    except ValueError as error:
        raise CheckpointError(f"the model in '{folder}' is damaged: {_MANIFEST} is not JSON") from error
    check_format(manifest, FORMAT, VERSION, path, CheckpointError)
    place = manifest.setdefault("place", _BESIDE)
    if place != _BESIDE and not (isinstance(place, str) and _PLACE.fullmatch(place)):
        raise CheckpointError(f"the model in '{folder}' is damaged: {_MANIFEST} names {place!r} as its place")
    return manifest


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read '{path}' ({error.strerror or error})") from error
