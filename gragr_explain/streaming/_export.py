"""What an export has written, to be read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds

from gragr_explain.errors import ExportError
from gragr_explain.files import as_path, atomic, remove_leftovers
from gragr_explain.report import FILES, json_lines, table_schema
from gragr_explain.streaming._manifest import MANIFEST, Manifest
from gragr_explain.streaming._shards import SHARDS, find_shards, read_shard


@dataclass(frozen=True)
class Export:
    """An export on the disk, complete or not.

    Attributes:
        folder: Where it is.
        manifest: What it holds once it is complete, and what it is made of.
    """

    folder: Path
    manifest: Manifest

    @property
    def table(self) -> Path:
        """The folder of the shards, which is one Parquet data set to pandas, Arrow, DuckDB or Spark."""
        return self.folder / SHARDS

    def shards(self) -> list[Path]:
        """The shards that are finished, in order."""
        return [self.table / self.manifest.name(shard) for shard in find_shards(self.folder, self.manifest)]

    @property
    def complete(self) -> bool:
        """Whether all shards are finished."""
        return len(self.shards()) == self.manifest.num_shards

    def dataset(self) -> ds.Dataset:
        """What is finished, as an Arrow data set: to filter, scan and count without holding it all in memory."""
        return ds.dataset(self.shards(), schema=table_schema(classes=self.manifest.classes), format="parquet")

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """The table of each shard, one after another, its checksums verified.

        Args:
            columns: Which columns to read; all if ``None``.

        Raises:
            ExportError: If the export is not complete, or a shard is damaged.
        """
        self.check_complete()
        for shard in range(self.manifest.num_shards):
            yield read_shard(self.folder, self.manifest, shard, columns)

    def write_jsonl(self) -> Path:
        """Write the whole table as JSON lines too, whole or not at all, one shard in memory at a time.

        Returns:
            The file, ``explanations.jsonl`` in the folder.

        Raises:
            ExportError: If the export is not complete, or a shard is damaged.
            OutputError: If the file cannot be written.
        """
        path = self.folder / FILES["jsonl"]
        remove_leftovers(self.folder, path.name)
        with atomic(path) as (temporary,), temporary.open("w", encoding="utf-8") as file:
            for table in self.tables():
                file.writelines(json_lines(table))
        return path

    def check_complete(self) -> None:
        """Raise an :class:`ExportError` unless all shards are finished."""
        finished = len(self.shards())
        if finished < self.manifest.num_shards:
            raise ExportError(
                f"expected a complete export in '{self.folder}', got {finished} of {self.manifest.num_shards} shards; "
                "start the same export again to finish it"
            )


def open_export(folder: str | os.PathLike[str]) -> Export:
    """Open what :func:`stream_export` has written, complete or not.

    Raises:
        ExportError: If there is none, or it is damaged, foreign, or written by a newer version.

    Example:
        >>> import tempfile
        >>> from gragr_explain import stream_export
        >>> folder = tempfile.mkdtemp()
        >>> _ = stream_export(explainer, data, folder, progress=False)
        >>> sum(table.num_rows for table in open_export(folder).tables(["node", "prediction"]))
        6
    """
    folder = as_path(folder)
    manifest = Manifest.load(folder)
    if manifest is None:
        raise ExportError(f"expected a folder that an export was streamed to: '{folder}' has no {MANIFEST}")
    return Export(folder, manifest)
