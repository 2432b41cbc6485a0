"""Measurements of which each is kept in a file of its own, whole or not there, and none is made twice."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm

import gragr_explain
from benchmarks._runs import RESULTS, Job
from gragr_explain.files import atomic, check_writable

FOLDER = RESULTS / "fidelity"
_KEY = b"job"

Measure = Callable[[Job], list[dict[str, Any]]]
"""From a job to tidy rows."""


def path_of(job: Job, folder: Path = FOLDER) -> Path:
    """The file of a job's results."""
    names = [job[name] for name in ("part", "dataset", "backbone", "explainer") if name in job]
    return folder / ("-".join(name.replace(" ", "_").replace(",", "") for name in names) + ".parquet")


def read(job: Job, folder: Path = FOLDER) -> pd.DataFrame | None:
    """A job's results; ``None`` where there are none, the file is damaged, or they are of other settings."""
    try:
        table = pq.read_table(path_of(job, folder))
    except (OSError, pa.ArrowException):
        return None
    found = (table.schema.metadata or {}).get(_KEY)
    return table.to_pandas() if found is not None and json.loads(found) == job else None


def read_all(jobs: Iterable[Job], folder: Path = FOLDER) -> pd.DataFrame:
    """The results of all jobs that have some, in one table; an empty one where none has."""
    tables = [rows for job in jobs if (rows := read(job, folder)) is not None and len(rows)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def write(job: Job, rows: Sequence[dict[str, Any]], folder: Path = FOLDER) -> None:
    """Keep a job's results, each row with what the job says."""
    said = {name: value for name, value in job.items() if isinstance(value, str | int | float)}
    table = pa.Table.from_pandas(pd.DataFrame([{**said, **row} for row in rows]), preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(job).encode()})
    with atomic(path_of(job, folder)) as (part,):
        pq.write_table(table, part)


def run(groups: Sequence[Sequence[Job]], measure: Measure, workers: int, folder: Path = FOLDER) -> None:
    """Measure every job that is not measured yet.

    Args:
        groups: What to run, in this order; the jobs of a group one after another in the same process, so that what they
            share is loaded once.
        measure: Measures one job; a function of a module, since it is called in other processes.
        workers: The number of processes, of one thread each.
        folder: Where the results are kept.
    """
    check_writable(folder)
    total = sum(len(group) for group in groups)
    missing = [[job for job in group if read(job, folder) is None] for group in groups]
    todo = [group for group in missing if group]
    with (
        ProcessPoolExecutor(workers, get_context("spawn"), initializer=_start) as pool,
        tqdm(total=total, initial=total - sum(map(len, todo)), desc="measuring", unit="job", smoothing=0) as bar,
    ):
        running = {pool.submit(_measure_all, group, measure, folder): len(group) for group in todo}
        for done in as_completed(running):
            done.result()
            bar.update(running[done])


def _start() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Workers of a process that was killed would wait for work for ever."""
    if (parent := parent_process()) is not None:
        parent.join()
        os._exit(1)


def _measure_all(jobs: Iterable[Job], measure: Measure, folder: Path) -> None:
    for job in jobs:
        write(job, measure(job), folder)


@lru_cache(maxsize=1)
def explanation_code() -> str:
    """What this package's own masks depend on: the code of its explanations, whatever is said about it."""
    root, digest = Path(gragr_explain.__file__).parent, hashlib.sha256()
    for source in (root / "messages.py", *sorted((root / "explain").rglob("*.py"))):
        digest.update(without_prose(source.read_text()).encode())
    return digest.hexdigest()[:12]


def without_prose(source: str) -> str:
    """What Python makes of a source, without what is written for people: comments, docstrings and layout.

    Example:
        >>> without_prose("'One.'; x = 1  # two") == without_prose("x=1") != without_prose("x = 2")
        True
    """
    return ast.dump(_Unsaid().visit(ast.parse(source)))


class _Unsaid(ast.NodeTransformer):
    """Leaves out strings that stand alone, which do nothing."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        alone = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if alone else node
