"""Do influences foretell what retraining without a node would change?

On small graphs, a model is trained with all training nodes, and again without each: the true influence of a node on a
prediction is by how much the loss of the prediction rises. Each method ranks the training nodes for each query from the
first training alone; Spearman's rank correlation with the truth, mean over the queries, is its score. The ceiling is
the correlation of one truth with another, from trainings that start at other weights.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from itertools import combinations
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.utils.data import TensorDataset
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph, subgraph

from benchmarks._page import save_figure, spread, write_page
from benchmarks._runs import Job, run_all
from benchmarks._training import WEBKB, epochs_of, graph_of, new_model
from gragr_explain.context import TrainedOn, influences
from gragr_explain.history import ATTRIBUTE, GradientRecorder, hidden_representation, recorded_weights

matplotlib.use("Agg")
from matplotlib import pyplot as plt

DATASETS = ("Cora", "CiteSeer", "digits", "Texas", "Wisconsin")
MODELS = ("GCN", "GraphSAGE")
NODES, TRAIN, QUERIES, STARTS, COLUMNS, ASKED = 300, 60, 25, 4, 64, 20
COUNTS = (1, 2, 4, 8, 16)
RATE, DECAY = 0.01, 5e-4
METHODS = {
    "ours": "influences",
    "unrecorded": "influences, nothing recorded",
    "products": "influences, curvature=False (TracIn)",
    "captum": "Captum's TracInCPFast",
    "all weights": "TracIn, all weights",
    "similarity": "likeness of hidden representations, signed by label",
    "nearest": "nearness in the graph, signed by label",
    "random": "random",
}


def small_graph(dataset: str, seed: int) -> tuple[Data, int]:
    """A web graph as it is; of another, the surroundings of a node, of which a fifth is trained on."""
    data, num_classes = graph_of(dataset, seed, normalize=False)
    if dataset in WEBKB:
        data = copy.copy(data)
        data.x = in_few_columns(data.x)
        return data, num_classes
    generator = torch.Generator().manual_seed(seed)
    keep = torch.zeros(data.num_nodes, dtype=torch.bool)
    for node in torch.randperm(data.num_nodes, generator=generator).tolist():
        around = next(
            found
            for hops in range(20, -1, -1)
            if len(found := k_hop_subgraph(node, hops, data.edge_index)[0]) <= NODES - int(keep.sum())
        )
        keep[around] = True
        if int(keep.sum()) >= NODES - 1:
            break
    nodes = keep.nonzero().view(-1)
    edge_index, _ = subgraph(nodes, data.edge_index, relabel_nodes=True, num_nodes=data.num_nodes)
    small = Data(x=in_few_columns(data.x[nodes]), edge_index=edge_index, y=data.y[nodes])
    order = torch.randperm(len(nodes), generator=generator)
    small.train_mask, small.test_mask = torch.zeros(2, len(nodes), dtype=torch.bool)
    small.train_mask[order[:TRAIN]] = True
    small.test_mask[order[TRAIN:]] = True
    return small, num_classes


def in_few_columns(x: Tensor) -> Tensor:
    """Features in few columns, by a singular value decomposition."""
    if x.size(1) <= COLUMNS:
        return x
    u, scale, _ = torch.linalg.svd(x, full_matrices=False)
    return (u * scale)[:, :COLUMNS]


def train(model: nn.Module, data: Data, epochs: int, seed: int) -> None:
    """Train a model on the training nodes, and record it."""
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=DECAY)
    model.train()
    with GradientRecorder(model, data):
        for _ in range(epochs):
            optimizer.zero_grad()
            F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
            optimizer.step()
    model.eval()


def retrain(model: nn.Module, data: Data, epochs: int, seed: int) -> Tensor:
    """Train copies of a model as :func:`train` does, all at once: one on all training nodes, and one without each.

    Returns:
        The log-probabilities of all nodes, ``[1 + num_train, num_nodes, num_classes]``.
    """
    nodes = data.train_mask.nonzero().view(-1)
    many = 1 + len(nodes)
    weights = {
        name: value.detach().expand(many, *value.shape).clone().requires_grad_()
        for name, value in model.named_parameters()
    }
    counts = 1 - F.pad(torch.eye(many - 1), (0, 0, 1, 0))
    counts /= counts.sum(1, keepdim=True)
    run = vmap(lambda own: functional_call(model, own, (data.x, data.edge_index)), randomness="same")
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(weights.values(), lr=RATE, weight_decay=DECAY)
    model.train()
    for _ in range(epochs):
        optimizer.zero_grad()
        losses = -run(weights)[:, nodes].log_softmax(-1)[:, torch.arange(many - 1), data.y[nodes]]
        (losses * counts).sum().backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        return run(weights).log_softmax(-1)


def measure(job: Job) -> dict[str, Any]:
    """Retrain without each training node, from several first weights, and rank the training nodes by each method."""
    data, truths, ranked = _retrained(job, STARTS, list(METHODS))
    result: dict[str, Any] = {"train": int(data.train_mask.sum()), "nodes": data.num_nodes}
    for method in METHODS:
        own = [correlation(scores[method], truth) for scores, truth in zip(ranked, truths, strict=True)]
        result[method] = float(np.mean(own))
    result["ceiling"] = float(np.mean([correlation(*pair) for pair in combinations(truths, 2)]))
    return result


def measure_expected(job: Job) -> dict[str, Any]:
    """How well the mean scores of several trainings foretell their mean truth, and half of the truths the others."""
    _, truths, ranked = _retrained(job, job["starts"], ["ours", "products"])
    truth, result = torch.stack(truths), {}
    for method in ("ours", "products"):
        scores = torch.stack([each[method] for each in ranked])
        for count in COUNTS:
            groups = torch.arange(job["starts"]).split(count)
            found = [correlation(scores[group].mean(0), truth[group].mean(0)) for group in groups]
            result[f"{method}, {count}"] = float(np.mean(found))
        others = [torch.arange(job["starts"]) != start for start in range(job["starts"])]
        found = [correlation(own, truth[rest].mean(0)) for own, rest in zip(scores, others, strict=True)]
        result[f"{method}, one model"] = float(np.mean(found))
    halves = truth.split(job["starts"] // 2)
    result["halves"] = correlation(halves[0].mean(0), halves[1].mean(0))
    return result


def _retrained(job: Job, starts: int, methods: list[str]) -> tuple[Data, list[Tensor], list[dict[str, Tensor]]]:
    """The graph, and from each first weights the truth and each method's scores, ``[num_queries, num_train]``."""
    data, num_classes = small_graph(job["dataset"], job["graph"])
    nodes = data.train_mask.nonzero().view(-1)
    generator = torch.Generator().manual_seed(job["graph"])
    queries = data.test_mask.nonzero().view(-1)
    queries = queries[torch.randperm(len(queries), generator=generator)[:QUERIES]]
    epochs = epochs_of(job["dataset"])
    truths: list[Tensor] = []
    ranked: list[dict[str, Tensor]] = []
    target = None
    for start in range(starts):
        model = new_model(job["model"], data, num_classes, start)
        log_probs = retrain(copy.deepcopy(model), data, epochs, start)
        train(model, data, epochs, start)
        target = log_probs[0].argmax(-1)[queries] if target is None else target
        truths.append((log_probs[:1] - log_probs[1:])[:, queries, target].t())
        scored = rankings(model, data, nodes, queries, target, start)
        ranked.append({method: scored[method]() for method in methods})
    return data, truths, ranked


