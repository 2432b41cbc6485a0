"""Run the benchmark: ``python -m benchmarks.audit``.

Every cell is kept in ``benchmarks/results/audit.json``; whoever interrupts it goes on where it was. All cells of the
first seed come before those of the second. ``--pages-only`` measures nothing, and writes the page of all there is.
"""

from __future__ import annotations

import argparse

from benchmarks._runs import run_all
from benchmarks.audit._cells import DATASETS, cell_jobs, measure, measured
from benchmarks.audit._pages import write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS, metavar="NAME")
    parser.add_argument("--seeds", type=int, default=5, help="of each cell; on web graphs, the split of that number")
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--pages-only", action="store_true", help="measure nothing, write the page of all there is")
    options = parser.parse_args()
    jobs = cell_jobs(options.datasets, options.seeds)
    if options.pages_only:
        jobs = measured(jobs)
    write(run_all("audit", jobs, measure, options.workers))


if __name__ == "__main__":
    main()
