"""The poster's table: what does it cost the other predictions to correct one?

Each wrongly predicted node is corrected on the trained model as it is; then, in another run, one after another. Three
methods take the steps of ``gragr_explain.editing``; three more are as published: Adam with a tuned learning rate,
training gradients alone, stored before the first step, training subsets drawn at random. What each method is free to
choose (the number of planned steps, the learning rate) is chosen on other nodes, for each from as many values.
"""

from __future__ import annotations

import argparse
import copy
import time
from functools import lru_cache
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from benchmarks._page import _markdown, save_figure, spread, write_page
from benchmarks._runs import Job, run_all
from benchmarks._training import (
    WEBKB,
    _multiply_sparsely,
    epochs_of,
    graph_of,
    new_model,
    trainer_of,
    with_sparse_input,
)
from gragr_explain.editing import StitchedMLP, edit_independently, edit_sequence, gre, gre_plus

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DATASETS = ("Cora", "CiteSeer", *WEBKB)
MODELS = ("GCN", "GraphSAGE", "EGNN-GCN", "EGNN-SAGE")
METHODS = {
    "gd": "GD",
    "gre": "GRE",
    "gre+": "GRE+",
    "gd, Adam": "GD, as published",
    "gre, Adam": "GRE, as published",
    "gre+, Adam": "GRE+, as published",
}
STEPPED = ("gd", "gre", "gre+")
CHOICES: dict[bool, tuple[float, ...]] = {False: (1, 2, 3, 10), True: (0.0003, 0.001, 0.003, 0.01)}
MOST_PLANNED = 3
TUNING = ("Cora", "Texas")
SUBSETS, TARGETS, TUNING_TARGETS, MOST_STEPS = 10, 50, 10, 50
POSTER = {  # Cora: accuracy after, drawdown, success rate
    ("GCN", "GD"): "84.37, 5.03, 1.00",
    ("GCN", "GRE"): "84.98, 4.02, 0.96",
    ("GCN", "GRE+"): "88.84, 0.56, 0.98",
    ("GraphSAGE", "GD"): "82.06, 4.54, 1.00",
    ("GraphSAGE", "GRE"): "83.64, 3.36, 1.00",
    ("GraphSAGE", "GRE+"): "86.59, 0.41, 1.00",
    ("EGNN-GCN", "GD"): "87.58, 1.42, 1.00",
    ("EGNN-GCN", "GRE"): "87.47, 1.53, 1.00",
    ("EGNN-GCN", "GRE+"): "88.99, 0.05, 1.00",
    ("EGNN-SAGE", "GD"): "85.05, 0.95, 1.00",
    ("EGNN-SAGE", "GRE"): "84.79, 1.21, 1.00",
    ("EGNN-SAGE", "GRE+"): "86.24, -0.24, 1.00",
}
TRIED: tuple[tuple[str, str, int, float, float, float, float], ...] = (
    # MLP, what is kept, edits of each of the two, drawdown and flips of EGNN-GCN, of EGNN-SAGE
    ("no decay, KL of training nodes (before)", "training", 100, 0.078, 0.658, 0.226, 0.523),
    ("as its authors: batches of 32 nodes, 100 steps", "training", 45, 0.209, 0.598, 0.027, 0.395),
    ("none: first layer random, last zero", "training", 100, 0.100, 0.201, 0.090, 0.098),
    ("10 epochs", "training", 45, 0.285, 0.647, 0.209, 0.620),
    ("epoch of the best validation loss", "training", 45, 0.289, 0.820, 0.147, 0.339),
    ("dropout 0.5", "training", 45, 0.102, 0.611, 0.325, 0.446),
    ("learning rate 0.001", "training", 45, 0.031, 0.820, 0.441, 0.684),
    ("decay 0.0001", "training", 100, 0.068, 0.309, 0.074, 0.213),
    ("decay 0.0005", "training", 100, -0.004, 0.293, 0.130, 0.209),
    ("decay 0.001", "training", 100, 0.084, 0.297, -0.020, 0.123),
    ("decay 0.005", "training", 45, 0.102, 0.420, 0.036, 0.171),
    ("KL of all nodes", "training", 45, 0.356, 0.535, 0.477, 0.422),
    ("KL of all nodes, times 10", "training", 45, 0.494, 1.247, 1.523, 1.661),
    ("decay 0.0005, KL of all nodes", "training", 100, -0.034, 0.217, 0.142, 0.176),
    ("decay 0.001, KL of all nodes", "training", 100, 0.006, 0.245, 0.060, 0.133),
    ("decay 0.001", "training, 20 subsets", 100, 0.066, 0.256, -0.028, 0.114),
    ("decay 0.001", "training, 40 subsets", 100, 0.076, 0.239, -0.024, 0.106),
    ("no decay", "all", 50, 0.068, 0.396, 0.060, 0.224),
    ("none: first layer random, last zero", "all", 50, 0.072, 0.117, 0.024, 0.066),
    ("decay 0.0005", "training", 50, 0.028, 0.324, 0.172, 0.225),
    ("decay 0.0005", "all", 50, 0.016, 0.174, 0.064, 0.120),
    ("decay 0.0005", "training and the surer half of the rest", 50, 0.072, 0.321, 0.164, 0.220),
    ("decay 0.0005", "training and the least sure 30 % of the rest", 50, 0.016, 0.186, 0.076, 0.114),
    ("decay 0.0005", "all, the rest in subsets of their own", 50, 0.036, 0.202, 0.080, 0.151),
    ("decay 0.001", "all", 50, 0.036, 0.162, -0.028, 0.081),
    ("decay 0.0005, KL of all nodes (chosen)", "all", 50, -0.036, 0.099, 0.044, 0.112),
)
POSTER_GRE_PLUS = {"GCN": 0.56, "GraphSAGE": 0.41, "EGNN-GCN": 0.05, "EGNN-SAGE": -0.24}


