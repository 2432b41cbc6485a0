"""How many nodes a second are explained and exported, and a million of them: ``python -m benchmarks.throughput``.

Nodes drawn at random from two graphs are exported without and with rationales, by one process and by the workers of a
local Ray cluster, in turn. A rate is taken between the first shard and the last, so that what is done once (loading,
psi of all nodes, starting Ray) is left out; it is a column of its own.

Then ``gragr-explain export`` exports every node of a large generated graph in a fresh process, which is killed on the
way and started again. What was measured is kept: interrupted, the benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc
import torch

from benchmarks._page import _markdown, spread, write_page
from benchmarks._runs import RESULTS, Job, run_all
from benchmarks._stored_graphs import Load, stored
from gragr_explain.files import atomic
from gragr_explain.streaming import Export, export_on_ray, open_export, stream_export

VARIANTS = {  # whether rationales are written, how many edges are searched for, how many workers of Ray there are
    "one process, no rationales": (False, 10, 0),
    "one process": (True, 10, 0),
    "one process, no rationales, no search": (False, 0, 0),
    "one process, no search": (True, 0, 0),
    "Ray, 1 worker": (True, 10, 1),
    "Ray, 2 workers": (True, 10, 2),
}
BASE = "one process, no rationales"
SHARDS = 16
GIB = 24


def measure(job: Job) -> dict[str, Any]:
    """Export some nodes; returns the rate and the time before the first shard."""
    rationales, search_edges, workers = VARIANTS[job["variant"]]
    load = Load(stored(job["dataset"]), rationales, search_edges)
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        explainer, data = load()
        generator = torch.Generator().manual_seed(job["repeat"])
        nodes = torch.randperm(data.x.size(0), generator=generator)[: job["nodes"]]
        options: dict[str, Any] = {"shard_size": -(-len(nodes) // SHARDS), "progress": False}
        if workers:
            export = export_on_ray(explainer, data, folder, nodes, load=load, workers=workers, **options)
        else:
            export = stream_export(explainer, data, folder, nodes, **options)
        ended = time.time()
        written = sorted((shard.stat().st_mtime_ns / 1e9, shard) for shard in export.shards())
        first = max(workers, 1)  # the first shard of each worker
        counted = export.manifest.num_nodes - first * export.manifest.shard_size
        begun = written[first - 1][0]
    return {"rate": counted / (written[-1][0] - begun), "before": begun - start, "seconds": ended - start}


def large(num_nodes: int, search_edges: int, kills: int) -> tuple[Export, list[dict[str, Any]]]:
    """Export every node of a large graph with the real command; returns the export and what its processes took."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        model = pool.submit(stored, f"power-law-{num_nodes}").result()
    place = model / f"export-{search_edges}"
    notes = place.with_suffix(".json")
    sessions: list[dict[str, Any]] = json.loads(notes.read_text()) if notes.is_file() else []
    while not (place.is_dir() and open_export(place).complete and sessions and sessions[-1]["finished"]):
        before = _finished(place)
        kill_at = num_nodes * (1 + len(sessions)) // (2 + kills) if len(sessions) < kills else None
        started = time.perf_counter()
        asked = ["--out", str(place), "--search-edges", str(search_edges), "--format", "parquet", "--format", "html"]
        process = subprocess.Popen([sys.executable, "-m", "gragr_explain", "export", str(model), *asked])
        killed = False
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG):
            time.sleep(1)
            if kill_at is not None and not killed and _finished(place) >= kill_at:
                os.kill(process.pid, signal.SIGKILL)
                killed = True
        _, status, usage = os.wait4(process.pid, 0)
        if status and not killed:
            sys.exit(f"the export failed with status {status}")
        sessions.append(
            {
                "nodes": _finished(place) - before,
                "seconds": time.perf_counter() - started,
                "peak": usage.ru_maxrss / 2**20,
                "finished": not killed,
            }
        )
        with atomic(notes) as (part,):
            part.write_text(json.dumps(sessions))
    return open_export(place), sessions


def _finished(place: Path) -> int:
    """How many nodes are exported, without opening every shard."""
    shards = place / "explanations"
    count = sum(1 for _ in shards.glob("part-*.parquet")) if shards.is_dir() else 0
    if not count:
        return 0
    manifest = open_export(place).manifest
    return min(count * manifest.shard_size, manifest.num_nodes)


def check(export: Export) -> dict[str, Any]:
    """Every node is there once and has a rationale; returns what the export takes on the disk."""
    nodes, texts = [], 0
    for table in export.tables(["node", "rationale"]):
        nodes.append(torch.from_numpy(table["node"].to_numpy().copy()))
        texts += int(pc.sum(pc.greater(pc.utf8_length(table["rationale"]), 0)).as_py())
    assert torch.equal(torch.cat(nodes), torch.arange(export.manifest.num_nodes)), "a node is missing, or there twice"
    assert texts == export.manifest.num_nodes, "a rationale is missing"
    return {"size": sum(shard.stat().st_size for shard in export.shards()) / 2**30}


