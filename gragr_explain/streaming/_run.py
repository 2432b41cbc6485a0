"""An export in the making: what is explained, and where it is written to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.explain.config import ModelMode

from gragr_explain.arguments import check_number
from gragr_explain.errors import ExportError, InvalidIndexError, UnsupportedModelError
from gragr_explain.explain import explain_parts
from gragr_explain.files import as_path, check_writable, locked, remove_leftovers
from gragr_explain.history import check_output
from gragr_explain.inputs import check_data, check_index, trial_output
from gragr_explain.streaming._fingerprint import digest, fingerprint
from gragr_explain.streaming._manifest import MANIFEST, Manifest
from gragr_explain.streaming._shards import SHARDS, find_shards, remove_export, shard_files, write_shard

_LOCK = ".lock"


@dataclass(frozen=True)
class Run:
    """The nodes of a graph, cut into shards that can be explained one by one.

    Attributes:
        explainer: What explains them.
        data: The graph.
        nodes: The nodes, in the order of the table, ``[num_explained]``.
        folder: Where the export is written.
        manifest: What the export is going to be.
        options: ``top_edges``, ``top_features`` and ``memory_mb`` of :func:`gragr_explain.explain.explain_parts`.
    """

    explainer: Explainer
    data: Data
    nodes: Tensor
    folder: Path
    manifest: Manifest
    options: dict[str, int]

    @classmethod
    def plan(
        cls,
        explainer: Explainer,
        data: Data,
        folder: str | os.PathLike[str],
        index: Any,
        shard_size: int,
        **options: int,
    ) -> Run:
        """Check what is asked for, before any work; raises as :func:`stream_export`."""
        for name, number in {"shard_size": shard_size, **options}.items():
            check_number(name, number, whole=True, least=1)
        check_data(data)
        chosen = check_index(index, data.x.size(0), data.x.device)
        nodes = torch.arange(data.x.size(0), device=data.x.device) if chosen is None else chosen
        if nodes.unique().numel() < nodes.numel():
            values, counts = nodes.unique(return_counts=True)
            raise InvalidIndexError(f"expected every node once, got node {int(values[counts > 1][0])} more than once")
        kept = {name: number for name, number in options.items() if name != "memory_mb"}
        made_of = {**fingerprint(explainer, data), "nodes": digest(nodes), **kept}
        _check_one_number(explainer, data)
        return cls(explainer, data, nodes, as_path(folder), Manifest(nodes.numel(), shard_size, made_of), options)

    @contextmanager
    def begun(self, overwrite: bool = False) -> Iterator[list[int]]:
        """Which shards are still to be written, while no other process may write any.

        Raises:
            OutputError: If the folder cannot be written to, or another process is writing to it.
            ExportError: If it holds the export of another run, and that is not to be overwritten.
        """
        check_writable(self.folder)
        with locked(self.folder / _LOCK, "export"):
            yield self._begin(overwrite)

    def _begin(self, overwrite: bool) -> list[int]:
        check_writable(self.folder / SHARDS)
        for name in (MANIFEST, "probe"):
            remove_leftovers(self.folder, name)
        remove_leftovers(self.folder / SHARDS, "*")
        if overwrite:
            remove_export(self.folder)
        earlier = Manifest.load(self.folder)
        if earlier != self.manifest:
            present = shard_files(self.folder)
            if present:
                raise ExportError(self._refusal(earlier, present[0].name))
            self.manifest.save(self.folder)
        finished = set(find_shards(self.folder, self.manifest))
        return [shard for shard in range(self.manifest.num_shards) if shard not in finished]

    def _refusal(self, earlier: Manifest | None, present: str) -> str:
        if earlier is None:
            return (
                f"expected no files in '{self.folder / SHARDS}' before an export begins, got '{present}'; choose "
                "another folder"
            )
        differences = ", ".join(self.manifest.differences(earlier)).replace("_", " ")
        return (
            f"'{self.folder}' holds the export of another run, which differs in: {differences}; choose another folder, "
            "or overwrite it"
        )

    def write(self, shards: Sequence[int]) -> Iterator[int]:
        """Explain and write some shards.

        Those that are there already, since a worker that died has written them, stay as they are and are announced
        first; then each one once it is on the disk, in the order given.

        Raises:
            OutputError: If a shard cannot be written. Those before it stay.
        """
        missing = [shard for shard in shards if not (self.folder / SHARDS / self.manifest.name(shard)).exists()]
        yield from sorted(set(shards).difference(missing))
        if not missing:
            return
        rows = [self.manifest.rows(shard) for shard in missing]
        parts = explain_parts(
            self.explainer,
            self.data,
            torch.cat([self.nodes[each.start : each.stop] for each in rows]),
            part_size=self.manifest.shard_size,  # only the last shard is shorter, and it comes last
            progress=False,
            **self.options,
        )
        for shard, part in zip(missing, parts, strict=True):
            write_shard(part, self.folder, self.manifest, shard)
            yield shard


def _check_one_number(explainer: Explainer, data: Data) -> None:
    """Raise an :class:`UnsupportedModelError` if a regression returns several numbers for each node."""
    if explainer.model_config.mode != ModelMode.regression:
        return
    output = trial_output(explainer.model, data)
    check_output(output)
    if output.shape[1:].numel() != 1:
        raise UnsupportedModelError(
            f"expected a regression of one number for each node, got outputs of shape {list(output.shape)}"
        )
