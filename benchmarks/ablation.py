"""Table 6: what does each part of GraGR and GraGR++ add, and what does attention leak?

Each row is one argument away from another. The same first weights, epochs and choice of the best epoch as in Table 1.
"""

from __future__ import annotations

import argparse
from typing import Any

import pandas as pd
from scipy import stats

from benchmarks._page import _markdown, write_page
from benchmarks._runs import Job, run_all
from benchmarks._training import PLAIN, energies_of, epochs_of, graph_of, new_model, scores_of, with_sparse_input
from gragr_explain.training import GraGR, GraGRPlusPlus

FULL: dict[str, Any] = {"attention": "training", "meta": "node"}
ROWS: dict[str, tuple[type[GraGR], dict[str, Any]]] = {
    "plain": (GraGR, PLAIN),
    "plain, best of 4 seeds": (GraGR, {**PLAIN, "seeds": 4}),
    "plain + attention (training gradients)": (GraGR, {**PLAIN, "attention": "training"}),
    "plain + attention (predicted labels)": (GraGR, {**PLAIN, "attention": "predicted"}),
    "plain + γ per node": (GraGR, {**PLAIN, "meta": "node"}),
    "plain + γ per class": (GraGR, {**PLAIN, "meta": "class"}),
    "plain + γ per class by conflict": (GraGR, {**PLAIN, "meta": "class", "meta_objective": "conflict"}),
    "plain + conflict loss, stopped": (GraGR, {**PLAIN, "conflict_weight": 1.0}),
    "plain + conflict loss, stopped, λ = 10": (GraGR, {**PLAIN, "conflict_weight": 10.0}),
    "plain + conflict loss, exact": (GraGR, {**PLAIN, "conflict_weight": 1.0, "exact_conflict": True}),
    "plain + conflict loss, exact, λ = 10": (GraGR, {**PLAIN, "conflict_weight": 10.0, "exact_conflict": True}),
    "GraGR (default)": (GraGR, {}),
    "GraGR (full: attention and γ per node)": (GraGR, FULL),
    "full w/o conflict": (GraGR, {**FULL, "conflict": False}),
    "full w/o alignment": (GraGR, {**FULL, "alignment": False}),
    "full w/o attention": (GraGR, {**FULL, "attention": None}),
    "full w/o meta": (GraGR, {**FULL, "meta": None}),
    "GraGR++": (GraGRPlusPlus, {}),
    "GraGR++ w/o adaptive scheduling": (GraGRPlusPlus, {"schedule": False}),
    "GraGR++ w/o conflict pathway": (GraGRPlusPlus, {"pathway": False}),
    "GraGR++ w/o seed selection": (GraGRPlusPlus, {"seeds": 1}),
}
PAPER = {  # Table 6, PubMed, test accuracy
    "plain": 74.9,
    "GraGR (full: attention and γ per node)": 77.8,
    "full w/o conflict": 76.2,
    "full w/o alignment": 77.2,
    "full w/o attention": 76.7,
    "full w/o meta": 76.5,
    "GraGR++ w/o adaptive scheduling": 76.8,
    "GraGR++ w/o conflict pathway": 76.3,
}
ATTENTION = ("plain", "plain + attention (training gradients)", "plain + attention (predicted labels)")


def measure(job: Job) -> dict[str, float]:
    """Train one row once."""
    data, num_classes = graph_of(job["dataset"], job["seed"], normalize=False)
    kind, switches = ROWS[job["row"]]
    epochs = epochs_of(job["dataset"])
    model = with_sparse_input(new_model(job["backbone"], data, num_classes, job["seed"]), data, aggregate=False)
    trainer = kind(model, **switches)
    trainer.fit(data, epochs, lr=0.01, weight_decay=5e-4, patience=epochs, record=False, progress=False)
    return {**scores_of(trainer, data), **energies_of(trainer, data)}


