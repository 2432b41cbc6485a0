"""Exports that are killed at random moments and started again; run by ``test_killed.py`` in a process of its own.

Each export is a child of a process that has everything loaded, so that a moment is one of the export's own. Some more
are killed at the moments that matter most: with half a shard written, and before and after it is put in its place.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import torch
from streamed_graphs import make_data, make_explainer

from gragr_explain.streaming import Export, stream_export

SHARD_SIZE = 3


def start(folder: Path, prepare: Callable[[], None] = lambda: None) -> int:
    """Begin or go on with an export in a child process; returns its id."""
    child = os.fork()
    if child:
        return child
    try:
        prepare()
        stream_export(EXPLAINER, DATA, folder, shard_size=SHARD_SIZE, progress=False)
        os._exit(0)
    finally:
        os._exit(1)


def check(folder: Path, whole: dict[str, bytes]) -> int:
    """All that can be read is whole: returns how many shards are there."""
    shards = folder / "explanations"
    there = {path.name: path.read_bytes() for path in shards.glob("*.parquet")} if shards.is_dir() else {}
    assert there.items() <= whole.items(), "a shard is not what it is in an export that nobody killed"
    if there:
        assert len(pd.read_parquet(shards)) == SHARD_SIZE * len(there)
    return len(there)


def nothing(*_: Any, **__: Any) -> None:
    """Die before the work."""


def all_of_it(work: Callable[..., Any], *arguments: Any, **options: Any) -> None:
    """Die after the work."""
    work(*arguments, **options)


def half_of_it(work: Callable[..., Any], table: Any, file: Path, **options: Any) -> None:
    """Die with half a file written."""
    work(table, file, **options)
    os.truncate(file, file.stat().st_size // 2)


def die_in(owner: Any, name: str, call: int, doing: Callable[..., None]) -> Callable[[], None]:
    """Let a process be killed in one of its calls of a function."""

    def prepare() -> None:
        work, calls = getattr(owner, name), []

        def last(*arguments: Any, **options: Any) -> Any:
            calls.append(arguments)
            if len(calls) < call:
                return work(*arguments, **options)
            doing(work, *arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(owner, name, last)

    return prepare


POINTS = {
    "before the manifest is in place": (die_in(os, "replace", 1, nothing), 0),
    "before the first shard is in place": (die_in(os, "replace", 2, nothing), 0),
    "half a shard": (die_in(pq, "write_table", 2, half_of_it), 1),
    "after a shard is in place": (die_in(os, "replace", 4, all_of_it), 3),
}
"""Moments to be killed at, and how many shards are then there."""


def main(folder: Path, moments: int, seed: int) -> None:
    """Kill ``moments`` exports; what happened is printed as JSON."""
    began = time.perf_counter()
    export: Export = stream_export(EXPLAINER, DATA, folder / "whole", shard_size=SHARD_SIZE, progress=False)
    seconds = time.perf_counter() - began
    whole = {shard.name: shard.read_bytes() for shard in export.shards()}
    draw, kills, finished, temporary, progress = random.Random(seed), 0, 0, 0, []
    while kills < moments:
        place = folder / f"killed-{finished}"
        child = start(place)
        time.sleep(draw.uniform(0, seconds / 4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "an export failed by itself"
        kills += os.WIFSIGNALED(status)
        temporary += len(list(place.glob("**/.*.tmp")))
        progress.append(check(place, whole))
        if progress[-1] == len(whole):
            finished += 1
    for name, (prepare, count) in POINTS.items():
        _, status = os.waitpid(start(folder / f"killed-{name}", prepare), 0)
        assert os.WIFSIGNALED(status), f"an export was to be killed: {name}"
        assert check(folder / f"killed-{name}", whole) == count, name
    for place in folder.glob("killed-*"):
        stream_export(EXPLAINER, DATA, place, shard_size=SHARD_SIZE, progress=False)
        assert check(place, whole) == len(whole)
        assert not list(place.glob("**/.*.tmp")), "temporary files are left"
    print(json.dumps({"kills": kills, "finished": finished, "temporary": temporary, "progress": progress}))


if __name__ == "__main__":
    torch.set_num_threads(1)
    EXPLAINER, DATA = make_explainer(search_edges=3), make_data(90)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
