"""Many trainings of which each is saved when it is there, and none is made twice."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from tqdm import tqdm

import gragr_explain
from benchmarks._page import VERSIONS
from gragr_explain.files import atomic, check_writable

Job = dict[str, Any]
"""What one run is made with: names and numbers."""

RESULTS = Path(__file__).parent / "results"
EVERY_SECONDS = 5.0
"""How often what was measured is written."""


def run_all(name: str, jobs: Sequence[Job], measure: Callable[[Job], dict[str, Any]], workers: int = 1) -> pd.DataFrame:
    """Measure every job that is not measured yet.

    Args:
        name: The benchmark; its results are ``benchmarks/results/<name>.json`` and, as a tidy table, ``.parquet``.
        jobs: What to run.
        measure: Runs one job; a function of a module, since it is called in other processes.
        workers: The number of processes, of one thread each.

    Returns:
        One row per job: what it was made with, and what was measured.
    """
    file = check_writable(RESULTS) / f"{name}.json"
    saved: dict[str, dict[str, Any]] = json.loads(file.read_text()) if file.is_file() else {}
    keys = [json.dumps(job, sort_keys=True) for job in jobs]
    todo = [job for job, key in zip(jobs, keys, strict=True) if key not in saved]
    context, code = get_context("spawn"), _digest()
    with (
        ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        tqdm(total=len(jobs), initial=len(jobs) - len(todo), desc=name, unit="run") as bar,
    ):
        running, written = {pool.submit(measure, job): job for job in todo}, time.monotonic()
        try:
            for done in as_completed(running):
                saved[json.dumps(running[done], sort_keys=True)] = {**done.result(), "code": code}
                bar.update()
                if time.monotonic() - written > EVERY_SECONDS:
                    _write(saved, file)
                    written = time.monotonic()
        finally:
            _write(saved, file)
    versions = {found["code"] for key, found in saved.items() if key in set(keys)}
    VERSIONS.setdefault(name, set()).update(versions)
    if len(versions) > 1:
        print(f"{name}: results of {len(versions)} versions of the code; remove {file} to make them anew")
    table = pd.DataFrame([{**job, **saved[key]} for job, key in zip(jobs, keys, strict=True)])
    with atomic(file.with_suffix(".parquet")) as (part,):
        table.to_parquet(part)
    return table


def _write(saved: dict[str, dict[str, Any]], file: Path) -> None:
    with atomic(file) as (part,):
        part.write_text(json.dumps(saved))


def _digest() -> str:
    """What the trained models depend on: the code below and in training."""
    digest = hashlib.sha256()
    for folder in ("field", "history", "training"):
        for source in sorted((Path(gragr_explain.__file__).parent / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
