"""A page of ``reports/``: what was asked, the command that answered it, on what machine, and the answer."""

from __future__ import annotations

import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import pandas as pd
import torch
import torch_geometric
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from gragr_explain import __version__
from gragr_explain.files import atomic

matplotlib.use("Agg")
REPORTS = Path(__file__).parent.parent / "reports"
VERSIONS: dict[str, set[str]] = {}
"""The versions of the package that made the results this process has read, by benchmark; a page tells of several."""


def write_page(name: str, title: str, paragraphs: Sequence[str], table: pd.DataFrame) -> Path:
    """Write ``reports/<name>.md``.

    Args:
        name: The benchmark's module.
        title: The question.
        paragraphs: The answer in words, the verdict first.
        table: The numbers, one row a case.
    """
    command = shlex.join(["python", "-m", f"benchmarks.{name}", *sys.argv[1:]])
    machine = (
        f"{platform.machine()}, {torch.get_num_threads()} threads, Python {platform.python_version()}, "
        f"torch {torch.__version__}, torch-geometric {torch_geometric.__version__}, gragr-explain {__version__}"
    )
    lines = [f"# {title}", "", *(line for text in paragraphs for line in (text, ""))]
    mixed = [
        f" Runs of {len(versions)} versions of the package are among those of `{benchmark}`."
        for benchmark, versions in VERSIONS.items()
        if len(versions) > 1
    ]
    lines += [_markdown(table), "", f"Made by `{command}` ({machine}).{''.join(mixed)}", ""]
    path = REPORTS / f"{name}.md"
    with atomic(path) as (page,):
        page.write_text("\n".join(lines))
    print("\n".join(lines))
    return path


def save_figure(figure: Figure, name: str) -> str:
    """Write a figure into the reports and close it; returns the file's name."""
    with atomic(REPORTS / name) as (file,):
        figure.savefig(file, dpi=110, format="png")
    plt.close(figure)
    return name


def spread(values: Sequence[float], digits: int = 2) -> str:
    """A mean and its standard deviation, as a table shows it."""
    series = pd.Series(values, dtype=float)
    return f"{series.mean():.{digits}f} ± {series.std(ddof=1) if len(series) > 1 else 0.0:.{digits}f}"


def _markdown(table: pd.DataFrame) -> str:
    rows = [[str(cell) for cell in row] for row in table.itertuples(index=False)]
    head = [str(column) for column in table.columns]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])
