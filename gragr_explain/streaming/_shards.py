"""One part of an export's table as one Parquet file, which is whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gragr_explain.errors import ExportError, OutputError
from gragr_explain.explain import NodeExplanations
from gragr_explain.files import atomic
from gragr_explain.report import FILES, table_schema, to_frame, to_table
from gragr_explain.streaming._manifest import MANIFEST, Manifest

SHARDS = "explanations"
"""The folder of the shards inside an export's folder; it holds nothing else."""
_MADE_OF_SHARDS = (FILES["jsonl"], FILES["html"])  # beside their folder
_RUN, _SHARD = b"gragr_explain.run", b"gragr_explain.shard"


def write_shard(explanations: NodeExplanations, folder: Path, manifest: Manifest, shard: int) -> None:
    """Write one shard. Every page of it carries a checksum, and its metadata say of which run it is.

    Args:
        explanations: The explanations of the shard's nodes.
        folder: The folder of the export.
        manifest: What the export is going to be.
        shard: Which shard.

    Raises:
        OutputError: If the file cannot be written.
    """
    table = to_table(to_frame(explanations))
    labels = {_RUN: manifest.run.encode(), _SHARD: str(shard).encode()}
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **labels})
    with atomic(folder / SHARDS / manifest.name(shard)) as (file,):
        pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def read_shard(folder: Path, manifest: Manifest, shard: int, columns: list[str] | None = None) -> pa.Table:
    """Read one shard, or some columns of it.

    Raises:
        ExportError: If it is missing or damaged.
    """
    path = folder / SHARDS / manifest.name(shard)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def find_shards(folder: Path, manifest: Manifest) -> list[int]:
    """Which shards of an export are there.

    Raises:
        ExportError: If the folder of the shards holds anything else: shards of another run, of another schema, or
            damaged ones, or other files.
    """
    present = {path.name: path for path in shard_files(folder)}
    found = []
    for shard in range(manifest.num_shards):
        path = present.pop(manifest.name(shard), None)
        if path is not None:
            _check(path, manifest, shard)
            found.append(shard)
    if present:
        raise ExportError(
            f"expected only the {manifest.num_shards} shards of this export in '{folder / SHARDS}', "
            f"got '{min(present)}'; remove it, or choose another folder"
        )
    return found


def shard_files(folder: Path, pattern: str = "*") -> list[Path]:
    """What readers of Parquet folders take for parts: all files but those whose names begin with a dot."""
    return sorted(path for path in (folder / SHARDS).glob(pattern) if not path.name.startswith("."))


def remove_export(folder: Path) -> None:
    """Remove the manifest and the shards of whatever export, and what was made of them, and nothing else.

    Raises:
        ExportError: If there are other files among the shards; nothing is removed then.
        OutputError: If a file cannot be removed.
    """
    shards = shard_files(folder, "part-*.parquet")
    others = sorted(set(shard_files(folder)) - set(shards))
    if others:
        raise ExportError(f"expected only shards in '{folder / SHARDS}', got '{others[0].name}'")
    try:
        for name in (MANIFEST, *_MADE_OF_SHARDS):  # first, so that none of them ever stands beside half an export
            (folder / name).unlink(missing_ok=True)
        for path in shards:
            path.unlink()
    except OSError as error:
        raise OutputError(f"cannot replace the export in '{folder}' ({error.strerror or error})") from error


def _check(path: Path, manifest: Manifest, shard: int) -> None:
    """Check that a file is this shard of this run."""
    try:
        with pq.ParquetFile(path) as file:
            schema, num_rows = file.schema_arrow, file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    labels: dict[bytes, Any] = schema.metadata or {}
    if labels.get(_RUN) != manifest.run.encode() or labels.get(_SHARD) != str(shard).encode():
        raise ExportError(f"expected shard {shard} of this export, got one of another run: '{path}'")
    if not schema.equals(table_schema(classes=manifest.classes)):
        raise ExportError(
            f"expected the columns of this version in '{path}', got those of another: export into another folder, or "
            "with overwrite"
        )
    if num_rows != len(manifest.rows(shard)):
        raise ExportError(f"expected {len(manifest.rows(shard))} rows in '{path}', got {num_rows}")


def _damaged(path: Path, error: Exception) -> ExportError:
    reason = str(error).splitlines()[0]
    return ExportError(f"cannot read the shard '{path}' ({reason}); remove it to have it made again")
