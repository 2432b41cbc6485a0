"""One cell: a backbone trained on a graph with wrong labels, and all that is asked of it."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.data import Data

from benchmarks._runs import RESULTS, Job
from benchmarks.audit._detectors import THRESHOLDS, cleanlab_issues, detect
from benchmarks.audit._failures import PROBABILITIES, failure_scores
from benchmarks.audit._noise import KINDS, add_noise
from benchmarks.audit._repairs import Flags, accuracy, repaired_accuracies
from benchmarks.audit._scores import calibration_bins, detection, risk_coverage_area
from benchmarks.audit._training import LR, WEIGHT_DECAY, Course, fit, graph_for, held_out_probs
from gragr_explain.audit import Audit, audit

DATASETS = ("Cora", "CiteSeer", "Texas", "Wisconsin", "digits")
BACKBONES = ("GCN", "GraphSAGE")
RATES = (0.1, 0.2, 0.05)
REPAIRED = 0.2
"""The share of wrong labels at which the model is trained again with repaired ones."""
CLEAN = "none"
_FIRST_NOISE = 1000


def cell_jobs(datasets: Sequence[str], seeds: int) -> list[Job]:
    """All cells of the first seed, then all of the next; kinds and shares take turns, so that any part has all."""
    kinds = list(KINDS)
    turns = [
        (kinds[(place + turn) % len(kinds)], rate) for turn in range(len(kinds)) for place, rate in enumerate(RATES)
    ]
    return [
        {"dataset": dataset, "backbone": backbone, "kind": kind, "rate": rate, "seed": seed}
        for seed in range(seeds)
        for kind, rate in [(CLEAN, 0.0), *turns]
        for dataset in datasets
        for backbone in BACKBONES
    ]


def measured(jobs: Sequence[Job]) -> list[Job]:
    """Those jobs that are measured already."""
    file = RESULTS / "audit.json"
    saved = json.loads(file.read_text()) if file.is_file() else {}
    return [job for job in jobs if json.dumps(job, sort_keys=True) in saved]


def measure(job: Job) -> dict[str, Any]:
    """Train, audit, score; what is found is named by question, method and score."""
    torch.set_flush_denormal(True)
    started = time.perf_counter()
    dataset, backbone, seed = job["dataset"], job["backbone"], job["seed"]
    graph, num_classes = graph_for(dataset, seed)
    data, clean = copy.copy(graph), graph.y
    if job["kind"] != CLEAN:
        data.y = add_noise(graph, job["kind"], job["rate"], num_classes, _FIRST_NOISE + seed)
    course = Course(data)
    trained = fit(backbone, data, dataset, num_classes, seed, course=course)
    audited = time.perf_counter()
    found = audit(trained, data, lr=LR, weight_decay=WEIGHT_DECAY, seed=seed, progress=False)
    scores: dict[str, Any] = {"audit/seconds": time.perf_counter() - audited, "audit/trainings": found.num_trainings}
    scores |= {f"failures/{name}": value for name, value in _failures(trained, data, clean, found, seed).items()}
    scores["repairs/noisy"] = accuracy(trained, data, clean)
    scores["labels/audit/estimate"] = found.noise_rate
    labels = _by_node(found.labels, data.train_mask)
    wrong = (data.y != clean)[data.train_mask].numpy()
    scores["labels/audit/bins"] = calibration_bins(labels["probability"].to_numpy(), wrong)
    if job["kind"] != CLEAN:
        held_out = held_out_probs(backbone, data, dataset, num_classes, seed)
        history = trained.history
        assert history is not None
        with torch.no_grad():
            probs = trained(data.x, data.edge_index).softmax(-1)
        doubts = {"audit": labels["probability"].to_numpy()}
        doubts |= detect(probs, held_out, course, history, data, seed)
        flags = _flags(doubts, labels, held_out, clean, data, wrong)
        for name, doubt in doubts.items():
            own = flags[name][0] if name in flags else doubt > THRESHOLDS[name] if name in THRESHOLDS else None
            scores |= {f"labels/{name}/{part}": value for part, value in detection(doubt, wrong, own).items()}
        if job["rate"] == REPAIRED:
            accuracies = repaired_accuracies(backbone, data, dataset, num_classes, seed, clean, flags)
            scores |= {f"repairs/{name}": value for name, value in accuracies.items()}
    return scores | {"seconds": time.perf_counter() - started}


def _failures(trained: torch.nn.Module, data: Data, clean: Tensor, found: Audit, seed: int) -> dict[str, Any]:
    """Scores of every method on the predictions for test nodes."""
    test = data.test_mask.numpy()
    with torch.no_grad():
        wrong = (trained(data.x, data.edge_index).argmax(-1) != clean).numpy()[test]
    doubts = {name: score[test] for name, score in failure_scores(trained, data, seed).items()}
    doubts["audit"] = _by_node(found.predictions, data.test_mask)["probability"].to_numpy()
    scores: dict[str, Any] = {"error": float(wrong.mean())}
    for name, doubt in doubts.items():
        scores[f"{name}/auroc"] = detection(doubt, wrong, None)["auroc"]
        scores[f"{name}/aurc"] = risk_coverage_area(doubt, wrong)
        if name in PROBABILITIES:
            scores[f"{name}/bins"] = calibration_bins(doubt, wrong)
    return scores


def _flags(
    doubts: dict[str, np.ndarray], labels: pd.DataFrame, held_out: Tensor, clean: Tensor, data: Data, wrong: np.ndarray
) -> dict[str, Flags]:
    """Which labels are flagged by those who say what to do with them, and by who knows."""
    likely = held_out[data.train_mask].argmax(-1).numpy()
    return {
        "audit": (doubts["audit"] > 0.5, labels["suggested"].to_numpy()),
        "cleanlab": (cleanlab_issues(held_out, data), likely),
        "oracle": (wrong, clean[data.train_mask].numpy()),
    }


def _by_node(table: pd.DataFrame, mask: Tensor) -> pd.DataFrame:
    """The rows about some nodes, in the order of the nodes."""
    return table.set_index("node").loc[mask.nonzero().view(-1).numpy()]
