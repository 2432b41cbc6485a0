"""What does an explanation cost, as a user would ask for it? ``python -m benchmarks.explainer_cost``.

Every explainer explains nodes on the whole graph, one after another; ours all nodes in batches as well. In turn, so
that the machine's moods fall on all alike, in one process of one thread. Memory is measured in a process of its own for
each, forked from one that has loaded everything and explained nothing: how far the call lifts its peak resident size.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection

import matplotlib
import pandas as pd
import torch
from torch import Tensor
from torch_geometric.explain import (
    AttentionExplainer,
    CaptumExplainer,
    Explainer,
    ExplainerAlgorithm,
    GNNExplainer,
    GraphMaskExplainer,
    PGExplainer,
)
from tqdm import tqdm

from benchmarks._page import _markdown, save_figure, spread, write_page
from benchmarks.fidelity._cases import BACKBONES, problem
from benchmarks.fidelity._explainers import SHAPLEY_SAMPLES, explainer_of
from benchmarks.fidelity._instance import Problem
from benchmarks.psi import extra_memory
from gragr_explain import EdgeGradientExplainer, GradientContextExplainer, OcclusionExplainer, explain_many
from gragr_explain.history import message_passing_layers

matplotlib.use("Agg")
from matplotlib import pyplot as plt

BATCH, ONE_BY_ONE = "ours, all nodes in batches", "ours, one by one"
EDGES = "ours, edges alone, all nodes in batches"
NO_SEARCH = "ours without the search, all nodes in batches"
PG_NODES = 30


@dataclass(frozen=True)
class Method:
    """An explainer, and how it is asked.

    Attributes:
        build: The algorithm for a model of so many layers.
        nodes: How many nodes it explains in each repeat.
        features: Whether for masks of features too.
        kind: Whether it explains the model, or a target that it is given: the prediction.
        backbones: The models that it is for.
        in_batches: Whether it explains all nodes by one call of :func:`explain_many`.
    """

    build: Callable[[int], ExplainerAlgorithm]
    nodes: int = 10
    features: bool = False
    kind: str = "model"
    backbones: tuple[str, ...] = ("GCN", "GAT")
    in_batches: bool = False


METHODS: dict[str, Method] = {
    BATCH: Method(lambda layers: GradientContextExplainer(), features=True, in_batches=True),
    EDGES: Method(lambda layers: GradientContextExplainer(), in_batches=True),
    NO_SEARCH: Method(lambda layers: GradientContextExplainer(search_edges=0), features=True, in_batches=True),
    ONE_BY_ONE: Method(lambda layers: GradientContextExplainer(), features=True),
    "EdgeGradient": Method(lambda layers: EdgeGradientExplainer()),
    "Occlusion": Method(lambda layers: OcclusionExplainer(progress=False)),
    "AttentionExplainer": Method(lambda layers: AttentionExplainer(), backbones=("GAT",)),
    "Saliency": Method(lambda layers: CaptumExplainer("Saliency")),
    "Saliency, with features": Method(lambda layers: CaptumExplainer("Saliency"), features=True),
    "InputXGradient": Method(lambda layers: CaptumExplainer("InputXGradient")),
    "Deconvolution": Method(lambda layers: CaptumExplainer("Deconvolution")),
    "GuidedBackprop": Method(lambda layers: CaptumExplainer("GuidedBackprop")),
    "IntegratedGradients": Method(lambda layers: CaptumExplainer("IntegratedGradients"), nodes=3),
    "PGExplainer": Method(lambda layers: PGExplainer(epochs=30, lr=0.003), kind="phenomenon"),
    "GNNExplainer": Method(lambda layers: GNNExplainer(epochs=200), nodes=2),
    "GNNExplainer, with features": Method(lambda layers: GNNExplainer(epochs=200), nodes=1, features=True),
    "GraphMaskExplainer": Method(lambda layers: GraphMaskExplainer(layers, log=False), nodes=1, features=True),
}
GOALS = {"GNNExplainer": 1000, "Saliency": 20}
FEW = 100
"""Of how many nodes all rankings are refined, which takes long."""


class Asked:
    """One explainer of a model on its whole graph.

    Args:
        name: One of :data:`METHODS`.
        case: The model and its graph.
    """

    def __init__(self, name: str, case: Problem) -> None:
        (self.data,) = case.graphs
        self.method = METHODS[name]
        self.explainer = self._new(case)
        with torch.no_grad():
            self.predicted = case.model(self.data.x, self.data.edge_index).argmax(-1)
        self.training_seconds = 0.0
        if isinstance(self.explainer.algorithm, PGExplainer):
            self.training_seconds = self._train(self.explainer.algorithm)

    def explain(self, nodes: list[int]) -> int:
        """Explain some nodes, or all in batches; how many it has explained."""
        if self.method.in_batches:
            return len(explain_many(self.explainer, self.data, progress=False))
        target = self.predicted if self.method.kind == "phenomenon" else None
        for node in nodes[: self.method.nodes]:
            self.explainer(self.data.x, self.data.edge_index, target=target, index=node)
        return len(nodes[: self.method.nodes])

    def _new(self, case: Problem) -> Explainer:
        algorithm = self.method.build(len(message_passing_layers(case.model)))
        return explainer_of(case, algorithm, kind=self.method.kind, nodes=self.method.features)

    def _train(self, algorithm: PGExplainer) -> float:
        start = time.perf_counter()
        nodes = self.data.train_mask.nonzero().view(-1)[:PG_NODES].tolist()
        for epoch in range(algorithm.epochs):
            for node in nodes:
                algorithm.train(
                    epoch, self.explainer.model, self.data.x, self.data.edge_index, target=self.predicted, index=node
                )
        return time.perf_counter() - start


def seconds_per_node(name: str, case: Problem, trained: dict[str, Asked], nodes: list[int]) -> float:
    """The time of an explanation by an explainer that has just been made, unless it is one that is trained."""
    asked = trained.get(name) or Asked(name, case)
    start = time.perf_counter()
    count = asked.explain(nodes)
    return (time.perf_counter() - start) / count


def memory_of(name: str, case: Problem, trained: dict[str, Asked], node: int) -> float:
    """How far a call lifts the peak of a process's memory, in MiB."""

    def child(pipe: Connection) -> None:
        asked = trained.get(name) or Asked(name, case)
        pipe.send(extra_memory(lambda: asked.explain([node])) / 2**20)

    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=child, args=(sender,))
    process.start()
    sender.close()
    found: float = receiver.recv()
    process.join()
    return found


