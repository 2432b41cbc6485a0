"""Data sets that PyG knows, from a local copy or by download."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch_geometric.datasets as pyg
from torch_geometric.data import Data, InMemoryDataset

from gragr_explain.datasets._dataset import GraphDataset, number_classes
from gragr_explain.datasets._splits import MASKS, choose_split
from gragr_explain.errors import DatasetError


@dataclass(frozen=True)
class Source:
    """Where a data set comes from.

    Attributes:
        name: Its name.
        folder: Where its ``raw`` folder lies below a root, as PyG lays it out.
        read: Reads it with PyG below a root.
        class_names: The names of its classes, in the order of their ids, where they are known.
        words: Whether its features are the words of a text.
    """

    name: str
    folder: str
    read: Callable[[str], InMemoryDataset]
    class_names: tuple[str, ...] | None = None
    words: bool = False


def _planetoid(name: str, split: str, class_names: tuple[str, ...] | None = None) -> Source:
    def read(root: str) -> InMemoryDataset:
        return pyg.Planetoid(f"{root}/Planetoid", name, split=split)

    suffix = "" if split == "full" else f"-{split}"
    return Source(name + suffix, f"Planetoid/{name}", read, class_names, words=True)


def _webkb(name: str) -> Source:
    return Source(name, f"WebKB/{name.lower()}", lambda root: pyg.WebKB(f"{root}/WebKB", name), words=True)


_CORA = (
    "Theory",
    "Reinforcement learning",
    "Genetic algorithms",
    "Neural networks",
    "Probabilistic methods",
    "Case-based reasoning",
    "Rule learning",
)
_CITESEER = (
    "Artificial intelligence",
    "Machine learning",
    "Information retrieval",
    "Databases",
    "Agents",
    "Human-computer interaction",
)

SOURCES = {
    source.name.lower(): source
    for source in (
        *(_planetoid("Cora", split, _CORA) for split in ("full", "public")),
        *(_planetoid("CiteSeer", split, _CITESEER) for split in ("full", "public")),
        *(_planetoid("PubMed", split) for split in ("full", "public")),
        *(_webkb(name) for name in ("Cornell", "Texas", "Wisconsin")),
        Source("WikiCS", "WikiCS", lambda root: pyg.WikiCS(f"{root}/WikiCS", is_undirected=True)),
    )
}
"""What can be asked for by name, in lower case."""


def named(source: Source, root: Path | None, split: int) -> GraphDataset:
    """Read a data set that PyG knows; see :func:`gragr_explain.datasets.load_dataset`."""
    loaded = read_source(source, root)[0]
    kept = {name: loaded[name] for name in ("x", "edge_index", "y", *MASKS)}
    data = choose_split(Data(**kept), split)
    return GraphDataset(
        name=source.name,
        data=data,
        class_names=source.class_names or number_classes(data.y),
        feature_names=tuple(f"word {column}" for column in range(data.num_features)) if source.words else None,
    )


def read_source(source: Source, root: Path | None) -> InMemoryDataset:
    """Read the raw files of a local copy, or download them once.

    PyG writes what it makes of the raw files beside them. So that a copy can be read-only, and nothing made by
    another version of PyG is trusted, it works on a copy of the raw files which is thrown away.
    """
    shared = os.environ.get("GRAGR_DATA")
    places = [root] if root is not None else [Path(shared)] if shared else []
    cache = root if root is not None else cache_folder()
    raw = next((raw for place in (*places, cache) if (raw := place / source.folder / "raw").is_dir()), None)
    try:
        with _scratch(cache if raw is None else None) as scratch:
            copy = scratch / source.folder / "raw"
            if raw is not None:
                shutil.copytree(raw, copy, copy_function=shutil.copyfile)
            with redirect_stderr(io.StringIO()):
                dataset = source.read(str(scratch))
            if raw is None:
                _keep(copy, cache / source.folder / "raw")
            return dataset
    except Exception as error:  # PyG downloads by two libraries, and parses by more, that raise what they like
        reason = str(error) or type(error).__name__
        if raw is None:
            raise DatasetError(
                f"cannot download {source.name} ({reason}); to read a copy, let GRAGR_DATA name the folder "
                f"that holds {source.folder}/raw"
            ) from error
        raise DatasetError(f"cannot read {source.name} from '{raw}' ({reason})") from error


def cache_folder() -> Path:
    """Where downloads are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "gragr-explain"


@contextmanager
def _scratch(parent: Path | None) -> Iterator[Path]:
    if parent is not None:
        parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".gragr-explain-", dir=parent) as folder:
        yield Path(folder)


def _keep(downloaded: Path, place: Path) -> None:
    """Move complete downloads into the cache in one step; another process may have been faster."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.is_dir():
        os.replace(downloaded, place)
