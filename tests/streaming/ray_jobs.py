"""What the workers of a Ray cluster load; modules of theirs, so that they can import it."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from streamed_graphs import make_data, make_explainer
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

WRITE = pq.write_table


@dataclass(frozen=True)
class Load:
    """Loads the explainer and the graph.

    Attributes:
        place: A folder to leave notes in: which process has loaded, and that one was killed.
        kill: The name of a shard in the middle of which the worker is killed, the first time.
        always: Whether it is killed every time.
        full: The name of a shard for which the worker's disk is full.
        seed: The seed of the model.
    """

    place: Path
    kill: str | None = None
    always: bool = False
    full: str | None = None
    seed: int = 0

    def __call__(self) -> tuple[Explainer, Data]:
        (self.place / f"loaded-{os.getpid()}").touch()
        pq.write_table = self.write
        return make_explainer(seed=self.seed), make_data()

    def write(self, table: Any, file: Path, **options: Any) -> None:
        """Write a shard, or not."""
        if self.full is not None and self.full in file.name:
            raise OSError(28, "No space left on device")
        WRITE(table, file, **options)
        killed = self.place / f"killed-{os.getpid()}"
        if self.kill is not None and self.kill in file.name and (self.always or not list(self.place.glob("killed-*"))):
            killed.touch()
            os.truncate(file, 100)
            os.kill(os.getpid(), signal.SIGKILL)
