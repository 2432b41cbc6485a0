"""How many predictions of each level of reliability are right, and is a model's confidence to be taken at its word?

Run with ``python -m benchmarks.reliability``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from scipy import stats
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from torch import Tensor
from torch_geometric.data import Data

from benchmarks._page import _markdown, save_figure, spread, write_page
from benchmarks._rationale_contexts import _explainer
from benchmarks._runs import Job, run_all
from benchmarks._training import BACKBONES, epochs_of, graph_of, new_model, with_sparse_input
from gragr_explain import GradientContextExplainer, GraGR
from gragr_explain.explain._facts import output_facts
from gragr_explain.explain._names import Names
from gragr_explain.explain._validation import Validation
from gragr_explain.modes import evaluating
from gragr_explain.rationale import Facts, ValidationFact, judge
from gragr_explain.rationale._reliability import probability_band

DATASETS = ("digits", "Cora", "CiteSeer", "Cora-public", "CiteSeer-public", "Cornell", "Texas", "Wisconsin")
LEVELS = ("high", "medium", "low")
STATED, SCALED, ISOTONIC, AS_SURE, NEAREST = (
    "its confidence",
    "temperature",
    "isotonic",
    "validation nodes as sure",
    "validation nodes like it",
)
RULES: dict[str, Callable[[Facts], str | None]] = {
    "confidence alone": lambda facts: probability_band(facts.confidence),
    "confidence and psi": lambda facts: judge(replace(facts, validation=None)).level,
    NEAREST: lambda facts: judge(facts).level,
}
"""What a level is made of; the last, by confidence and conflict, is what explanations say."""


def measure(job: Job) -> dict[str, Any]:
    """Train one model; judge its predictions of the test nodes, of which it and the rules know no label."""
    data, num_classes = graph_of(job["dataset"], job["seed"], normalize=False)
    torch.set_flush_denormal(True)
    model = GraGR(with_sparse_input(new_model(job["backbone"], data, num_classes, job["seed"]), data))
    model.fit(data, epochs_of(job["dataset"]), progress=False)
    test = data.test_mask.nonzero().view(-1)
    facts = _facts(model, data, test)
    with torch.no_grad():
        right = (model.eval()(data.x, data.edge_index).argmax(-1) == data.y)[test].tolist()
    levels = {name: [rule(each) for each in facts] for name, rule in RULES.items()}
    return {
        "accuracy": float(np.mean(right)),
        "right": json.dumps([int(each) for each in right]),
        "levels": json.dumps(levels),
        "probabilities": json.dumps(_probabilities(model, data, test, facts)),
    }


def _facts(model: GraGR, data: Data, nodes: Tensor) -> list[Facts]:
    """What explanations know of predictions, without the evidence for them, and without their labels."""
    explainer = _explainer(model, GradientContextExplainer(), "node")
    with evaluating(model):
        target = explainer.get_target(explainer.get_prediction(data.x, data.edge_index))
        shared = explainer.algorithm.context(model, data.x, data.edge_index, target=target)
    nothing: list[Any] = [()] * nodes.numel()
    changes = [None] * nodes.numel()
    return output_facts(nodes.tolist(), "node", shared, nothing, nothing, changes, None, Names())


@torch.no_grad()
def _probabilities(model: GraGR, data: Data, test: Tensor, facts: list[Facts]) -> dict[str, list[float]]:
    """How probably each prediction is right: as the model says, and as four ways to learn from validation nodes do."""
    output = model.eval()(data.x, data.edge_index).double()
    val, y = data.val_mask, data.y

    def loss(log_temperature: float) -> float:
        scaled = output[val] / float(np.exp(log_temperature))
        return float(torch.nn.functional.cross_entropy(scaled, y[val]))

    temperature = float(np.exp(minimize_scalar(loss, bounds=(-4, 4), method="bounded").x))
    stated = output.softmax(-1).amax(-1)
    hit = (output.argmax(-1) == y)[val].numpy().astype(float)
    isotonic = IsotonicRegression(out_of_bounds="clip").fit(stated[val].numpy(), hit)
    alone = Validation.of(output.argmax(-1), stated, torch.full_like(stated, torch.nan), torch.where(val, y, -1))
    return {
        STATED: stated[test].tolist(),
        SCALED: (output[test] / temperature).softmax(-1).amax(-1).tolist(),
        ISOTONIC: isotonic.predict(stated[test].numpy()).tolist(),
        AS_SURE: _shares(alone.facts(test) if alone else [None] * test.numel(), stated[test]),
        NEAREST: _shares([each.validation for each in facts], stated[test]),
    }


def _shares(found: Sequence[ValidationFact | None], stated: Tensor) -> list[float]:
    """What validation nodes say, and where they say nothing, what the model does."""
    return [own if each is None else each.share for each, own in zip(found, stated.tolist(), strict=True)]


def calibration_error(probability: np.ndarray, right: np.ndarray, bins: int = 10) -> float:
    """The expected calibration error (Guo et al., 2017): the mean distance of what is said from what is so."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return float(sum(abs((right - probability)[place == each].sum()) for each in range(bins)) / len(right))


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """Brier score and calibration error of each way, one row a model and way."""
    rows = []
    for run in table.itertuples():
        right = np.array(json.loads(run.right), dtype=float)
        for name, values in json.loads(run.probabilities).items():
            said = np.array(values)
            rows.append(
                {
                    "dataset": run.dataset,
                    "backbone": run.backbone,
                    "seed": run.seed,
                    "way": name,
                    "Brier": float(((said - right) ** 2).mean()),
                    "ECE": calibration_error(said, right),
                }
            )
    return pd.DataFrame(rows)


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """How many predictions of each level there are and how many of them are right, one row a model, rule and level."""
    rows = []
    for run in table.itertuples():
        right = np.array(json.loads(run.right), dtype=bool)
        for rule, levels in json.loads(run.levels).items():
            for level in LEVELS:
                chosen = np.array([each == level for each in levels])
                named = {"dataset": run.dataset, "backbone": run.backbone, "seed": run.seed, "rule": rule}
                rows.append({**named, "level": level, "count": chosen.sum(), "right": right[chosen].sum()})
    return pd.DataFrame(rows)