def correlation(scores: Tensor, truth: Tensor) -> float:
    """Spearman's rank correlation over the training nodes, mean over the queries; 0 where a row is constant."""
    found = [spearmanr(*pair).statistic for pair in zip(scores.numpy(), truth.numpy(), strict=True)]
    return float(np.mean(np.nan_to_num(found)))


def rankings(
    model: nn.Module, data: Data, nodes: Tensor, queries: Tensor, target: Tensor, seed: int
) -> dict[str, Callable[[], Tensor]]:
    """What makes the scores of each method, ``[num_queries, num_train]``."""
    with torch.no_grad():
        hidden, _ = hidden_representation(model, data.x, data.edge_index)
    hidden = F.normalize(hidden.relu(), dim=-1)
    unrecorded = copy.deepcopy(model)
    delattr(unrecorded, ATTRIBUTE)
    side = torch.where(data.y[nodes] == target.unsqueeze(1), 1.0, -1.0)
    return {
        "ours": lambda: influences(model, data, queries, target=target).scores,
        "unrecorded": lambda: influences(unrecorded, data, queries, target=target).scores,
        "products": lambda: influences(model, data, queries, target=target, curvature=False).scores,
        "captum": lambda: captum_scores(model, data, nodes, queries, target),
        "all weights": lambda: products_of_all(model, data, nodes, queries, target),
        "similarity": lambda: hidden[queries] @ hidden[nodes].t() * side,
        "nearest": lambda: 0.5 ** hops(data)[queries][:, nodes] * side,
        "random": lambda: torch.rand(side.shape, generator=torch.Generator().manual_seed(seed)),
    }


