"""``gragr-explain export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gragr_explain.cli._nodes import parse_nodes
from gragr_explain.cli._options import LanguageModel, Trained
from gragr_explain.cli._terminal import console, show_progress


class Format(StrEnum):
    """A kind of file that explanations are written to."""

    PARQUET = "parquet"
    JSONL = "jsonl"
    HTML = "html"


def export(
    folder: Trained,
    out: Annotated[
        Path | None,
        typer.Option(help="Where to write; by default, `report` in the model's folder.", show_default=False),
    ] = None,
    nodes: Annotated[
        str | None, typer.Option(help="Which nodes, such as 0,5,10-20; by default, all.", show_default=False)
    ] = None,
    format_: Annotated[
        list[Format] | None,
        typer.Option("--format", help="Write only this; may be given several times.", show_default=False),
    ] = None,
    cards: Annotated[int, typer.Option(min=0, help="How many nodes the page shows in detail.")] = 24,
    llm: LanguageModel = None,
) -> None:
    """Explain many nodes, and write the explanations as a table and as a page.

    explanations.parquet and explanations.jsonl have one row a node: its
    prediction, psi, the edges and features that support it, its rationale.
    report.html is one file that needs no network: where conflict lies in the
    graph, how psi is distributed, how training went, and cards of the nodes
    most worth a look.

    Examples:
        gragr-explain export out
        gragr-explain export out --nodes 0,5,10-20 --cards 13 --out few
        gragr-explain export out --format parquet
        gragr-explain export out --nodes 0-99 --llm path/to/a/language-model
    """
    from gragr_explain.checkpoint import load_checkpoint
    from gragr_explain.cli._work import make_explainer, make_writer, write_report
    from gragr_explain.datasets import load_dataset
    from gragr_explain.explain import explain_many
    from gragr_explain.files import check_writable

    checkpoint = load_checkpoint(folder)
    dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
    index = None if nodes is None else parse_nodes(nodes, dataset.data.x.size(0))
    place = check_writable(folder / "report" if out is None else out)
    explainer = make_explainer(checkpoint.trained, dataset, make_writer(llm))
    explanations = explain_many(explainer, dataset.data, index, progress=show_progress())
    console.print(f"{len(explanations):,} nodes explained; writing ...")
    paths = write_report(
        checkpoint.trained,
        dataset,
        explanations,
        place,
        title=f"{type(checkpoint.trained.model).__name__} on {Path(dataset.name).name}, node by node",
        cards=cards,
        formats=[kind.value for kind in format_ or Format],
    )
    for kind, path in paths.items():
        console.print(f"  {kind:<8} {path}", soft_wrap=True)