def shown_levels(counted: pd.DataFrame) -> pd.DataFrame:
    """For each data set and rule, the share of predictions of each level and how many of them are right."""
    rows = []
    for (dataset, rule), own in counted.groupby(["dataset", "rule"], sort=False):
        row = {"data set": dataset, "level by": rule}
        total = own["count"].sum()
        for level in LEVELS:
            found = own[own.level == level]
            per_run = found[found["count"] > 0]
            right = spread(100 * per_run.right / per_run["count"], 0) if len(per_run) else "–"
            row[level] = f"{100 * found['count'].sum() / total:.0f} %: {right}"
        rows.append(row)
    return pd.DataFrame(rows)


def shown_scores(scored: pd.DataFrame) -> pd.DataFrame:
    """For each data set, Brier score and calibration error of each way."""
    rows = []
    for dataset, own in scored.groupby("dataset", sort=False):
        row = {"data set": dataset}
        for way in (STATED, SCALED, ISOTONIC, AS_SURE, NEAREST):
            found = own[own.way == way]
            row[way] = f"{found.Brier.mean():.3f} / {100 * found.ECE.mean():.1f}"
        rows.append(row)
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame, counted: pd.DataFrame, scored: pd.DataFrame) -> list[str]:
    """What stands out, in words."""

    def share(rule: str, level: str, datasets: tuple[str, ...] = DATASETS) -> tuple[float, float]:
        """Means over data sets: the share of predictions that are right, and that of predictions of the level."""
        own = counted[(counted.rule == rule) & counted.dataset.isin(datasets)]
        sums = own.groupby(["dataset", "level"])[["count", "right"]].sum()
        all_of = own.groupby("dataset")["count"].sum()
        chosen = sums.xs(level, level="level")
        return 100 * (chosen.right / chosen["count"]).mean(), 100 * (chosen["count"] / all_of).mean()

    before = "confidence and psi"
    right_now = [
        f"{level} {share(NEAREST, level)[0]:.0f} % (by confidence and psi alone {share(before, level)[0]:.0f} %)"
        for level in LEVELS
    ]
    web = ("Cornell", "Texas", "Wisconsin")
    brier, ece = scored.groupby("way").Brier.mean(), 100 * scored.groupby("way").ECE.mean()
    pairs = scored.pivot(index=["dataset", "backbone", "seed"], columns="way", values="Brier")
    against = {way: int((pairs[NEAREST] < pairs[way]).sum()) for way in (STATED, AS_SURE, ISOTONIC)}
    p = float(stats.wilcoxon(pairs[NEAREST], pairs[AS_SURE]).pvalue)
    others = ", ".join(f"{way} {brier[way]:.3f} and {ece[way]:.1f} %" for way in (STATED, SCALED, ISOTONIC, AS_SURE))
    return [
        "**Of the predictions whose reliability is called high, medium and low, so many are right**, on test nodes "
        f"whose label nothing knew, mean over {table.dataset.nunique()} data sets, all models together: "
        f"{', '.join(right_now)}. Of all, {share(NEAREST, 'high')[1]:.0f} % are called high "
        f"({share(before, 'high')[1]:.0f} %). On the web graphs, where models are far surer than they are right, "
        f"{share(NEAREST, 'high', web)[0]:.0f} % of those called high are ({share(before, 'high', web)[0]:.0f} %).",
        "An explanation judges a prediction by the quarter of the validation nodes most like it in confidence and "
        "conflict, 10 to 30 of them, and says about how many of them the model is right; a share below 60 % is "
        f"low, one from 80 % on high. As a probability it has a Brier score of {brier[NEAREST]:.3f} and an expected "
        f"calibration error of {ece[NEAREST]:.1f} %; lower is better. Others: {others}. By the Brier score it is "
        f"better than the model's confidence for {against[STATED]} of {len(pairs)} models, isotonic regression for "
        f"{against[ISOTONIC]}.",
        "**What psi adds**: among validation nodes of which the model is as sure, those with as much conflict tell "
        f"{'more' if p < 0.05 else 'a little more, but not surely'}. "
        f"With conflict the Brier score is {brier[NEAREST]:.4f}, by confidence alone {brier[AS_SURE]:.4f}; it is "
        f"better for {against[AS_SURE]} of {len(pairs)} models (Wilcoxon, p = {p:.1g}). That conflict counts half as "
        "much as confidence, and how many nodes are asked, was chosen on validation nodes alone, each judged by "
        "the others: stability, influence and receptiveness beside it change the Brier score there by less than 0.001, "
        "20, 30 or 50 nodes by at most 0.003. Where there are fewer than 40 validation nodes, or none of which the "
        "model is as unsure, the level is that of the confidence, lowered for conflict and instability.",
        f"{', '.join(BACKBONES)}, trained with GraGR for 100 epochs, 200 on the web graphs, with "
        f"{table.seed.nunique()} seeds, which on the web graphs are splits. The validation nodes chose nothing in "
        "these trainings; where they choose the epoch, what they say is better than what is so. The labels of test "
        "nodes are hidden from explanations, which else call low what is known to be wrong.",
    ]


