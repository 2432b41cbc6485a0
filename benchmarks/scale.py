"""Explanations and psi on large graphs: how fast, and in how much memory.

Two generated graphs with degrees of a power law, of the sizes of ogbn-arxiv and ogbn-products. On the first, nodes
drawn at random are explained with their masks, psi and rationales, of a GCN and a GraphSAGE that are trained for a few
epochs. On the second, psi of all nodes is computed for a generated field. Each in a process of its own that may hold
20 GiB.
"""

from __future__ import annotations

import argparse
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN, GraphSAGE

from benchmarks._page import write_page
from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.context import psi_features
from gragr_explain.field import GraphOperator, neighbour_mean

BACKBONES = {"GCN": GCN, "GraphSAGE": GraphSAGE}
LIMIT = 20 * 2**30


def power_law_graph(num_nodes: int, num_pairs: int, exponent: float = 2.75) -> Tensor:
    """Distinct pairs of nodes, in both directions, whose degrees have about this exponent, ``[2, 2 * num_pairs]``."""
    key = torch.empty(0, dtype=torch.long)
    stretch = (exponent - 1) / (exponent - 2)
    while key.numel() < num_pairs:
        drawn = (torch.rand(2, num_pairs + num_pairs // 4, dtype=torch.float64).pow_(stretch).mul_(num_nodes)).long()
        first, second = drawn.amin(0), drawn.amax(0)
        del drawn
        key = torch.cat([key, (first * num_nodes + second)[first != second]]).unique()
        del first, second
    key = key[torch.randperm(key.numel())[:num_pairs]]
    pairs = torch.randperm(num_nodes)[torch.stack([key // num_nodes, key % num_nodes])]  # so that hubs are anywhere
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def explanations(backbone: str, options: argparse.Namespace) -> dict[str, Any]:
    """Explain nodes drawn at random."""
    _limit_memory()
    torch.manual_seed(0)
    edge_index, x = power_law_graph(options.nodes, options.pairs), torch.randn(options.nodes, options.features)
    teacher = torch.randn(options.features, options.classes)
    y = ((x + neighbour_mean(x, edge_index)) @ teacher).argmax(-1)
    data = Data(x=x, edge_index=edge_index, y=y)
    model = BACKBONES[backbone](options.features, options.hidden, num_layers=2, out_channels=options.classes)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(options.epochs):
        optimizer.zero_grad()
        F.cross_entropy(model(x, edge_index), y).backward()
        optimizer.step()
    explainer = Explainer(
        model=model,
        algorithm=GradientContextExplainer(),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    nodes = torch.randperm(options.nodes)[: options.explained]
    start = time.perf_counter()
    explain_many(explainer, data, nodes[:1], progress=False)  # what all explanations share: psi, the Reasoner
    shared = time.perf_counter() - start
    start = time.perf_counter()
    found = explain_many(explainer, data, nodes, memory_mb=options.memory_mb)
    seconds = time.perf_counter() - start
    degree = torch.bincount(edge_index[0], minlength=options.nodes)
    return {
        "what": f"explanations, {backbone}",
        "nodes": options.nodes,
        "edges": edge_index.size(1),
        "largest degree": int(degree.max()),
        "explained": len(found),
        "shared": shared,
        "seconds": seconds,
        "per second": len(found) / seconds,
        "peak": _peak(),
    }


def psi(options: argparse.Namespace) -> dict[str, Any]:
    """All nodes' psi, for a field that is generated."""
    _limit_memory()
    torch.manual_seed(0)
    edge_index = power_law_graph(options.large_nodes, options.large_pairs)
    field, confidence = torch.randn(options.large_nodes, options.channels), torch.rand(options.large_nodes)
    degree = int(torch.bincount(edge_index[0]).max())
    start = time.perf_counter()
    graph = GraphOperator(edge_index, options.large_nodes)
    built = time.perf_counter()
    found, valid = psi_features(field, graph, confidence)
    seconds = time.perf_counter() - built
    assert bool(found.isfinite().all())
    assert bool(valid.any())
    return {
        "what": "psi of all nodes",
        "nodes": options.large_nodes,
        "edges": edge_index.size(1),
        "largest degree": degree,
        "explained": options.large_nodes,
        "shared": built - start,
        "seconds": seconds,
        "per second": options.large_nodes / seconds,
        "peak": _peak(),
    }


def _limit_memory() -> None:
    """Let an allocation beyond the limit fail, instead of what else runs on this machine."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))


def _peak() -> float:
    """The most memory that this process ever held, in GiB (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=169_343)
    parser.add_argument("--pairs", type=int, default=1_166_243, help="linked pairs, each an edge in both directions")
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--classes", type=int, default=40)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--explained", type=int, default=2_000)
    parser.add_argument("--memory-mb", type=int, default=128)
    parser.add_argument("--large-nodes", type=int, default=2_449_029)
    parser.add_argument("--large-pairs", type=int, default=61_859_140)
    parser.add_argument("--channels", type=int, default=64)
    options = parser.parse_args()

    rows = [_alone(explanations, backbone, options) for backbone in BACKBONES]
    rows.append(_alone(psi, options))
    highest = max(row["peak"] for row in rows)
    fits = highest * 2**30 <= LIMIT
    table = pd.DataFrame(
        [
            {
                "": row["what"],
                "nodes": f"{row['nodes']:,}",
                "directed edges": f"{row['edges']:,}",
                "largest degree": f"{row['largest degree']:,}",
                "nodes explained": f"{row['explained']:,}",
                "once for the graph (s)": f"{row['shared']:.1f}",
                "for the nodes (s)": f"{row['seconds']:.1f}",
                "nodes a second": f"{row['per second']:,.0f}",
                "peak memory (GiB)": f"{row['peak']:.1f}",
            }
            for row in rows
        ]
    )
    write_page(
        "scale",
        "Large graphs",
        [
            f"{'The goal is met' if fits else 'The goal is missed'}: explanations of {options.explained:,} nodes of a "
            f"graph of {options.nodes:,}, and psi of all {options.large_nodes:,} nodes of a graph with "
            f"{2 * options.large_pairs:,} directed edges, take at most {highest:.1f} of 20 GiB of memory.",
            "Memory is the most that the process ever held, its libraries, the graph, how it was generated and (for "
            f"explanations) trained included. Batches of explanations were given {options.memory_mb} MiB. What is done "
            "once for the graph is, for explanations, the model's output, psi of all nodes and the Reasoner, and for "
            "psi, the prepared graph.",
        ],
        table,
    )


def _alone(function: Any, *arguments: Any) -> dict[str, Any]:
    """The result of a function that is called in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


if __name__ == "__main__":
    main()
