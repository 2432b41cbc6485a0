"""``gragr-explain audit``."""

from __future__ import annotations

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from gragr_explain.cli._options import Seed, Trained
from gragr_explain.cli._terminal import console, show_progress, suggest
from gragr_explain.errors import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".parquet")


def audit(
    folder: Trained,
    top: Annotated[int, typer.Option(min=1, help="How many labels, and how many predictions, to show.")] = 20,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the table of all nodes into this .csv or .parquet file.", show_default=False
        ),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Find the labels and the predictions that are probably wrong.

    Two lists, the most doubtful first: training labels, each with the
    probability that it is wrong, the class it should perhaps have, and what
    speaks against it; and predictions for all other nodes, likewise. For that
    the model is trained again, a dozen times or more, without some of the
    labels and with wrong ones planted among them. Labels of test nodes are
    never looked at.

    Examples:
        gragr-explain audit out
        gragr-explain audit out --top 50 --out doubts.csv
    """
    from gragr_explain.audit import audit as find_doubts
    from gragr_explain.checkpoint import load_checkpoint
    from gragr_explain.datasets import load_dataset
    from gragr_explain.files import check_writable

    if out is not None and (out.suffix.lower() not in SUFFIXES or out.is_dir()):
        raise InvalidArgumentError(f"expected --out as a file ending in {' or '.join(SUFFIXES)}, got '{out}'")
    checkpoint = load_checkpoint(folder)
    dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
    if out is not None:
        check_writable(out.parent)
    found = find_doubts(
        checkpoint.trained, dataset.data, class_names=dataset.class_names, seed=seed, progress=show_progress()
    )
    console.print(
        f"{len(found.labels):,} training labels, of which about {found.noise_rate:.1%} are wrong; "
        f"{len(found.flagged):,} are more probably wrong than right\n"
    )
    console.print(_table(found.labels.head(top), "label"))
    console.print(f"\n{len(found.predictions):,} predictions for other nodes, the most doubtful first\n")
    console.print(_table(found.predictions.head(top), "predicted"))
    if out is not None:
        _write(found.to_frame(), out)
        console.print(f"\nall of them are in {out}", soft_wrap=True)
    following = [["explain", folder, found.labels["node"].iloc[0]]]
    if len(wrong := found.predictions[found.predictions["probability"] > 0.5]):
        following.append(["edit", folder, wrong["node"].iloc[0], "--label", wrong["suggested"].iloc[0]])
    suggest(*following)


def _table(rows: pd.DataFrame, given: str) -> Table:
    """The head of a table of doubts as the terminal shows it."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("node", "wrong", given, "rather", "because"):
        table.add_column(name, justify="right" if name in ("node", "wrong") else "left", no_wrap=name != "because")
    for row in rows.itertuples():
        table.add_row(
            str(row.node), _percent(row.probability), row.label_name, row.suggested_name, "; ".join(row.reasons)
        )
    return table


def _percent(probability: float) -> str:
    return "?" if isnan(probability) else f"{probability:.0%}"


def _write(frame: pd.DataFrame, path: Path) -> None:
    """Write a table of doubts, whole or not at all."""
    from gragr_explain.files import atomic

    with atomic(path) as (file,):
        if path.suffix.lower() == ".csv":
            frame.assign(reasons=frame["reasons"].str.join("; ")).to_csv(file, index=False)
        else:
            frame.to_parquet(file, index=False)