def measure(case: Problem, repeats: int) -> tuple[pd.DataFrame, float]:
    """Seconds per node of each explainer in each repeat, and peak memory; and the seconds of PGExplainer's training."""
    names = [name for name, method in METHODS.items() if case.backbone in method.backbones]
    (data,) = case.graphs
    most = max(method.nodes for method in METHODS.values())
    order = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(0))
    drawn: list[Tensor] = list(order[: repeats * most].split(most))
    trained = {"PGExplainer": Asked("PGExplainer", case)}
    memory = {name: memory_of(name, case, trained, int(order[0])) for name in tqdm(names, desc="memory")}
    rows = []
    for repeat in range(repeats):
        for name in tqdm(names, desc=f"{case.backbone}, repeat {repeat + 1} of {repeats}"):
            seconds = seconds_per_node(name, case, trained, drawn[repeat].tolist())
            rows.append({"backbone": case.backbone, "explainer": name, "repeat": repeat, "seconds": seconds})
    table = pd.DataFrame(rows)
    table["memory"] = table.explainer.map(memory)
    table["ratio"] = table.seconds / table.repeat.map(table[table.explainer == BATCH].set_index("repeat").seconds)
    return table, trained["PGExplainer"].training_seconds


def refinement(dataset: str, repeats: int) -> pd.DataFrame:
    """Milliseconds a node, by model, by how many nodes, and by which rankings are refined; in turn, as all else."""
    rows = []
    for backbone in BACKBONES:
        case = problem(dataset, backbone)
        (data,) = case.graphs
        few = torch.randperm(data.num_nodes, generator=torch.Generator().manual_seed(0))[:FEW]
        for repeat in tqdm(range(repeats), desc=f"{backbone}, with rankings refined or not"):
            for nodes, refined in (("all", (False, None)), ("few", (False, True))):
                for refine in refined:
                    explainer = explainer_of(case, GradientContextExplainer(refine=refine), kind="model", nodes=True)
                    start = time.perf_counter()
                    count = len(explain_many(explainer, data, few if nodes == "few" else None, progress=False))
                    seconds = (time.perf_counter() - start) / count
                    about = {"backbone": backbone, "nodes": nodes, "refine": str(refine), "repeat": repeat}
                    rows.append({**about, "ms": 1e3 * seconds})
    return pd.DataFrame(rows)


