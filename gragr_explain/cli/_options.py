"""Options that several commands share."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from gragr_explain.errors import OutputError

Seed: TypeAlias = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Seed of everything random: the same seed gives the same model.")
]

Trained: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="FOLDER", help="The folder that `gragr-explain train` has written.", show_default=False),
]

LanguageModel: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--llm",
        metavar="embedded|FOLDER|ID",
        help="Let a local language model write the rationales: the embedded one, which comes with the package, or "
        "one by its folder, or by its id on the Hugging Face hub. What it writes is checked against the numbers. "
        "Without it, a template writes them.",
        show_default=False,
    ),
]

SearchEdges: TypeAlias = Annotated[
    int,
    typer.Option(min=0, help="How many supporting edges to search for; 0 takes the gradients as they are, faster."),
]

Refine: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--refine/--no-refine",
        help="Whether what the search finds is refined everywhere, or nowhere, which is faster. By default it is where "
        "the search has failed, and with --best-set everywhere.",
        show_default=False,
    ),
]

Ranked: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--ranked/--best-set",
        help="Whether the first few of the edges found are to explain well, too, or only all of them together, at most "
        "as many as --search-edges, which takes two to six times as long.",
    ),
]

Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace a model that is there already.")]


def check_free(folder: Path, overwrite: bool) -> None:
    """Make sure that no model is replaced unless that is asked for.

    Raises:
        OutputError: If the folder holds a model that is not to be overwritten.
    """
    if (folder / "model.json").exists() and not overwrite:
        raise OutputError(
            f"expected a folder without a model, got '{folder}'; choose another with --out, or --overwrite"
        )
