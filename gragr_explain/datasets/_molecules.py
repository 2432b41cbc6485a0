"""The 41,127 molecules of MoleculeNet's HIV, read once and then kept as plain tensors."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch_geometric.datasets as pyg
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gragr_explain.datasets._named import Source, cache_folder, read_source
from gragr_explain.errors import DatasetError
from gragr_explain.files import atomic

_HIV = Source("HIV", "MoleculeNet/hiv", lambda root: pyg.MoleculeNet(f"{root}/MoleculeNet", "HIV"))
_FILE = "molecules.safetensors"
_ENTRIES = {"x", "edge_index", "num_nodes", "num_edges", "y", "scaffold"}

ATOMS = (6, 7, 8, 9, 15, 16, 17, 35, 53)
"""The atomic numbers that have a feature of their own; all others share one."""


def read_molecules(root: Path | None) -> dict[str, Tensor]:
    """Read the molecules; the first time takes RDKit and some minutes.

    Args:
        root: As in :func:`gragr_explain.datasets.load_graph_tasks`.

    Returns:
        ``x`` of shape ``[num_atoms, 9]`` (PyG's integers for an atom), ``edge_index`` of shape ``[2, num_bonds]``,
        counted within each molecule, and for each molecule ``num_nodes``, ``num_edges``, its label ``y`` and the number
        of its Bemis-Murcko ``scaffold``.

    Raises:
        DatasetError: If RDKit is missing, or the molecules can neither be read nor downloaded.
    """
    kept = (root if root is not None else cache_folder()) / _HIV.folder / _FILE
    if kept.is_file():
        try:
            molecules = load_file(kept)
        except (OSError, SafetensorError) as error:
            raise DatasetError(f"cannot read '{kept}' ({error}); remove it, and it is made anew") from error
        if set(molecules) != _ENTRIES:
            raise DatasetError(f"expected {sorted(_ENTRIES)} in '{kept}', got {sorted(molecules)}; remove it")
        return molecules
    if find_spec("rdkit") is None:
        raise DatasetError(
            'reading the molecules of HIV takes RDKit, which is not installed: pip install "gragr-explain[molecules]"'
        )
    molecules = _parse(root)
    kept.parent.mkdir(parents=True, exist_ok=True)
    with atomic(kept) as (file,):
        save_file(molecules, file)
    return molecules


def _parse(root: Path | None) -> dict[str, Tensor]:
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles
    from rdkit.rdBase import BlockLogs

    with BlockLogs():  # RDKit says of some molecules that they are odd, for pages
        dataset = read_source(_HIV, root)
        graphs = [dataset[index] for index in range(len(dataset))]
        scaffolds = [MurckoScaffoldSmiles(smiles=graph.smiles, includeChirality=False) for graph in graphs]
    numbers: dict[str, int] = {}
    return {
        "x": torch.cat([graph.x for graph in graphs]).to(torch.uint8),
        "edge_index": torch.cat([graph.edge_index for graph in graphs], dim=1).to(torch.int16),
        "num_nodes": torch.tensor([graph.num_nodes for graph in graphs]),
        "num_edges": torch.tensor([graph.num_edges for graph in graphs]),
        "y": torch.cat([graph.y.view(-1) for graph in graphs]).long(),
        "scaffold": torch.tensor([numbers.setdefault(scaffold, len(numbers)) for scaffold in scaffolds]),
    }


def atom_features(x: Tensor) -> Tensor:
    """What a model is told of an atom.

    Args:
        x: PyG's integers for an atom, of shape ``[num_atoms, 9]``.

    Returns:
        Shape ``[num_atoms, 13]``: which of :data:`ATOMS` it is, or another; its formal charge, its hydrogens, and
        whether it is aromatic. Neither its degree nor its rings, which are tasks.
    """
    x = x.long()
    known = torch.tensor(ATOMS)
    kind = (x[:, :1] == known).float()
    rest = torch.stack([1 - kind.sum(1), x[:, 3] - 5.0, x[:, 4].float(), x[:, 7].float()], dim=1)
    return torch.cat([kind, rest], dim=1)


def scaffold_split(scaffold: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split molecules 80/10/10 so that no scaffold is in two parts, the commonest scaffolds in training.

    Args:
        scaffold: The scaffold of each molecule, integers of shape ``[num_molecules]``.

    Returns:
        The molecules for training, validation and testing, ascending.

    Example:
        >>> [part.tolist() for part in scaffold_split(torch.tensor([0, 0, 0, 0, 0, 0, 0, 0, 1, 2]))]
        [[0, 1, 2, 3, 4, 5, 6, 7], [8], [9]]
    """
    order = torch.argsort(scaffold, stable=True)
    sizes = torch.bincount(scaffold).tolist()
    groups = sorted(order.split(sizes), key=lambda group: (-len(group), int(group[0]) if len(group) else -1))
    train, val, test = [], [], []
    ends = (round(0.8 * len(scaffold)), round(0.9 * len(scaffold)))
    filled = kept = 0
    for group in groups:
        if filled + len(group) <= ends[0]:
            train.append(group)
            filled += len(group)
        elif filled + kept + len(group) <= ends[1]:
            val.append(group)
            kept += len(group)
        else:
            test.append(group)
    empty = order[:0]
    first, second, third = (torch.cat(part or [empty]).sort().values for part in (train, val, test))
    return first, second, third