@lru_cache(maxsize=2)
def trained(dataset: str, backbone: str, seed: int, sparse: bool = True) -> nn.Module:
    """A plainly trained GNN, at its best validation epoch."""
    data, num_classes = graph_of(dataset, seed, normalize=False)
    model = new_model(backbone, data, num_classes, seed)
    model = with_sparse_input(model, data) if sparse else model
    epochs = epochs_of(dataset)
    trainer = trainer_of("plain", model)
    trainer.fit(data, epochs, lr=0.01, weight_decay=5e-4, patience=epochs, record=False, progress=False)
    return model.eval()


@lru_cache(maxsize=4)
def model_of(dataset: str, kind: str, seed: int) -> nn.Module:
    """A model of the table; the MLP of an EGNN is trained beside its GNN, as its authors do."""
    gnn = trained(dataset, {"EGNN-SAGE": "GraphSAGE", "EGNN-GCN": "GCN"}.get(kind, kind), seed)
    if not kind.startswith("EGNN"):
        return gnn
    data, _ = graph_of(dataset, seed, normalize=False)
    stitched = StitchedMLP(gnn, data, seed=seed)
    _multiply_sparsely(stitched.mlp[0], data.x)
    return stitched.fit(data).eval()


def targets_of(model: nn.Module, data: Data, seed: int, tuning: bool) -> Tensor:
    """Wrongly predicted nodes: of half of the validation nodes to choose by, of the rest and the test to judge by."""
    with torch.no_grad():
        wrong = model(data.x, data.edge_index).argmax(-1) != data.y
    generator = torch.Generator().manual_seed(seed)
    known = data.val_mask.nonzero().view(-1)
    first, second = known[torch.randperm(known.numel(), generator=generator)].tensor_split(2)
    nodes = first if tuning else torch.cat([second, data.test_mask.nonzero().view(-1)])
    nodes = nodes[wrong[nodes]]
    return nodes[torch.randperm(nodes.numel(), generator=generator)][: TUNING_TARGETS if tuning else TARGETS]