def shown(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One data set's rows, with the paired difference to plain training."""
    own = table[table.dataset == dataset].set_index("seed")
    plain = own[own.row == "plain"]
    rows = []
    for name in ROWS:
        runs = own[own.row == name]
        difference = runs.test - plain.test
        p = 1.0 if difference.abs().max() == 0 else float(stats.ttest_rel(runs.test, plain.test).pvalue)
        rows.append(
            {
                "row": name,
                "train": f"{runs.train.mean():.2f}",
                "val": f"{runs.val.mean():.2f}",
                "test": f"{runs.test.mean():.2f} ± {runs.test.std(ddof=1):.2f}",
                "to plain": "" if name == "plain" else f"{difference.mean():+.2f}",
                "p": "" if name == "plain" else f"{p:.2g}",
                "conflict energy": f"{runs.energy.mean():.4f}",
                "paper (PubMed)": PAPER.get(name, ""),
            }
        )
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame, datasets: list[str]) -> list[str]:
    """What stands out, in words."""
    lines = []
    for dataset in datasets:
        own = table[table.dataset == dataset].set_index(["row", "seed"]).test.unstack("row")
        difference = own.sub(own["plain"], axis=0).drop(columns="plain")
        p = {row: float(stats.ttest_rel(own[row], own["plain"]).pvalue) for row in difference if difference[row].any()}
        mean = difference.mean()
        sure = [f"{row} ({mean[row]:+.2f})" for row in difference if p.get(row, 1.0) < 0.05]
        lines.append(
            f"**{dataset}:** rows that differ from plain training (paired t-test, p < 0.05, not corrected for the "
            f"{len(ROWS) - 1} rows): {', '.join(sure) or 'none'}."
        )
    energy = table[table.dataset.isin(datasets)].groupby(["row", "dataset"]).energy.mean().unstack()
    ratio = (energy.div(energy.loc["plain"], axis=1)).mean(axis=1)
    lowest = ratio.idxmin()
    halved = [row for row in ROWS if ratio[row] <= 0.5]
    lines.append(
        "**Conflict energy** of the hidden layer's gradients at the end, as a ratio to plain training, mean over the "
        f"data sets: lowest with *{lowest}*, {ratio[lowest]:.2f}; halved by {', '.join(halved) or 'no row'}; GraGR "
        f"{ratio['GraGR (default)']:.2f}, GraGR++ {ratio['GraGR++']:.2f}."
    )
    gap = {}
    for row in ATTENTION:
        runs = table[(table.row == row) & table.dataset.isin(datasets)]
        gap[row] = (runs.train - runs.val).mean()
    lines.append(
        "**What attention leaks.** The gradient of a training node knows its label, and attention shows it to the "
        "neighbours. Training accuracy minus validation accuracy, mean over the data sets: plain "
        f"{gap[ATTENTION[0]]:.2f} points, with attention from training gradients {gap[ATTENTION[1]]:.2f}, from "
        f"predicted labels {gap[ATTENTION[2]]:.2f}. Attention is off by default: it ties a model to one graph, and is "
        "not better everywhere."
    )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=["Cora", "CiteSeer", "Texas"])
    parser.add_argument("--backbone", default="GCN")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = [
        {"dataset": dataset, "backbone": options.backbone, "row": row, "seed": seed}
        for seed in range(options.seeds)
        for dataset in options.datasets
        for row in ROWS
    ]
    table = run_all("ablation", jobs, measure, options.workers)
    sections = [
        part for dataset in options.datasets[:-1] for part in (f"## {dataset}", _markdown(shown(table, dataset)))
    ]
    write_page(
        "ablation",
        "What does each part of GraGR and GraGR++ add? (Table 6)",
        [
            *verdict(table, options.datasets),
            f"{options.backbone}, {options.seeds} seeds (web graphs: splits), mean ± standard deviation of the test "
            "accuracy at the epoch of the best validation accuracy; *to plain* is the mean paired difference. The "
            "paper's ablation is on PubMed, whose files are not at hand here. `γ per node` uses the validation labels "
            "to weigh training nodes, which no other row does.",
            *sections,
            f"## {options.datasets[-1]}",
        ],
        shown(table, options.datasets[-1]),
    )


if __name__ == "__main__":
    main()
