"""What is measured, in which order."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks._runs import Job
from benchmarks.fidelity import _scores
from benchmarks.fidelity._cases import BACKBONES, DATASETS, INSTANCES, MOTIF_DATASETS, describe, recipe
from benchmarks.fidelity._explainers import EXPLAINERS, settings_of
from benchmarks.fidelity._jobs import FOLDER, Measure, explanation_code

PARTS: dict[str, Measure] = {"cases": describe, "scores": _scores.measure}
"""What measures a job, by its ``part``."""


def measure(job: Job) -> list[dict[str, Any]]:
    """Measure a job of any part."""
    return PARTS[job["part"]](job)


def case_parser(module: str, description: str | None, datasets: Sequence[str] = DATASETS) -> argparse.ArgumentParser:
    """What a benchmark of cases is told: which of them, how many instances, and how to run."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    parser.add_argument("--datasets", nargs="+", choices=datasets, default=datasets, metavar="NAME")
    parser.add_argument("--backbones", nargs="+", choices=BACKBONES, default=BACKBONES, metavar="NAME")
    parser.add_argument("--instances", type=int, default=INSTANCES)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--results", type=Path, default=FOLDER, help="where what is measured is kept")
    return parser


def case_jobs(datasets: Sequence[str], backbones: Sequence[str], instances: int, seed: int) -> list[Job]:
    """Each model on its data."""
    return [
        {
            "part": "cases",
            "dataset": dataset,
            "backbone": backbone,
            "instances": instances,
            "seed": seed,
            "settings": recipe(dataset, backbone),
        }
        for dataset in datasets
        for backbone in backbones
    ]


def explainer_jobs(cases: Sequence[Job], explainers: Sequence[str]) -> list[Job]:
    """The explainers on the cases that they are for, each with all that its results depend on."""
    jobs = []
    for case in cases:
        for name in explainers:
            if EXPLAINERS[name].applies(case["dataset"], case["backbone"]):
                settings = {"case": case["settings"], **settings_of(name)}
                if EXPLAINERS[name].own:
                    settings["code"] = explanation_code()
                jobs.append({**case, "part": "scores", "explainer": name, "settings": settings})
    return jobs


def score_jobs(cases: Sequence[Job], explainers: Sequence[str]) -> list[Job]:
    """Those of them whose fidelity is measured: what shows what a model uses is asked of motifs alone."""
    return [
        job
        for job in explainer_jobs(cases, explainers)
        if job["dataset"] in MOTIF_DATASETS or not EXPLAINERS[job["explainer"]].uses
    ]


def grouped(cases: Sequence[Job], jobs: Sequence[Job]) -> list[list[Job]]:
    """All jobs, the fastest explainers of all cases first, so that there is something to look at early."""
    groups: dict[tuple[int, str, str], list[Job]] = {(0, case["dataset"], case["backbone"]): [case] for case in cases}
    for job in jobs:
        key = (EXPLAINERS[job["explainer"]].speed, job["dataset"], job["backbone"])
        groups.setdefault(key, []).append(job)
    return [groups[key] for key in sorted(groups, key=lambda key: key[0])]
