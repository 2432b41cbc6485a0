"""What an export is going to be, written down before it is begun."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gragr_explain.errors import ExportError
from gragr_explain.files import atomic
from gragr_explain.formats import check_format
from gragr_explain.streaming._fingerprint import digest

FORMAT = "gragr-explain export"
VERSION = 1
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What an export holds once it is complete, and what it is made of.

    It is written first and never changed: what is finished can be seen from the shards.

    Attributes:
        num_nodes: How many nodes are explained.
        shard_size: How many of them a shard holds; the last one holds what is left.
        made_of: What the explanations depend on: digests of the model, the graph and the list of nodes; settings.

    Example:
        >>> manifest = Manifest(num_nodes=10, shard_size=4, made_of={})
        >>> manifest.num_shards, manifest.rows(2), manifest.name(2)
        (3, range(8, 10), 'part-00002.parquet')
    """

    num_nodes: int
    shard_size: int
    made_of: dict[str, Any]

    @property
    def run(self) -> str:
        """What tells this export from all others."""
        return digest(json.dumps([VERSION, self.num_nodes, self.shard_size, self.made_of], sort_keys=True))

    @property
    def num_shards(self) -> int:
        """How many shards there are."""
        return -(-self.num_nodes // self.shard_size)

    @property
    def classes(self) -> bool:
        """Whether predictions are classes; else they are the values of a regression."""
        return self.made_of.get("mode") != "regression"

    def name(self, shard: int) -> str:
        """What a shard is called; in the order of the names, shards are in order."""
        return f"part-{shard:0{max(5, len(str(self.num_shards - 1)))}d}.parquet"

    def rows(self, shard: int) -> range:
        """Which rows of the whole table a shard holds."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.num_nodes))

    def differences(self, other: Manifest) -> list[str]:
        """In what this export differs from another."""
        own, others = ({**each.made_of, "shard_size": each.shard_size} for each in (self, other))
        return sorted(key for key in own.keys() | others.keys() if own.get(key) != others.get(key))

    def save(self, folder: Path) -> None:
        """Write the manifest into the folder of its export.

        Raises:
            OutputError: If it cannot be written.
        """
        content = {
            "format": FORMAT,
            "version": VERSION,
            "run": self.run,
            "num_nodes": self.num_nodes,
            "shard_size": self.shard_size,
            "made_of": self.made_of,
        }
        with atomic(folder / MANIFEST) as (file,):
            file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Manifest | None:
        """Read the manifest of the export in a folder; ``None`` where there is none.

        Raises:
            ExportError: If it is damaged, foreign, or written by a newer version.
        """
        path = folder / MANIFEST
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise ExportError(f"cannot read '{path}' ({error})") from error
        check_format(content, FORMAT, VERSION, path, ExportError)
        try:
            found = cls(int(content["num_nodes"]), int(content["shard_size"]), dict(content["made_of"]))
            intact = content["run"] == found.run
        except (KeyError, TypeError, ValueError):
            intact = False
        if not intact:
            raise ExportError(f"the export in '{folder}' is damaged: {MANIFEST} does not match itself")
        return found
