"""Run the benchmark: ``python -m benchmarks.graff``.

Every training is kept in ``benchmarks/results/graff.json``; whoever interrupts it goes on where it was. ``--only
timing`` measures the times, which needs a quiet machine, and writes no page; the page shows the last times measured.
"""

from __future__ import annotations

import argparse

from benchmarks.graff._graphs import REAL, SYNTHETIC
from benchmarks.graff._models import GRAFFS, PEERS, REFERENCE
from benchmarks.graff._pages import write
from benchmarks.graff._runs import tuned
from benchmarks.graff._timing import measure_times, measured_times


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.graff", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10, help="splits or seeds of each real graph, at least 3")
    parser.add_argument("--synthetic-seeds", type=int, default=5, help="splits of each synthetic graph, at least 2")
    parser.add_argument("--workers", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--only", choices=("accuracy", "timing"), help="what to measure; by default both")
    options = parser.parse_args()

    if options.only == "timing":
        measure_times(options.seeds)
        return
    real = tuned(REAL, (*GRAFFS, *PEERS, REFERENCE), options.seeds, options.workers)
    synthetic = tuned(SYNTHETIC, (*GRAFFS, *PEERS), options.synthetic_seeds, options.workers)
    times = measure_times(options.seeds) if options.only is None else measured_times()
    write(real, synthetic, times, "The times were made by `python -m benchmarks.graff --only timing`.")


if __name__ == "__main__":
    main()