def refinement_table(found: pd.DataFrame) -> pd.DataFrame:
    """A row for each model: the time, and how many times as long it is as without refinement."""
    rows = []
    for backbone, own in found.groupby("backbone", sort=False):
        row: dict[str, str] = {"backbone": str(backbone)}
        for nodes, refine, title in (("all", "None", "by default"), ("few", "True", "everywhere")):
            without, refined = (
                own[(own.nodes == nodes) & (own.refine == each)].set_index("repeat").ms for each in ("False", refine)
            )
            row[f"{nodes}: nowhere, ms"] = spread(list(without), 2)
            row[f"{nodes}: {title}, ms"] = spread(list(refined), 2)
            row[f"{nodes}: {title}, times"] = spread(list(refined / without), 1)
        rows.append(row)
    return pd.DataFrame(rows)


def forward_seconds(case: Problem) -> float:
    """The time of one forward pass of the model on the whole graph."""
    (data,) = case.graphs
    with torch.no_grad():
        case.model(data.x, data.edge_index)
        start = time.perf_counter()
        for _ in range(10):
            case.model(data.x, data.edge_index)
    return (time.perf_counter() - start) / 10


def verdict(found: pd.DataFrame) -> str:
    """Whether the goals are met."""
    seconds, parts = found.set_index(["explainer", "backbone", "repeat"]).seconds, []
    for name, goal in GOALS.items():
        for backbone in found.backbone.unique():
            both = (seconds[f"{name}, with features", backbone] / seconds[BATCH, backbone]).mean()
            edges = (seconds[name, backbone] / seconds[EDGES, backbone]).mean()
            met = ["met" if ratio >= goal else "missed" for ratio in (both, edges)]
            parts.append(
                f"{name} on {backbone} takes **{both:,.0f} times** as long where both give masks of edges and features "
                f"(goal {goal:,}: {met[0]}), and **{edges:,.0f} times** where both give masks of edges alone ({met[1]})"
            )
    batch = found[found.explainer == BATCH].groupby("backbone", sort=False).seconds.mean()
    times = " and ".join(f"{1e3 * seconds:.2f} ms ({backbone})" for backbone, seconds in batch.items())
    gradients = found[found.explainer == NO_SEARCH].groupby("backbone", sort=False).ratio.mean()
    saliency = found[found.explainer == "Saliency"].groupby("backbone", sort=False).ratio.mean() / gradients
    without = " and ".join(f"{ratio:,.0f} times ({backbone})" for backbone, ratio in saliency.items())
    return (
        f"In batches, ours explains all of Cora's nodes in {times} each, with psi and rationale. {'; '.join(parts)}. "
        "Most of our time is the search for the edges that are needed and suffice; "
        f"`GradientContextExplainer(search_edges=0)` takes the gradients as they are, and beside it Saliency takes "
        f"{without} as long, for masks that are as faithful as *EdgeGradient*'s (fidelity.md)."
    )


