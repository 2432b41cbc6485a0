"""Data sets by name, or from a file."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from gragr_explain.arguments import check_number
from gragr_explain.datasets._dataset import GraphDataset
from gragr_explain.datasets._digits import digits
from gragr_explain.datasets._file import SUFFIXES, read_file
from gragr_explain.datasets._named import SOURCES, named
from gragr_explain.errors import DatasetError, InvalidTypeError
from gragr_explain.files import as_path

DATASETS = ("digits", *(source.name for source in SOURCES.values()))
"""The names that :func:`load_dataset` knows; upper and lower case are the same to it."""


def load_dataset(
    name: str | os.PathLike[str], root: str | os.PathLike[str] | None = None, *, split: int = 0
) -> GraphDataset:
    """Load a graph for node classification.

    - ``"digits"`` are scikit-learn's handwritten digits as a graph of the ten nearest neighbours. Nothing is
      downloaded.
    - ``"Cora"``, ``"CiteSeer"`` and ``"PubMed"`` train on every node outside validation and test, as Table 4 of the
      paper does; ``"Cora-public"`` and so on on 20 nodes of each class.
    - ``"Cornell"``, ``"Texas"`` and ``"Wisconsin"`` have ten splits, ``"WikiCS"`` has 20.
    - A path ending in ``.pt``, ``.pth`` or ``.safetensors`` is a graph of your own: a saved
      :class:`~torch_geometric.data.Data`, or a dictionary of tensors, with ``x``, ``edge_index`` and ``y``. It may
      also hold ``train_mask``, ``val_mask`` and ``test_mask``, without which they are drawn (60 %, 20 % and 20 % of
      each class), ``edge_weight``, ``edge_attr``, and, except in ``.safetensors``, lists ``class_names`` and
      ``feature_names``. Nothing but tensors and plain values is read: a pickled Python object is refused.

    Args:
        name: The name, in upper or lower case, or the path.
        root: The folder of the data, laid out as PyG does (``Planetoid/Cora/raw``), where what is missing is
            downloaded to. By default, the folder that the environment variable ``GRAGR_DATA`` names is read, and
            what it does not hold is downloaded into the user's cache. Nothing else is written.
        split: Which of the data set's splits to use; where splits are drawn, their seed.

    Raises:
        DatasetError: If the data set is unknown, cannot be downloaded, or is damaged.
        InvalidArgumentError: If the data set has no such split.
        InvalidTypeError: If the name is neither a string nor a path, or the split no integer.

    Example:
        >>> dataset = load_dataset("digits")
        >>> dataset.data.x.shape, dataset.class_names[:3], dataset.image_shape
        (torch.Size([1797, 64]), ('0', '1', '2'), (8, 8))
    """
    if not isinstance(name, str | os.PathLike):
        raise InvalidTypeError(f"expected the name of a data set or the path of a file, got {type(name).__name__}")
    check_number("split", split, whole=True)
    path = Path(name)
    if path.suffix.lower() in SUFFIXES:
        return read_file(path, split)
    key = str(name).lower()
    if key == "digits":
        return digits(split)
    if key in SOURCES:
        return named(SOURCES[key], None if root is None else as_path(root), split)
    close = difflib.get_close_matches(key, [known.lower() for known in DATASETS], n=1)
    hint = f"; did you mean {next(known for known in DATASETS if known.lower() == close[0])}?" if close else ""
    raise DatasetError(
        f"unknown data set {str(name)!r}: expected one of {', '.join(DATASETS)}, "
        f"or a file ending in {', '.join(SUFFIXES)}{hint}"
    )
