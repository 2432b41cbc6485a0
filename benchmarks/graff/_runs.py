"""The trainings: which are made, what is chosen by validation, and what is measured on each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn
from torch_geometric.data import Data

from benchmarks._runs import Job, run_all
from benchmarks.graff._graphs import homophily, load
from benchmarks.graff._models import DECAYS, SETTINGS, new_model
from gragr_explain.field import GraphOperator, largest_frequency, rayleigh_quotient
from gragr_explain.models import GRAFF

LR, EPOCHS, EVERY, PATIENCE = 0.01, 200, 2, 60
TUNING_SEEDS, FINALISTS = 3, 4
MADE_WITH = ["dataset", "model", "weight_decay", "option"]


def measure(job: Job) -> dict[str, Any]:
    """Train once; test at the epoch of the best validation accuracy."""
    torch.set_flush_denormal(True)
    data, num_classes = load(job["dataset"], job["seed"])
    model = new_model(job["model"], job["option"], data, num_classes, job["seed"])
    val, loss = _train(model, data, job["weight_decay"])
    with torch.no_grad():
        predicted = model(data.x, data.edge_index).argmax(-1)
    hit = (predicted == data.y).double()
    scores = {"val": val, "val_loss": loss, "test": 100 * float(hit[data.test_mask].mean())}
    scores |= {"homophily": homophily(data.y, data), "homophily_predicted": homophily(predicted, data)}
    return scores | (_flow(model, data) if isinstance(model, GRAFF) else {})


def tuned(datasets: Sequence[str], models: Sequence[str], seeds: int, workers: int) -> pd.DataFrame:
    """The runs of every model on every graph with the options by which it validates best, one row a seed.

    All options are tried with the first seeds; the best of them with every seed, by all of which one is chosen.
    """
    grid = [
        _job(dataset, model, decay, option, seed)
        for dataset in datasets
        for model in models
        for decay in DECAYS[model]
        for option in SETTINGS[model]
        for seed in range(TUNING_SEEDS)
    ]
    tried = _best(run_all("graff", grid, measure, workers), FINALISTS)
    finals = [
        _job(row.dataset, row.model, row.weight_decay, row.option, seed)
        for row in tried.itertuples()
        for seed in range(seeds)
    ]
    table = run_all("graff", finals, measure, workers)
    return table.merge(_best(table, 1), on=MADE_WITH)


def _best(runs: pd.DataFrame, count: int) -> pd.DataFrame:
    """The options of each model on each graph that validate best, in the order of the runs: one row each."""
    means = runs.groupby(MADE_WITH, sort=False)[["val", "val_loss"]].mean().reset_index()
    ranked = means.sort_values(["val", "val_loss"], ascending=[False, True], kind="stable")
    return ranked.groupby(["dataset", "model"]).head(count).sort_index()[MADE_WITH]


def _job(dataset: str, model: str, decay: float, option: str, seed: int) -> Job:
    return {"dataset": dataset, "model": model, "seed": seed, "weight_decay": float(decay), "option": option}


def _train(model: nn.Module, data: Data, weight_decay: float) -> tuple[float, float]:
    """Leaves the model at its best epoch, in evaluation mode; returns validation accuracy and loss there."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LR, weight_decay=weight_decay)
    best, weights, since = (-1.0, 0.0), {}, 0
    for epoch in range(EPOCHS):
        model.train()
        optimizer.zero_grad()
        output = model(data.x, data.edge_index)
        F.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        if epoch % EVERY:
            continue
        model.eval()
        with torch.no_grad():
            output, y = model(data.x, data.edge_index)[data.val_mask], data.y[data.val_mask]
        found = (100 * float((output.argmax(-1) == y).double().mean()), -float(F.cross_entropy(output.double(), y)))
        since += EVERY
        if found > best:
            best, weights, since = found, copy.deepcopy(model.state_dict()), 0
        if since >= PATIENCE:
            break
    model.load_state_dict(weights)
    model.eval()
    return best[0], -best[1]


@torch.no_grad()
def _flow(model: GRAFF, data: Data) -> dict[str, float]:
    """What the flow does: homophily as read from the encoding, frequencies at both ends, the spectrum of W."""
    ends: list[torch.Tensor] = []
    handles = [model.convs[0].register_forward_pre_hook(lambda _, inputs: ends.append(inputs[0]))]
    handles.append(model.convs[-1].register_forward_hook(lambda *found: ends.append(found[-1])))
    model(data.x, data.edge_index)
    for handle in handles:
        handle.remove()
    graph = GraphOperator(data.edge_index, data.num_nodes)
    spectrum = torch.linalg.eigvalsh(model.mixing())
    return {
        "homophily_encoded": homophily(model.decoder(ends[0]).argmax(-1), data),
        "quotient_encoded": float(rayleigh_quotient(ends[0], graph)),
        "quotient": float(rayleigh_quotient(ends[-1], graph)),
        "largest_frequency": largest_frequency(graph),
        "w_lowest": float(spectrum[0]),
        "w_highest": float(spectrum[-1]),
    }