def hops(data: Data) -> Tensor:
    """The number of edges between any two nodes, ``[num_nodes, num_nodes]``."""
    reached = torch.eye(data.num_nodes)
    adjacency = torch.zeros_like(reached)
    adjacency[data.edge_index[0], data.edge_index[1]] = 1
    distance = torch.where(reached > 0, 0.0, torch.inf)
    for hop in range(1, 20):
        reached = ((reached @ adjacency) > 0).float()
        distance = torch.where((reached > 0) & distance.isinf(), float(hop), distance)
    return distance


def shares(steps: list[int]) -> Tensor:
    """How many steps each recorded step stands for."""
    gaps = torch.tensor(steps, dtype=torch.float).diff() / 2
    return F.pad(gaps, (0, 1)) + F.pad(gaps, (1, 0))


def products_of_all(model: nn.Module, data: Data, nodes: Tensor, queries: Tensor, target: Tensor) -> Tensor:
    """TracIn with the gradients of all weights."""
    states = list(recorded_weights(model))
    total: Tensor = torch.zeros(())
    for (_, weights), share in zip(states, shares([step for step, _ in states]), strict=True):
        own = {name: value.clone().requires_grad_() for name, value in weights.items()}
        log_probs = functional_call(model, own, (data.x, data.edge_index)).log_softmax(-1)

        def gradients(of: Tensor, labels: Tensor, log_probs: Tensor = log_probs, own: Any = own) -> Tensor:
            losses = -log_probs[of, labels]
            eye = torch.eye(len(of))
            parts = torch.autograd.grad(losses, list(own.values()), eye, is_grads_batched=True, retain_graph=True)
            return torch.cat([part.flatten(1) for part in parts], dim=1)

        total = total + share * gradients(queries, target) @ gradients(nodes, data.y[nodes]).t()
    return total