def ratios(datasets: list[str], repeats: int, nodes: int) -> pd.DataFrame:
    """Rates of all variants on all graphs, and their ratios to the first within each repeat."""
    for dataset in datasets:
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            pool.submit(stored, dataset).result()
    jobs = [
        {"dataset": dataset, "variant": variant, "repeat": repeat, "nodes": nodes}
        for repeat in range(repeats)
        for dataset in datasets
        for variant in VARIANTS
    ]
    table = run_all("throughput", jobs, measure)
    base = table[table["variant"] == BASE].set_index(["dataset", "repeat"])["rate"]
    table["ratio"] = table["rate"] / base.loc[pd.MultiIndex.from_frame(table[["dataset", "repeat"]])].to_numpy()
    return table


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table of the page."""
    groups = dict(iter(table.groupby(["dataset", "variant"])))
    return pd.DataFrame(
        [
            {
                "graph": dataset,
                "": variant,
                "nodes a second": spread(group["rate"], 1),
                "ratio": spread(group["ratio"]),
                "before the first shard (s)": spread(group["before"], 1),
            }
            for dataset in table["dataset"].unique()
            for variant in VARIANTS
            if (group := groups.get((dataset, variant))) is not None
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--datasets", nargs="*", default=["Cora", "power-law-50000"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--explained", type=int, default=1_600, help="nodes of each export whose rate is measured")
    parser.add_argument("--nodes", type=int, default=1_000_000, help="nodes of the large graph")
    parser.add_argument("--search-edges", type=int, default=0, help="supporting edges to search for on the large graph")
    parser.add_argument("--kills", type=int, default=1, help="how often the large export is killed on the way")
    parser.add_argument("--anew", action="store_true", help="forget the large export that there is")
    options = parser.parse_args()

    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    table = ratios(options.datasets, options.repeats, options.explained)
    if options.anew:
        folder = RESULTS / "stored-graphs" / f"power-law-{options.nodes}"
        shutil.rmtree(folder / f"export-{options.search_edges}", ignore_errors=True)
        (folder / f"export-{options.search_edges}.json").unlink(missing_ok=True)
    export, sessions = large(options.nodes, options.search_edges, options.kills)
    size = check(export)["size"]

    peak, seconds = (function(each[key] for each in sessions) for function, key in ((max, "peak"), (sum, "seconds")))
    fits = "The goal is met" if peak <= GIB and options.nodes >= 1_000_000 else "The goal is missed"
    mean = table.groupby(["dataset", "variant"])["ratio"].mean()
    rationales = [1 - mean[dataset, "one process"] for dataset in options.datasets]
    workers = [mean[dataset, "Ray, 2 workers"] / mean[dataset, "one process"] for dataset in options.datasets]
    kills = sum(not each["finished"] for each in sessions)
    search = "no search" if options.search_edges == 0 else f"a search for {options.search_edges} edges"
    write_page(
        "throughput",
        "How many nodes a second are explained and exported",
        [
            f"{fits}: all {options.nodes:,} nodes of a generated graph, with psi, masks ({search}) and template "
            f"rationales, were exported end to end by `gragr-explain export` in {seconds / 3600:.2f} hours and at most "
            f"{peak:.1f} of {GIB} GiB of memory, {size:.2f} GiB of Parquet and the page included, although the process "
            f"was killed {kills} {'time' if kills == 1 else 'times'} on the way and started again. Every node is there "
            "exactly once.",
            f"Writing rationales takes {_range(rationales)} of the rate. Two workers of Ray on this machine's "
            f"{os.cpu_count()} cores explain {_range(workers, '.2f')} times as many nodes a second as one process.",
            f"Rates are of {options.explained:,} nodes drawn at random, {options.repeats} repeats, mean ± standard "
            f"deviation, one thread a process, between the first shard and the last. Ratios are to *{BASE}* on the "
            "same graph in the same repeat. *No search* takes the gradients as they are in place of the search for "
            "supporting edges (`--search-edges 0`). What comes before the first shard is loading, psi of all nodes, "
            "and the first shard; with Ray, the start of a cluster too.",
            "## Rates",
            _markdown(shown(table)),
            f"## {options.nodes:,} nodes",
        ],
        pd.DataFrame(
            [
                {
                    "process": number,
                    "nodes": f"{each['nodes']:,}",
                    "seconds": f"{each['seconds']:,.0f}",
                    "nodes a second": f"{each['nodes'] / each['seconds']:,.0f}",
                    "peak memory (GiB)": f"{each['peak']:.2f}",
                    "ended": "by itself, the page written" if each["finished"] else "killed",
                }
                for number, each in enumerate(sessions, 1)
            ]
        ),
    )


def _range(values: list[float], form: str = ".0%") -> str:
    """The lowest and the highest of some numbers."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"


if __name__ == "__main__":
    main()