def tables_of(found: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """For each model, a row for each explainer, the fastest first."""
    tables = {}
    for backbone, own in found.groupby("backbone", sort=False):
        rows = []
        for name in own.groupby("explainer").seconds.mean().sort_values().index:
            part = own[own.explainer == name]
            digits = 2 if part.ratio.mean() < 100 else 0
            rows.append(
                {
                    "explainer": name,
                    "ms per node": spread(list(1e3 * part.seconds), 2),
                    "ratio to ours in batches": spread(list(part.ratio), digits),
                    "peak memory (MiB)": f"{part.memory.iloc[0]:.0f}",
                }
            )
        tables[str(backbone)] = pd.DataFrame(rows)
    return tables


def draw(found: pd.DataFrame) -> None:
    """The time of an explanation by explainer, logarithmic."""
    order = found.groupby("explainer").seconds.mean().sort_values().index
    figure, axis = plt.subplots(figsize=(8, 4.8), layout="constrained")
    for backbone, own in found.groupby("backbone", sort=False):
        means = 1e3 * own.groupby("explainer").seconds.mean().reindex(order)
        axis.plot(means, range(len(order)), "o", ms=5, label=backbone)
    axis.set(xscale="log", xlabel="milliseconds per explained node of Cora", ylim=(len(order) - 0.5, -0.5))
    axis.set(yticks=range(len(order)), yticklabels=order)
    axis.grid(axis="x", alpha=0.3)
    axis.legend(fontsize=8)
    save_figure(figure, "explainer_cost.png")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explainer_cost", description=__doc__)
    parser.add_argument("--dataset", default="Cora")
    parser.add_argument("--backbones", nargs="+", choices=("GCN", "GAT"), default=("GCN", "GAT"))
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)  # a forked process cannot use the threads of its parent
    warnings.filterwarnings("ignore", module="captum|torch_geometric")  # of hooks, at each call

    tables, training, shapley = [], [], []
    for backbone in options.backbones:
        case = problem(options.dataset, backbone)
        table, seconds = measure(case, options.repeats)
        tables.append(table)
        training.append(f"{seconds:.1f} s ({backbone})")
        passes = SHAPLEY_SAMPLES * case.graphs[0].num_edges
        shapley.append(f"{passes * forward_seconds(case) / 60:.0f} minutes ({backbone})")
    found = pd.concat(tables, ignore_index=True)
    refined = refinement(options.dataset, options.repeats)
    draw(found)
    by_model = tables_of(found)
    *first, last = by_model
    data = case.graphs[0]
    write_page(
        "explainer_cost",
        "What does an explanation cost?",
        [
            verdict(found),
            "![Milliseconds per explained node](explainer_cost.png)",
            f"{options.dataset} whole, {data.num_nodes:,} nodes and {data.num_edges:,} edges, as a user would ask: "
            "`Explainer(...)(x, edge_index, index=node)` for one node after another, and `explain_many(explainer, "
            "data)` for all with rationales by the template. Mean ± standard deviation over "
            f"{options.repeats} repeats, in turn, in one process of one thread, each with an explainer made anew and "
            "other nodes: ten, three for IntegratedGradients, two for GNNExplainer and one for what is slower. Ratios "
            "are of the same repeat. Others are asked for masks of edges alone, the least they can do, except where it "
            "says *with features* and for GraphMaskExplainer, which needs them; ours for both except where it says "
            "*edges alone*, and it always gives psi and a rationale. "
            "Memory is how far the call lifts the peak resident size of a process that does nothing else: one node, "
            "in batches all.",
            f"Not in the times: PGExplainer's training on {PG_NODES} nodes, 30 epochs, {' and '.join(training)}. Not "
            f"measured: ShapleyValueSampling, whose {SHAPLEY_SAMPLES} samples are {passes:,} forward passes a node, "
            f"{' and '.join(shapley)} by the time of one pass.",
            "## What refining costs",
            "Milliseconds a node in batches, and how many times as long as without refining (`refine=False`): by "
            "default, where the search has failed, in computation graphs of up to 64 edges, for all nodes; and "
            f"everywhere (`refine=True`), for {FEW} nodes drawn at random.",
            _markdown(refinement_table(refined)),
            *(part for name in first for part in (f"## {name}", _markdown(by_model[name]))),
            f"## {last}",
        ],
        by_model[last],
    )


if __name__ == "__main__":
    main()
