"""Run the benchmark: ``python -m benchmarks.graff``.

Every training is kept in ``benchmarks/results/graff.json``; whoever interrupts it goes on where it was. ``--retime``
measures the times of inference anew, which needs a quiet machine; else the page shows those measured last.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import pandas as pd

from benchmarks.graff._graphs import HETEROPHILIC, HOMOPHILIC, REAL, SYNTHETIC
from benchmarks.graff._models import GRAFFS, PEERS, REFERENCE
from benchmarks.graff._pages import write
from benchmarks.graff._runs import tuned
from benchmarks.graff._timing import measure_times, measured_times


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graff", description=__doc__)
    parser.add_argument("--splits", type=int, default=10, help="splits of each web and synthetic graph, at least 3")
    parser.add_argument("--seeds", type=int, default=3, help="seeds on the citation graphs, at least 3")
    parser.add_argument("--graphs", nargs="+", default=[*REAL, *SYNTHETIC], help="which graphs; by default all")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--retime", action="store_true", help="measure the times of inference anew")
    options = parser.parse_args()

    models = (*GRAFFS, *PEERS)
    synthetic = tuned(_among(SYNTHETIC, options.graphs), models, options.splits, options.workers)
    parts = [
        (_among(HETEROPHILIC, options.graphs), options.splits),
        (_among(HOMOPHILIC, options.graphs), options.seeds),
    ]
    real = pd.concat([tuned(graphs, (*models, REFERENCE), seeds, options.workers) for graphs, seeds in parts if graphs])
    times = None if options.retime else measured_times()
    write(real, synthetic, measure_times() if times is None else times)


def _among(graphs: Sequence[str], chosen: Sequence[str]) -> list[str]:
    return [graph for graph in graphs if graph in chosen]


if __name__ == "__main__":
    main()
