"""Run the benchmark: ``python -m benchmarks.fidelity``.

What is measured is kept, prediction by prediction, in ``benchmarks/results/fidelity/``; whoever interrupts it goes on
where it was. The page is written from all there is, and says what is missing.
"""

from __future__ import annotations

from benchmarks.fidelity._cases import BACKBONES, DATASETS
from benchmarks.fidelity._explainers import EXPLAINERS
from benchmarks.fidelity._jobs import run
from benchmarks.fidelity._pages import write_pages
from benchmarks.fidelity._parts import case_jobs, case_parser, grouped, measure, score_jobs


def main() -> None:
    parser = case_parser("fidelity", __doc__)
    parser.add_argument("--explainers", nargs="+", choices=EXPLAINERS, default=list(EXPLAINERS), metavar="NAME")
    parser.add_argument("--seed", type=int, default=0, help="seed of the models and of what explainers draw")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--pages-only", action="store_true", help="measure nothing, write the page of all there is")
    only.add_argument("--no-pages", action="store_true", help="measure, and write no page")
    options = parser.parse_args()

    if not options.pages_only:
        cases = case_jobs(options.datasets, options.backbones, options.instances, options.seed)
        run(grouped(cases, score_jobs(cases, options.explainers)), measure, options.workers, options.results)
    if not options.no_pages:
        cases = case_jobs(DATASETS, BACKBONES, options.instances, options.seed)
        write_pages(cases, score_jobs(cases, list(EXPLAINERS)), options.results)


if __name__ == "__main__":
    main()
