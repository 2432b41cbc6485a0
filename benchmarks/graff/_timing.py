"""What a forward pass costs on Cora, beside GCN of the same width and depth."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch_geometric.nn import GCN
from tqdm import tqdm

from benchmarks._runs import RESULTS
from benchmarks.graff._graphs import load
from benchmarks.graff._models import FLOW, GRAFFS, HEAT, HEAT_RELUS, WIDTH
from gragr_explain.files import atomic, check_writable
from gragr_explain.models import GRAFF

DEPTHS = (2, 4, 8)
_STEPS: dict[str, dict[str, Any]] = {
    "linear": FLOW,
    "ReLU": {**FLOW, "act": "relu"},
    "near heat flow": HEAT,
    "near heat flow, ReLUs": HEAT_RELUS,
}
TIMED: dict[str, dict[str, Any]] = {
    f"{name}, {steps}": {"w": w, **flow}
    for steps, flow in _STEPS.items()
    for name, w in GRAFFS.items()
    if w != "neg-prod" or "heat" not in flow
}
"""The variants of GRAFF that are timed, with the steps that they are trained with."""
CACHED = "GCN, normalised graph kept"
FILE = "graff-timing.json"


def measure_times(seeds: int = 10, repeats: int = 30) -> pd.DataFrame:
    """Seconds of a forward pass, the median over repeats in turn, one row for each model, depth and seed."""
    data, num_classes = load("Cora-public", 0)
    rows = []
    for depth in tqdm(DEPTHS, desc="depths"):
        sizes = (data.num_features, WIDTH, depth, num_classes)
        kinds: dict[str, Callable[[], nn.Module]] = {
            "GCN": lambda sizes=sizes: GCN(*sizes),  # type: ignore[misc]
            CACHED: lambda sizes=sizes: GCN(*sizes, cached=True),  # type: ignore[misc]
            **{name: lambda sizes=sizes, own=own: GRAFF(*sizes, **own) for name, own in TIMED.items()},  # type: ignore[misc]
        }
        for seed in range(seeds):
            torch.manual_seed(seed)
            models = {name: kind().eval() for name, kind in kinds.items()}
            times: dict[str, list[float]] = {name: [] for name in models}
            with torch.no_grad():
                for _ in range(repeats + 3):
                    for name, model in models.items():
                        start = time.perf_counter()
                        model(data.x, data.edge_index)
                        times[name].append(time.perf_counter() - start)
            rows += [
                {"model": name, "depth": depth, "seed": seed, "seconds": float(torch.tensor(found[3:]).median())}
                | {"load": os.getloadavg()[0]}
                for name, found in times.items()
            ]
    table = pd.DataFrame(rows)
    with atomic(check_writable(RESULTS) / FILE) as (part,):
        part.write_text(table.to_json(orient="records"))
    return table


def measured_times() -> pd.DataFrame | None:
    """What was measured before, if anything."""
    file = RESULTS / FILE
    return pd.DataFrame(json.loads(file.read_text())) if file.is_file() else None


def ratios(table: pd.DataFrame, beside: str = "GCN") -> pd.DataFrame:
    """The time of each GRAFF as a ratio to another model of the same width, depth and seed."""
    own = table.set_index(["model", "depth", "seed"]).seconds
    graffs = own[own.index.get_level_values("model").isin(TIMED)].reset_index()
    other = own[beside].rename("other")
    graffs = graffs.join(other, on=["depth", "seed"])
    graffs["ratio"] = graffs.seconds / graffs.other
    return graffs