class OnRows(nn.Module):
    """A GNN of two layers as Captum takes one: rows in, a linear layer last.

    The last layer of GCN and GraphSAGE is linear in what it aggregates, so that a node whose aggregate is known needs
    no other node any more. Which node is meant is what the model is called with.
    """

    def __init__(self, gnn: Any, data: Data) -> None:
        super().__init__()
        self.gnn, self.data = copy.deepcopy(gnn), data
        self.around = copy.deepcopy(self.gnn.convs[-1])
        self.is_sage = hasattr(self.around, "lin_l")
        if self.is_sage:
            self.around.lin_l, self.around.root_weight = nn.Identity(), False
        else:
            self.around.lin, self.around.bias = nn.Identity(), None
        self.last = nn.Linear((1 + self.is_sage) * gnn.hidden_channels, gnn.out_channels)

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take weights of the GNN."""
        self.gnn.load_state_dict(weights)
        layer = self.gnn.convs[-1]
        own = torch.cat([layer.lin_l.weight, layer.lin_r.weight], dim=1) if self.is_sage else layer.lin.weight
        self.last.load_state_dict({"weight": own, "bias": layer.lin_l.bias if self.is_sage else layer.bias})

    def forward(self, nodes: Tensor) -> Tensor:
        with torch.no_grad():
            hidden, _ = hidden_representation(self.gnn, self.data.x, self.data.edge_index)
            rows = self.around(hidden.relu(), self.data.edge_index)
            rows = torch.cat([rows, hidden.relu()], dim=1) if self.is_sage else rows
        scores: Tensor = self.last(rows[nodes])
        return scores


def captum_scores(model: Any, data: Data, nodes: Tensor, queries: Tensor, target: Tensor) -> Tensor:
    """TracIn by Captum, from the same recorded weights."""
    from captum.influence import TracInCPFast

    states = list(recorded_weights(model))
    counts = shares([step for step, _ in states])
    rows = OnRows(model, data)

    def load(module: Any, place: int) -> float:
        module.load(states[place][1])
        return float(counts[place])

    tracer = TracInCPFast(
        rows.eval(),
        rows.last,
        TensorDataset(nodes, data.y[nodes]),
        range(len(states)),
        checkpoints_load_func=load,
        loss_fn=nn.CrossEntropyLoss(reduction="sum"),
        batch_size=len(nodes),
    )
    scores: Tensor = tracer.influence((queries, target))
    return scores.detach()


def measure_time(job: Job) -> dict[str, float]:
    """Seconds of a processor core for influences on the whole of Cora, with 1,208 training nodes."""
    data, num_classes = graph_of("Cora", 0, normalize=False)
    model = new_model(job["model"], data, num_classes, 0)
    train(model, data, 100, 0)
    test, nodes = data.test_mask.nonzero().view(-1)[:ASKED], data.train_mask.nonzero().view(-1)
    seconds: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any], count: int = ASKED) -> Any:
        begin = time.process_time()
        made = call()
        seconds[name] = (time.process_time() - begin) / count
        return made

    ready = timed("ready", lambda: TrainedOn(model, data), 1)
    timed("asked", lambda: ready.influences(test))
    timed("products", lambda: influences(model, data, test, curvature=False))
    timed("captum", lambda: captum_scores(model, data, nodes, test, data.y[test]))
    return seconds


def verdict(table: pd.DataFrame, expected: pd.DataFrame, times: pd.DataFrame) -> list[str]:
    """Which goals are met, and what the numbers say beyond them."""
    means = table.groupby(["dataset", "model"])[[*METHODS, "ceiling"]].mean()
    own, best = means["ours"], means[list(METHODS)].idxmax(axis=1)
    reached = own >= 0.5
    each = ", ".join(f"{model} on {dataset} {own[dataset, model]:.2f}" for dataset, model in own.index)
    lost = [
        f"{pair[1]} on {pair[0]} ({METHODS[best[pair]]} {means.loc[pair, best[pair]]:.2f}, influences {own[pair]:.2f})"
        for pair in means.index
        if best[pair] != "ours"
    ]
    return [
        f"**Rank correlation of `influences` with retraining: {own.mean():.2f} in the mean (goal: 0.5, "
        f"{'met' if own.mean() >= 0.5 else 'missed'}), at least 0.5 on {int(reached.sum())} of {len(own)} pairs of "
        f"data and model** ({each}). One retraining foretells another, from different first weights, at "
        f"{means.ceiling.mean():.2f}: most of what is missing is chance in the retraining itself.",
        _without_chance(expected),
        "**The others**: "
        + ", ".join(f"{title} {means[name].mean():.2f}" for name, title in METHODS.items() if name != "ours")
        + f". Where one of them is better than `influences`: {'; '.join(lost) or 'nowhere'}.",
        "**Time on all of Cora** (1,208 training nodes), of one processor core, with "
        f"{ASKED} queries: "
        + "; ".join(
            f"{row.model} {row.ready:.0f} s once for a model, then {1000 * row.asked:.0f} ms a query "
            f"(`curvature=False`: {1000 * row.products:.0f} ms, with all that it needs; Captum's TracInCPFast "
            f"{1000 * row.captum:.0f} ms)"
            for row in times.itertuples()
        )
        + ".",
    ]


def _without_chance(expected: pd.DataFrame) -> str:
    """What is foretold of the effect that a node has on average, over the chance of the first weights."""
    means, most, half = expected.mean(numeric_only=True), COUNTS[-1], COUNTS[-1] // 2
    counts = ", ".join(f"{means[f'ours, {count}']:.2f} of {count}" for count in COUNTS)
    each = ", ".join(f"{row['model']} on {row['dataset']} {row[f'ours, {most}']:.2f}" for _, row in expected.iterrows())
    return (
        "**Where chance is averaged out**: what a training node does on average, over many first weights, is "
        "foretold better. The correlation between the mean scores and the mean truths of some first weights is "
        f"{counts} (TracIn of {most}: {means[f'products, {most}']:.2f}); of {most}: {each}. One model's scores "
        f"foretell the mean truth of {most - 1} others at {means['ours, one model']:.2f}, and the mean truth of "
        f"{half} first weights foretells that of {half} others at {means['halves']:.2f}. Measured on the first graph "
        "or split of each, after the rest of this page and with nothing changed in between; the goal is judged by "
        "single retrainings all the same."
    )


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """One row a data set and model."""
    rows = []
    for dataset in DATASETS:
        for model in MODELS:
            own = table[(table.dataset == dataset) & (table.model == model)]
            row = {"data": dataset, "model": model, "training nodes": f"{own.train.mean():.0f}"}
            for name, title in {**METHODS, "ceiling": "ceiling"}.items():
                row[title] = spread(own[name]) if len(own) > 1 else f"{own[name].mean():.2f}"
            rows.append(row)
    return pd.DataFrame(rows)


def draw(table: pd.DataFrame) -> None:
    """The correlation of each method, a point a data set and model."""
    figure, axis = plt.subplots(figsize=(9, 3.6), layout="constrained")
    means = table.groupby(["dataset", "model"])[[*METHODS, "ceiling"]].mean()
    titles = {**METHODS, "ceiling": "ceiling: retraining from other weights"}
    for place, name in enumerate(reversed(titles)):
        colour = "C1" if name == "ceiling" else "C0"
        axis.plot(means[name], np.full(len(means), place), "o", ms=5, alpha=0.6, color=colour)
        axis.plot([means[name].mean()], [place], "|", ms=16, mew=2, color="0.2")
    axis.axvline(0.5, color="0.6", lw=0.8, ls="--")
    axis.set_yticks(range(len(titles)), list(reversed(titles.values())))
    axis.set_xlabel("rank correlation with retraining: means as bars, the goal dashed")
    save_figure(figure, "influence.png")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--graphs", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    jobs = [
        {"dataset": dataset, "model": model, "graph": graph}
        for graph in range(options.graphs)
        for dataset in DATASETS
        for model in MODELS
    ]
    table = run_all("influence", jobs, measure, options.workers)
    pairs = [{**job, "starts": COUNTS[-1]} for job in jobs if job["graph"] == 0]
    expected = run_all("influence-expected", pairs, measure_expected, options.workers)
    times = run_all("influence-time", [{"model": model} for model in MODELS], measure_time)
    draw(table)
    write_page(
        "influence",
        "Which training nodes caused a prediction: do influences foretell retraining?",
        [
            *verdict(table, expected, times),
            "![Rank correlation with leave-one-out retraining](influence.png)",
            f"Web graphs whole, with one of their splits; of the others the surroundings of a random node, {NODES} "
            f"nodes of which {TRAIN} are trained on: graphs and splits of {options.graphs} "
            f"{'seed' if options.graphs == 1 else 'seeds'}, and {STARTS} first weights on each. Features of more than "
            f"{COLUMNS} columns are brought to {COLUMNS} by a singular value decomposition, so that a model can be "
            f"retrained hundreds of times. {QUERIES} test nodes a graph are asked for, with the class that the first "
            "model predicts. The truth is the rise of the loss when the model is trained again without a node's label, "
            "from the same first weights and with the same dropout: models as in Table 5, 100 epochs (web graphs: 200) "
            "of Adam at 0.01, weight decay 0.0005. Cells are Spearman's rank correlation over the training nodes, mean "
            "over queries and first weights; with more than one graph, ± standard deviation over them.",
            "*Nothing recorded* takes the model's own weights at the end of the training alone, in place of three "
            "along its later half. *Captum's TracInCPFast* is given the same recorded weights and a model whose last "
            "layer is linear in rows that are aggregated before; it leaves the bias out, else it is "
            "`curvature=False`.",
            "Tried on a few other graphs and splits, and not taken: the last layer's weights alone (worse on each); "
            "the end of the training alone, or its first half too (worse or the same); damping of a third, or of three "
            "or ten times as much (each better on one graph and worse on another); twice as many directions, or "
            "conjugate gradients instead (the same, at more cost); a correction for what a node's removal does to the "
            "curvature itself (the same).",
        ],
        shown(table),
    )


if __name__ == "__main__":
    main()