def draw(table: pd.DataFrame) -> str:
    """What is said against what is so, for the model's own confidence and for validation nodes."""
    figure, panels = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    edges = np.linspace(0, 1, 11)
    for panel, way in zip(panels, (STATED, NEAREST), strict=True):
        panel.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle=":")
        for number, (dataset, own) in enumerate(table.groupby("dataset", sort=False)):
            said = np.concatenate([json.loads(run)[way] for run in own.probabilities])
            right = np.concatenate([json.loads(run) for run in own.right])
            place = np.clip(np.digitize(said, edges) - 1, 0, 9)
            held = [each for each in range(10) if (place == each).sum() >= 30]
            x = [said[place == each].mean() for each in held]
            y = [right[place == each].mean() for each in held]
            panel.plot(x, y, marker="o", markersize=4, color=f"C{number}", label=dataset)
        panel.set(xlabel=f"probability by {way}", xlim=(0, 1), ylim=(0, 1))
    panels[0].set_ylabel("share of test nodes that are predicted right")
    panels[1].legend(fontsize=8, loc="upper left")
    return save_figure(figure, "reliability.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="+", default=list(DATASETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    jobs = [
        {"dataset": dataset, "backbone": backbone, "seed": seed}
        for dataset in options.datasets
        for backbone in BACKBONES
        for seed in range(options.seeds)
    ]
    table = run_all("reliability", jobs, measure, options.workers)
    counted, scored = counts(table), scores(table)
    paragraphs = [
        *verdict(table, counted, scored),
        f"![What is said against what is so]({draw(table)})",
        "## Brier score / expected calibration error in percent",
        _markdown(shown_scores(scored)),
        "## Levels\n\nThe share of predictions of each level and, after the colon, how many percent of them are right, "
        "mean ± standard deviation over models and seeds.",
    ]
    write_page(
        "reliability",
        "How many predictions of each level of reliability are right?",
        paragraphs,
        shown_levels(counted),
    )


if __name__ == "__main__":
    main()
