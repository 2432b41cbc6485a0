"""``gragr-explain export``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from gragr_explain.cli._nodes import parse_nodes
from gragr_explain.cli._options import LanguageModel, Ranked, Refine, SearchEdges, Trained
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
        typer.Option(
            "--format",
            help="Write only this beside the Parquet shards; may be given several times.",
            show_default=False,
        ),
    ] = None,
    cards: Annotated[int, typer.Option(min=0, help="How many nodes the page shows in detail.")] = 24,
    llm: LanguageModel = None,
    search_edges: SearchEdges = 10,
    refine: Refine = None,
    ranked: Ranked = True,
    shard_size: Annotated[int, typer.Option(min=1, help="How many nodes a Parquet shard holds.")] = 4096,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export.")] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Explain with so many processes, by Ray.", show_default=False),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            help="The Ray cluster of the workers, such as auto or ray://host:10001; without it, this machine.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Explain many nodes, and write the explanations as a table and as a page.

    explanations/ holds a Parquet table in shards, with one row a node: its
    prediction, psi, the edges and features that support it, its rationale.
    explanations.jsonl is the same as JSON lines. report.html is one file that
    needs no network: where conflict lies in the graph, how psi is distributed,
    how training went, and cards of the nodes most worth a look.

    Shards are written while nodes are explained, in memory that does not grow
    with their number. Stopped at any moment and started again, the export goes
    on where it was. On several machines, --out and the model are in a folder
    that all of them see.

    Examples:
        gragr-explain export out
        gragr-explain export out --nodes 0,5,10-20 --cards 13 --out few
        gragr-explain export out --format parquet --search-edges 0
        gragr-explain export out --nodes 0-99 --llm path/to/a/language-model
        gragr-explain export out --workers 8 --address auto
    """
    from gragr_explain.checkpoint import load_checkpoint
    from gragr_explain.cli._work import Loader, Search, make_explainer, make_writer, write_report
    from gragr_explain.datasets import load_dataset
    from gragr_explain.errors import InvalidArgumentError
    from gragr_explain.streaming import export_on_ray, read_explanations, stream_export

    if address is not None and workers is None:
        raise InvalidArgumentError("expected --workers with --address, got none")
    checkpoint = load_checkpoint(folder)
    dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
    index = None if nodes is None else parse_nodes(nodes, dataset.data.x.size(0))
    place = folder / "report" if out is None else out
    search = Search(search_edges, refine, ranked)
    explainer = make_explainer(checkpoint.trained, dataset, make_writer(llm), search)
    task = explainer, dataset.data, place, index
    options: dict[str, Any] = {"shard_size": shard_size, "overwrite": overwrite, "progress": show_progress()}
    if workers is None:
        written = stream_export(*task, **options)
    else:
        where = llm if llm is None or not Path(llm).exists() else str(Path(llm).resolve())
        load = Loader(folder.resolve(), where, search)
        written = export_on_ray(*task, load=load, workers=workers, address=address, **options)
    console.print(f"{written.manifest.num_nodes:,} nodes explained:")
    paths = {"parquet": written.table}
    formats = format_ or list(Format)
    if Format.JSONL in formats:
        paths["jsonl"] = written.write_jsonl()
    if Format.HTML in formats:
        paths |= write_report(
            checkpoint.trained,
            dataset,
            read_explanations(written, explainer, dataset.data),
            place,
            title=f"{type(checkpoint.trained.model).__name__} on {Path(dataset.name).name}, node by node",
            cards=cards,
            search=search,
            formats=["html"],
        )
    for kind, path in paths.items():
        console.print(f"  {kind:<8} {path}", soft_wrap=True)