def measure(job: Job) -> dict[str, Any]:
    """Correct the targets of one model by one method."""
    model = model_of(job["dataset"], job["model"], job["seed"])
    data, _ = graph_of(job["dataset"], job["seed"], normalize=False)
    index = targets_of(model, data, job["seed"], job["tuning"])
    data = copy.copy(data)
    if job["tuning"]:  # the test nodes are not looked at
        data.test_mask = data.val_mask
    if job.get("sequence"):
        return _sequence(model, data, index, job)
    if job["method"].endswith("Adam"):
        rows = [_published(model, data, int(node), job) for node in index]
    else:
        options = {"num_subsets": job.get("subsets", SUBSETS), "steps": int(job["choice"]), "max_steps": MOST_STEPS}
        edits = edit_independently(model, data, index, data.y[index], method=job["method"], **options)
        rows = [_row(each.prediction_before, each.prediction_after, data, each.index, each.steps) for each in edits]
    found = pd.DataFrame(rows)
    return {**found.mean().to_dict(), "targets": len(found), "drawdown_spread": float(found.drawdown.std(ddof=0))}


def _row(before: Tensor, after: Tensor, data: Data, targets: Tensor, steps: int) -> dict[str, float]:
    """What an edit has done to the targets and to the others."""
    counted = data.test_mask.clone()
    counted[targets] = False
    accuracies = [100 * float((each == data.y)[counted].double().mean()) for each in (before, after)]
    flipped = before != after
    flipped[targets] = False
    return {
        "success": float((after == data.y)[targets].all()),
        "accuracy": accuracies[1],
        "drawdown": accuracies[0] - accuracies[1],
        "flips": 100 * float(flipped.double().mean()),
        "steps": steps,
    }


def _published(model: nn.Module, data: Data, node: int, job: Job) -> dict[str, float]:
    """An edit as Algorithm 1 has it, with Adam; the model is put back, also where it has no success."""
    parameters = [each for each in model.parameters() if each.requires_grad]
    kept = [each.detach().clone() for each in parameters]
    optimizer, method = torch.optim.Adam(parameters, lr=job["choice"]), job["method"].split(",")[0]
    others = data.train_mask.nonzero().view(-1)
    others = others[torch.randperm(others.numel(), generator=torch.Generator().manual_seed(0))]
    others = others[others != node]

    def gradient(loss: Tensor) -> Tensor:
        parts = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True, allow_unused=True)
        return torch.cat([each.reshape(-1) for each in parts])

    with torch.no_grad():
        before, anchors = model(data.x, data.edge_index).argmax(-1), None
    for step in range(MOST_STEPS + 1):
        output = model(data.x, data.edge_index)
        if int(output[node].argmax()) == int(data.y[node]) or step == MOST_STEPS:
            break
        if anchors is None and method != "gd":
            subsets = others.tensor_split(SUBSETS if method == "gre+" else 1)
            anchors = torch.stack([gradient(F.cross_entropy(output[part], data.y[part])) for part in subsets])
        found = gradient(F.cross_entropy(output[node : node + 1], data.y[node : node + 1]))
        if anchors is not None:
            found = gre_plus(found, anchors) if method == "gre+" else gre(found, anchors[0])
        for parameter, part in zip(parameters, found.split([each.numel() for each in parameters]), strict=True):
            parameter.grad = part.view_as(parameter)
        optimizer.step()
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
            parameter.grad = None
    return _row(before, output.argmax(-1), data, torch.tensor([node]), step)


def _sequence(model: nn.Module, data: Data, index: Tensor, job: Job) -> dict[str, Any]:
    """Correct the targets one after another."""
    edits = edit_sequence(model, data, index, data.y[index], method=job["method"], steps=int(job["choice"]))
    rows = [_row(edits[0].prediction_before, each.prediction_after, data, index, each.steps) for each in edits]
    now = edits[-1].prediction_after
    for each in reversed(edits):
        each.undo()
    return {
        "curve": [row["drawdown"] for row in rows],
        "success": float(np.mean([each.success for each in edits])),
        "kept": float((now == data.y)[index].double().mean()),
        "drawdown": rows[-1]["drawdown"],
        "targets": len(edits),
    }


