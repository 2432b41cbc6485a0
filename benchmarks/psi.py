"""What psi of all nodes costs, beside one sparse product of the same adjacency and field.

On a random graph of the size of ogbn-arxiv (169,343 nodes, 2.3 million directed edges, 64 channels). Times are the
median of several calls, in turn; memory is the rise of the process's peak above what it held before the call.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from torch_geometric.utils import to_undirected
from tqdm import tqdm

from benchmarks._page import spread, write_page
from gragr_explain.context import psi_features
from gragr_explain.field import GraphOperator


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def extra_memory(function: Callable[[], object]) -> float:
    """How far a call lifts the peak of the process's memory, in bytes (Linux)."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # from here on, the peak counts anew
    function()
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=169_343)
    parser.add_argument("--edges", type=int, default=2_300_000, help="directed")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()

    rows = []
    for seed in tqdm(range(options.seeds), desc="graphs"):
        torch.manual_seed(seed)
        half = torch.randint(options.nodes, (2, options.edges // 2))
        edge_index = to_undirected(half, num_nodes=options.nodes)
        field, confidence = torch.randn(options.nodes, options.channels), torch.rand(options.nodes)
        build = seconds(lambda: GraphOperator(edge_index, options.nodes).is_undirected)  # noqa: B023
        graph = GraphOperator(edge_index, options.nodes)
        matrix = graph.matrix(field.dtype)
        times: dict[str, list[float]] = {"psi": [], "product": []}
        for _ in range(options.repeats + 1):
            times["product"].append(seconds(lambda: matrix @ field))  # noqa: B023
            times["psi"].append(seconds(lambda: psi_features(field, graph, confidence)))  # noqa: B023
        product, psi = (statistics.median(times[name][1:]) for name in ("product", "psi"))
        memory = extra_memory(lambda: psi_features(field, graph, confidence))  # noqa: B023
        size = field.numel() * field.element_size()
        rows.append({"psi": psi, "product": product, "ratio": psi / product, "fields": memory / size, "build": build})
    found = pd.DataFrame(rows)
    ratio_met, memory_met = found["ratio"].mean() <= 6, found["fields"].mean() <= 6
    table = pd.DataFrame(
        [
            ["one sparse product (ms)", spread(found["product"] * 1e3, 1), ""],
            ["psi of all nodes (ms)", spread(found["psi"] * 1e3, 1), ""],
            ["psi / product", spread(found["ratio"]), f"≤ 6: {'met' if ratio_met else 'missed'}"],
            ["peak extra memory (fields)", spread(found["fields"]), f"≤ 6: {'met' if memory_met else 'missed'}"],
            ["preparing the graph, once (ms)", spread(found["build"] * 1e3, 1), ""],
        ],
        columns=["", "mean ± standard deviation", "goal"],
    )
    write_page(
        "psi",
        "What psi of all nodes costs",
        [
            f"{'Both goals are met' if ratio_met and memory_met else 'A goal is missed'}: psi of all "
            f"{options.nodes:,} nodes takes {found['ratio'].mean():.1f} times one `torch.sparse` product of the same "
            f"adjacency (about {options.edges:,} directed edges) and field ({options.channels} channels), and "
            f"{found['fields'].mean():.1f} fields of memory. {options.seeds} random graphs.",
        ],
        table,
    )


if __name__ == "__main__":
    main()
