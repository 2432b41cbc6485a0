"""A graph from a file, without running anything that the file contains."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_safe_globals, safe_globals
from torch_geometric.data import Data
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

from gragr_explain.datasets._dataset import GraphDataset, number_classes
from gragr_explain.datasets._splits import MASKS, choose_split, draw_split
from gragr_explain.errors import DatasetError

SUFFIXES = (".pt", ".pth", ".safetensors")
_OPTIONAL = ("edge_weight", "edge_attr")
_PARTS_OF_DATA = [Data, DataEdgeAttr, DataTensorAttr, GlobalStorage]


def read_file(path: Path, split: int) -> GraphDataset:
    """Read a graph; see :func:`gragr_explain.datasets.load_dataset`."""
    entries = _read(path)
    for name in ("x", "edge_index", "y"):
        if not isinstance(entries.get(name), Tensor):
            tensors = sorted(key for key, value in entries.items() if isinstance(value, Tensor))
            raise DatasetError(f"expected tensors x, edge_index and y in '{path}', got only {tensors}")
    y = entries["y"]
    if y.dim() != 1 or y.is_floating_point() or y.numel() == 0 or y.max() < 0:
        raise DatasetError(f"expected a class id per node as y in '{path}', got {y.dtype} {list(y.shape)}")
    masks = {name: entries[name] for name in MASKS if entries.get(name) is not None}
    if len(masks) not in (0, len(MASKS)):
        missing = [name for name in MASKS if name not in masks]
        raise DatasetError(f"expected {', '.join(MASKS)} in '{path}' or none of them, got no {', '.join(missing)}")
    for name, mask in masks.items():
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.shape[:1] != y.shape or mask.dim() > 2:
            got = f"{mask.dtype} {list(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
            raise DatasetError(f"expected {name} in '{path}' as a boolean tensor of shape {list(y.shape)}, got {got}")
    optional = {name: entries[name] for name in _OPTIONAL if entries.get(name) is not None}
    optional = {name: _single(value) for name, value in optional.items()}
    data = Data(x=_single(entries["x"]), edge_index=entries["edge_index"], y=y.long(), **optional)
    data.update(masks or draw_split(data.y, split))
    class_names = _names(path, entries, "class_names", int(y.max()) + 1)
    return GraphDataset(
        name=str(path.resolve()),
        data=choose_split(data, split) if masks else data,
        class_names=class_names or number_classes(y),
        feature_names=_names(path, entries, "feature_names", data.num_features),
    )


def _single(value: Any) -> Any:
    """Numbers as the weights of a model are: in single precision, whatever they were saved as."""
    is_number = isinstance(value, Tensor) and not value.is_complex() and value.layout == torch.strided
    return value.float() if is_number else value


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with safe_globals([part for part in _PARTS_OF_DATA if part not in get_safe_globals()]):
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise DatasetError(f"there is no file '{path}'") from error
    except pickle.UnpicklingError as error:
        raise DatasetError(
            f"'{path}' is not a graph of tensors: it is damaged, or holds Python objects, which are never run; "
            "save a torch_geometric Data or a dictionary of tensors"
        ) from error
    except OSError as error:
        raise DatasetError(f"cannot read '{path}' ({error.strerror or error})") from error
    except Exception as error:  # what another or a damaged file raises depends on what is in it
        writer = "safetensors" if path.suffix == ".safetensors" else "torch.save"
        raise DatasetError(
            f"expected a file that {writer} has written, got another or a damaged one: '{path}'"
        ) from error
    if isinstance(loaded, Data):
        return loaded.to_dict()
    if isinstance(loaded, dict):
        return loaded
    raise DatasetError(f"expected a Data or a dictionary of tensors in '{path}', got {type(loaded).__name__}")


def _names(path: Path, entries: Mapping[str, Any], key: str, count: int) -> tuple[str, ...] | None:
    names = entries.get(key)
    if names is None:
        return None
    if not isinstance(names, list | tuple) or len(names) < count or not all(isinstance(name, str) for name in names):
        raise DatasetError(f"expected {key} in '{path}' as {count} strings, got {type(names).__name__}")
    return tuple(names)
