"""What an epoch costs when it is recorded, and when its gradients are corrected, beside a plain one.

Every variant trains the same model with the same loop, in turn. The time of an epoch is that from one forward pass to
the next, its mean over ten epochs (so that the self field, which is taken every ten, counts), and the median of those
means over a training (so that a pause of the machine does not). No validation pass is made, which would make all
variants look alike.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import pandas as pd
import torch
from torch import nn
from torch_geometric.data import Data
from tqdm import tqdm

from benchmarks._page import spread, write_page
from gragr_explain import GraGR
from gragr_explain.checkpoint import build_model
from gragr_explain.datasets import load_dataset

VARIANTS = {  # what is corrected, and whether it is recorded
    "plain": (False, False),
    "recorded": (False, True),
    "GraGR": (True, True),
}
BLOCK = 10
GOALS = {"recorded": 1.15, "GraGR": 1.3}


def epoch_time(model: nn.Module, data: Data, variant: str, epochs: int) -> float:
    """The time of an epoch, in milliseconds."""
    corrects, records = VARIANTS[variant]
    starts: list[float] = []
    clock = model.register_forward_pre_hook(
        lambda module, _: starts.append(time.perf_counter()) if module.training else None
    )
    steps: dict[str, Any] = {"smooth_iters": 3} if corrects else {}
    trainer = GraGR(model, conflict=corrects, alignment=corrects, **steps)
    trainer.fit(data, epochs=epochs, record=records, progress=False)
    clock.remove()
    times = torch.tensor(starts, dtype=torch.double).diff()[-BLOCK * (len(starts) // BLOCK - 1) :]
    return float(times.view(-1, BLOCK).mean(1).median() * 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="Cora")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()

    dataset = load_dataset(options.dataset)
    data = dataset.data.clone()
    data.val_mask = None
    rows = []
    for name in tqdm(["GCN", "GAT", "GIN", "GraphSAGE"], desc="backbones"):
        times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
        for seed in range(options.seeds):
            for variant in VARIANTS:
                torch.manual_seed(seed)
                model = build_model(name, data.num_features, len(dataset.class_names))
                times[variant].append(epoch_time(model, data, variant, options.epochs))
        row = {"backbone": name, "plain (ms)": spread(times["plain"])}
        for variant, goal in GOALS.items():
            ratios = [own / plain for own, plain in zip(times[variant], times["plain"], strict=True)]
            row[f"{variant} / plain"] = spread(ratios)
            row[f"goal {variant}"] = f"≤ {goal}: {'met' if sum(ratios) / len(ratios) <= goal else 'missed'}"
        rows.append(row)
    table = pd.DataFrame(rows)
    missed = [row["backbone"] for row in rows if "missed" in str(row.values())]
    verdict = f"Missed for {', '.join(missed)}." if missed else "All goals are met."
    write_page(
        "overhead",
        f"What recording and correcting gradients cost on {dataset.name}",
        [
            f"{verdict} Ratios to a plain epoch of the same model in the same run, {options.seeds} seeds, mean ± "
            "standard deviation. *Recorded* is `GradientRecorder` alone; *GraGR* is detection, projection, three "
            "smoothing steps, conflict energy and recording. What recording adds to an epoch hardly depends on the "
            "model, so that it weighs most where epochs are short. The GraGR paper's Table 7 has 7.3 for GCN on Cora.",
        ],
        table,
    )


if __name__ == "__main__":
    main()