def measure_time(job: Job) -> dict[str, float]:
    """Milliseconds an edit, with the features as a dense matrix, as a user has them."""
    data, _ = graph_of("Cora", 0, normalize=False)
    model = trained("Cora", job["model"], 0, sparse=False)
    index = targets_of(model, data, 0, tuning=True)
    wall, processor = time.perf_counter(), time.process_time()
    edit_independently(model, data, index, data.y[index], method=job["method"], steps=int(job["choice"]))
    return {
        "wall": 1000 * (time.perf_counter() - wall) / index.numel(),
        "processor": 1000 * (time.process_time() - processor) / index.numel(),
    }


def choose(table: pd.DataFrame) -> dict[tuple[bool, str], float]:
    """For GNNs and for EGNNs, the choice of each method that flips the fewest others, of those of success >= 0.98."""
    chosen = {}
    for (stitched, method), own in table.groupby([table.model.str.startswith("EGNN"), "method"]):
        means = own[own.choice <= MOST_PLANNED].groupby("choice")[["success", "flips"]].mean()
        good = means[means.success >= min(0.98, means.success.max())]
        chosen[bool(stitched), str(method)] = float(good.flips.idxmin())
    return chosen


def shown(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """One data set's rows of the table."""
    rows = []
    for model in MODELS:
        for method, title in METHODS.items():
            own = table[(table.dataset == dataset) & (table.model == model) & (table.method == method)]
            rows.append(
                {
                    "model": model,
                    "method": title,
                    "accuracy after": spread(own.accuracy),
                    "drawdown": spread(own.drawdown),
                    "over targets": f"± {own.drawdown_spread.mean():.2f}",
                    "success": f"{np.average(own.success, weights=own.targets):.3f}",
                    "other predictions that flip (%)": spread(own.flips),
                    "steps": f"{own.steps.mean():.1f}",
                }
            )
            if dataset == "Cora":
                rows[-1]["poster (accuracy, drawdown, success)"] = POSTER.get((model, title.split(",")[0]), "")
    return pd.DataFrame(rows)


def verdict(table: pd.DataFrame, sequences: pd.DataFrame, times: pd.DataFrame) -> list[str]:
    """Which goals are met, and what the numbers say beyond them."""
    cora = table[(table.dataset == "Cora") & (table.method == "gre+")].groupby("model")[["drawdown", "success"]].mean()
    parts = []
    for model, goal in POSTER_GRE_PLUS.items():
        drawdown, success = cora.loc[model]
        met = round(drawdown, 2) <= goal and success >= 0.98
        parts.append(
            f"{model} {drawdown:+.2f} at success {success:.2f} (poster {goal:+.2f}: {'met' if met else 'missed'})"
        )
    slowest = times[times.method == "gre+"].groupby("model").processor.mean()
    lines = [
        f"**Drawdown of GRE+ on Cora, in points of test accuracy: {'; '.join(parts)}.** An edit by GRE+ on Cora takes "
        + ", ".join(f"{value:.0f} ms ({model})" for model, value in slowest.items())
        + f" of one processor core (goal: 1 s, {'met' if slowest.max() <= 1000 else 'missed'}).",
    ]
    own = table[(table.dataset == "Cora") & (table.method == "gre+")]
    before = (own.accuracy + own.drawdown).groupby(own.model).mean()
    lines.append(
        "**What EGNN-SAGE could gain**: the poster's EGNN-SAGE has 86.00 before an edit, a point less than its "
        "GraphSAGE (accuracy after plus drawdown), and edits give 0.24 of it back. Here EGNN-SAGE has "
        f"{before['EGNN-SAGE']:.2f} and GraphSAGE {before['GraphSAGE']:.2f}: there is less to give back, and the MLP "
        "was not trained worse to have it. An MLP trained as EGNN's authors train it costs a point here too: 87.3 % of "
        "the validation nodes are right, and 88.5 % without it."
    )
    means = table.groupby(["dataset", "model", "method"])[["drawdown", "flips"]].mean().unstack("method")
    ranks = means.drawdown.rank(axis=1).mean()
    ratio = means.flips.div(means.flips["gd"], axis=0)
    lines.append(
        "**Over all data sets and models** the mean rank by drawdown is "
        + ", ".join(f"{METHODS[method]} {ranks[method]:.2f}" for method in METHODS)
        + "; of the predictions that flip though nobody asked, in relation to GD, "
        + ", ".join(f"{METHODS[method]} {ratio[method].mean():.2f}" for method in METHODS if method != "gd")
        + "."
    )
    losses = [
        f"{model} on {dataset} ({METHODS[best]} {means.drawdown.loc[(dataset, model), best]:+.2f}, GRE+ "
        f"{means.drawdown.loc[(dataset, model), 'gre+']:+.2f})"
        for (dataset, model), best in means.drawdown.idxmin(axis=1).items()
        if best != "gre+"
    ]
    lines.append(
        f"**Where another method has the lowest drawdown**: {'; '.join(losses) or 'nowhere'}. A drawdown below zero is "
        "an edit after which more test nodes are right than before; a method that flips more predictions may gain "
        "there by chance, or because steps that keep the training loss down go on training the model."
    )
    ends = sequences.groupby(["method"])[["drawdown", "kept", "success"]].mean()
    lines.append(
        "**One after another**: at the end of the sequences, mean over all, "
        + "; ".join(
            f"{METHODS[method]} has a drawdown of {row.drawdown:+.2f} points and {100 * row.kept:.0f} % of the targets "
            "right"
            for method, row in ends.iterrows()
        )
        + ". GRE and GRE+ keep what earlier edits have corrected as they keep the other nodes, and "
        "leave out the nodes that are yet to be corrected: on the small graphs these are nearly all wrong test nodes, "
        "so that what is kept there is nearly all right."
    )
    return lines


def tried() -> list[str]:
    """What was tried on EGNNs, in numbers of runs that the page does not hold."""
    columns = ["MLP", "kept", "edits"]
    columns += [f"{model}: {what}" for model in MODELS[2:] for what in ("drawdown", "flips (%)")]
    return [
        "An MLP that was trained as before, without weight decay, gets every training node right and changes more "
        "predictions than one that was not trained at all. On Cora, with GNNs of the seeds 0, 3, 4, 5 and 6 (where it "
        "is 45 edits, the first three), nodes of that half of the validation nodes were corrected that choices are "
        "made by; the drawdown is that of the validation accuracy, GRE+ has 10 subsets and 3 planned steps. Drawdowns "
        "have a standard error of about 0.05 points, so that flips say more. Chosen were weight decay and a divergence "
        "from the GNN that counts all nodes, and to keep the predictions of all nodes.",
        _markdown(pd.DataFrame(TRIED, columns=columns)),
        "Not chosen either, 50 to 100 edits each: to edit, with decay 0.001, the last layer alone (drawdown 1.61 of "
        "EGNN-GCN, success 0.20 of EGNN-SAGE) or the first alone (drawdown 0.03 and flips 0.21 % of EGNN-GCN, but "
        "success 0.20 of EGNN-SAGE, whose last layer has decayed); an MLP that is distilled from the GNN, for hidden "
        "features that mean something, with its last layer then set to zero (EGNN-GCN: drawdown 0.21, flips 0.72 %) or "
        "its output then subtracted (0.12, 0.27 %).",
        "The divergence of all nodes has a price where an MLP knows what the GNN does not: on the first split of "
        "Wisconsin EGNN-GCN is right on 61.4 % of the test nodes before an edit and was on 67.4 % (the GCN alone: "
        "59.4 %); on CiteSeer EGNN-GCN has 78.9 % and had 79.3 %, EGNN-SAGE 77.0 and 77.7 %; on the first split of "
        "Cornell it is the other way round, 52.2 and 49.5 %, 68.8 and 66.1 %. This was seen after the choice.",
        "GCN and GraphSAGE, three seeds and 30 edits each, were tried too: where predictions of all nodes are kept and "
        "not training nodes alone, flips fall from 0.52 to 0.42 % and from 0.40 to 0.24 %, the drawdown from 0.30 to "
        "0.17 and from 0.41 to 0.13 points.",
        "Of the validation nodes, 2.6 (EGNN-GCN) and 2.1 (EGNN-SAGE) flip in an edit where training nodes alone are "
        "kept (decay 0.0005, 50 edits), 2.2 and 1.9 where all but the validation nodes are, and 1.5 and 1.0 where they "
        "are as well: nodes that are kept themselves gain most, others a little.",
    ]


def draw_sequences(table: pd.DataFrame) -> None:
    """Drawdown against the number of edits."""
    figure, axes = plt.subplots(len(MODELS), len(DATASETS), figsize=(14, 9), layout="constrained", squeeze=False)
    for row, model in zip(axes, MODELS, strict=True):
        for axis, dataset in zip(row, DATASETS, strict=True):
            for method in STEPPED:
                own = table[(table.dataset == dataset) & (table.model == model) & (table.method == method)]
                length = min((len(curve) for curve in own.curve), default=0)
                curves = np.array([list(curve)[:length] for curve in own.curve])
                if length:
                    axis.plot(np.arange(1, length + 1), curves.mean(0), label=METHODS[method], lw=1.4)
            axis.axhline(0, color="0.7", lw=0.7)
            axis.set_title(f"{model}, {dataset}", fontsize=9)
    axes[0][0].legend(fontsize=8)
    figure.supxlabel("edits")
    figure.supylabel("drawdown (points of test accuracy)")
    save_figure(figure, "editing-sequence.png")


def draw_choices(table: pd.DataFrame) -> None:
    """What edits cost on the nodes that choices were made by, against the choice."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    axes[0].set_yscale("log")
    for axis, published in zip(axes, (False, True), strict=True):
        for method, title in METHODS.items():
            own = table[(table.method == method) & (table.dataset == "Cora") & ~table.model.str.startswith("EGNN")]
            if method.endswith("Adam") == published:
                means = own.groupby("choice").flips.mean()
                axis.plot(means.index, means, "o-", ms=4, label=title)
        axis.set(xscale="log", xlabel="learning rate of Adam" if published else "planned steps")
        axis.legend(fontsize=8)
    axes[0].set_ylabel("other predictions that flip (%)")
    save_figure(figure, "editing-steps.png")


def jobs_of(seeds: int, cora_seeds: int) -> tuple[list[Job], list[Job]]:
    """The runs to choose by, and, but for the choice, the runs to judge by."""
    pairs = [
        (dataset, seed, model)
        for seed in range(max(seeds, cora_seeds))
        for dataset in DATASETS
        for model in MODELS
        if seed < (cora_seeds if dataset == "Cora" else seeds)
    ]
    tuning = [
        {"dataset": dataset, "model": model, "seed": seed, "method": method, "choice": choice, "tuning": True}
        for dataset, seed, model in pairs
        if seed == 0 and dataset in TUNING
        for method in METHODS
        for choice in CHOICES[method.endswith("Adam")]
    ]
    judged = [
        {"dataset": dataset, "model": model, "seed": seed, "method": method, "tuning": False}
        for dataset, seed, model in pairs
        for method in METHODS
    ]
    return tuning, judged


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cora-seeds", type=int, default=3)
    parser.add_argument("--sequence-seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    tuning, judged = jobs_of(options.seeds, options.cora_seeds)
    tuned = run_all("editing-tuning", tuning, measure, options.workers)
    chosen = choose(tuned)
    for job in judged:
        job["choice"] = chosen[job["model"].startswith("EGNN"), job["method"]]
    table = run_all("editing", judged, measure, options.workers)
    in_sequence = [
        {**job, "sequence": True} for job in judged if job["method"] in STEPPED and job["seed"] < options.sequence_seeds
    ]
    sequences = run_all("editing-sequence", in_sequence, measure, options.workers)
    subsets = [
        {**job, "subsets": count}
        for job in tuning
        if job["method"] == "gre+" and job["choice"] == chosen[job["model"].startswith("EGNN"), "gre+"]
        for count in (2, 5, 10, 20)
    ]
    by_subsets = run_all("editing-subsets", subsets, measure, options.workers)
    timed = [
        {"model": model, "method": method, "choice": chosen[False, method]}
        for model in ("GCN", "GraphSAGE", "GAT", "GIN")
        for method in STEPPED
    ]
    times = run_all("editing-time", timed, measure_time, workers=1)
    draw_sequences(sequences)
    draw_choices(tuned)
    few = by_subsets.groupby("subsets")[["drawdown", "flips"]].mean().round(2).reset_index()
    choices = ", ".join(
        f"{METHODS[method]} {value:g}{' (EGNN)' if stitched else ''}" for (stitched, method), value in chosen.items()
    )
    sections = [
        part
        for title, cells in (
            ("CiteSeer", shown(table, "CiteSeer")),
            *((name, shown(table, name)) for name in WEBKB),
            ("Milliseconds an edit on Cora", times.round(0)[["model", "method", "processor", "wall"]]),
            ("GRE+ by the number of subsets, on the nodes to choose by", few),
        )
        for part in (f"## {title}", _markdown(cells))
    ]
    write_page(
        "editing",
        "Correcting a prediction: what does it cost the others? (GRE, GRE+)",
        [
            *verdict(table, sequences, times),
            "![Drawdown in sequence](editing-sequence.png)",
            "![Predictions that flip, against the size of steps; Cora, GCN and GraphSAGE](editing-steps.png)",
            f"Up to {TARGETS} wrongly predicted nodes a model, drawn by seed from the test nodes and one half of the "
            f"validation nodes, each corrected to its label; {options.cora_seeds} seeds on Cora, {options.seeds} on "
            f"the others (web graphs: a split each), {options.sequence_seeds} for edits one after another (of one "
            "seed, no deviation is known), plain training. *Drawdown* is test accuracy before minus after, without the "
            "target, mean ± standard deviation over the seeds; *over "
            f"targets* is the deviation over the targets of a model. An edit gives up after {MOST_STEPS} steps. *EGNN* "
            "trains an MLP beside the frozen GNN and edits that alone; its accuracy before an edit is that of both "
            "together.",
            "*GD*, *GRE* and *GRE+* take the steps of `gragr_explain.editing`: GRE and GRE+ keep the labels of the "
            "training nodes and what is predicted of all the rest, by gradients anew in each step; subsets are in the "
            "order of the classes, and a step is as long as the margin that is lacking. *As published* they take steps "
            "of Adam, keep the training nodes alone, by gradients stored before the first step, and draw subsets at "
            "random. No label of a node that is kept by its prediction is read, but the test nodes are among them: a "
            "node that comes later is kept less well (see the end of *EGNN: what was tried*). All else is the "
            f"same: {SUBSETS} subsets for GRE+, the number of planned steps or the learning rate chosen for each "
            "method, once for GNNs and once for EGNNs, by how few other predictions flip at success >= 0.98 when nodes "
            f"of the other half of the validation nodes are corrected, on the first seed of {' and '.join(TUNING)}, "
            f"from the values in the figure, but at most {MOST_PLANNED} planned steps, which bounds the time of an "
            f"edit: {choices}.",
            "Milliseconds are those of one core (*processor*), and those until it was done (*wall*), on a machine on "
            "which other programs were running.",
            *sections,
            "## EGNN: what was tried",
            *tried(),
            "## Cora",
        ],
        shown(table, "Cora"),
    )


if __name__ == "__main__":
    main()
