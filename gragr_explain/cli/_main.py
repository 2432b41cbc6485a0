"""The commands together, and what they do with errors."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from gragr_explain import __version__
from gragr_explain.cli._audit import audit
from gragr_explain.cli._demo import demo
from gragr_explain.cli._edit import edit
from gragr_explain.cli._explain import explain
from gragr_explain.cli._export import export
from gragr_explain.cli._train import train
from gragr_explain.errors import GragrError

_INTERRUPTED = 130  # by convention 128 + SIGINT

app = typer.Typer(
    name="gragr-explain",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gragr-explain {__version__}")
        raise typer.Exit


@app.callback()
def _about(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Explain a graph neural network by how it learned.

    A model is trained while its gradients are recorded. From them come, for
    every node: which edges and features support its prediction, six numbers
    that say how the model learned it and whether to trust it, and a text that
    says so in plain words.

    See it work, without a download:
        gragr-explain demo

    With a data set of PyTorch Geometric, or a graph of your own (a saved Data file):
        gragr-explain train Cora --out out
        gragr-explain explain out 17
        gragr-explain export out
        gragr-explain audit out
        gragr-explain edit out 1857 --label 3

    Each command has its own --help with examples.
    """


for _command in (demo, train, explain, export, audit, edit):
    app.command()(_command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: a warning becomes a line on standard error, a mistake of the user's one and exit code 1.

    Args:
        arguments: What follows the program's name; by default, what it was started with.
    """
    with warnings.catch_warnings():
        warnings.showwarning = _print_warning
        _run(arguments)


def _run(arguments: Sequence[str] | None) -> None:
    try:
        app(args=arguments, prog_name="gragr-explain")
    except GragrError as error:
        sys.exit(f"error: {' '.join(str(error).split())}")
    except SystemExit as ending:
        if ending.code == _INTERRUPTED:
            print("error: interrupted", file=sys.stderr)
        raise


def _print_warning(message: Warning | str, *_where: Any, **_file: Any) -> None:
    print(f"warning: {' '.join(str(message).split())}", file=sys.stderr)
