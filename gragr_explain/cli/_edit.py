"""``gragr-explain edit``."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gragr_explain.cli._nodes import parse_nodes
from gragr_explain.cli._options import Overwrite, Trained, check_free
from gragr_explain.cli._terminal import console, suggest
from gragr_explain.errors import EditingError, InvalidArgumentError, InvalidIndexError

PAGE, SUMMARY = "edit.html", "edit.json"
"""What is written beside a model that was edited."""

_MOST_SHOWN = 12


class Method(StrEnum):
    """How to edit."""

    plus = "gre+"
    gre = "gre"
    descent = "gd"


def edit(
    folder: Trained,
    nodes: Annotated[
        list[str],
        typer.Argument(
            metavar="NODES...", help="Which nodes to correct, such as 17, or 0,5,10-20.", show_default=False
        ),
    ],
    label: Annotated[
        list[str],
        typer.Option(
            metavar="CLASS",
            help="The class they shall have, by name or number; given several times, one for each node.",
            show_default=False,
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            help="gre+ keeps the loss of ten subsets of the other nodes, gre that of all together; gd knows of none."
        ),
    ] = Method.plus,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder for the edited model; by default, that of the model with -edited behind its name.",
            show_default=False,
        ),
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Correct predictions of a model, and leave the rest as it is.

    The edited model is written into a folder of its own, from which it is
    explained like any other; the original stays. Beside it, edit.html shows
    what was corrected, every other prediction that changed, and the accuracy
    before and after; edit.json holds the same for programs. All nodes are
    corrected, or nothing is written.

    Examples:
        gragr-explain edit out 1857 --label "Neural networks"
        gragr-explain edit out 1857 1932 --label 3 --label 3 --out corrected
        gragr-explain edit out 1857 --label 3 --method gd --out out --overwrite
    """
    import json

    from gragr_explain.checkpoint import load_checkpoint, save_checkpoint
    from gragr_explain.datasets import load_dataset
    from gragr_explain.editing import edit as edit_model
    from gragr_explain.editing import render_edit, summarise_edit
    from gragr_explain.files import atomic

    checkpoint = load_checkpoint(folder)
    dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
    index = parse_nodes(",".join(nodes), dataset.data.x.size(0))
    classes = [parse_class(name, dataset.class_names) for name in label]
    beside = folder.resolve() if folder.name in ("", "..") else folder
    place = beside.with_name(f"{folder.resolve().name}-edited") if out is None else out
    check_free(place, overwrite)
    with _writable(place):
        done = edit_model(checkpoint.trained, dataset.data, index, classes, method=method.value)
        if not done.success:
            raise EditingError(done.reason)
        if done.steps == 0:
            names = ", ".join(dict.fromkeys(dataset.class_names[number] for number in classes))
            where = _title(index).lower()
            console.print(f"nothing to correct: the model predicts {names} for {where} already", soft_wrap=True)
            return
        title = f"{_title(index)} of {Path(dataset.name).name}, corrected"
        summary = summarise_edit(done, dataset.data, dataset.class_names)
        page = render_edit(done, dataset.data, dataset.class_names, title=title)
        save_checkpoint(checkpoint.trained, place, dataset=checkpoint.dataset, split=checkpoint.split)
        with atomic(place / PAGE, place / SUMMARY) as (page_file, summary_file):
            page_file.write_text(page, encoding="utf-8")
            summary_file.write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    _print(summary)
    console.print(f"\nthe edited model is in {place}, before and after in {place / PAGE}", soft_wrap=True)
    suggest(["explain", place, index[0]])


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    """A folder that can be written to, known before any work; one that was made for nothing is not left behind."""
    from gragr_explain.files import check_writable

    new = not folder.exists()
    check_writable(folder)
    try:
        yield
    finally:
        if new:
            with suppress(OSError):  # it holds what was written
                folder.rmdir()


def parse_class(text: str, class_names: Sequence[str]) -> int:
    """The number of a class that is named, in upper or lower case, or numbered.

    Args:
        text: A name, or a number from 0.
        class_names: The name of each class.

    Raises:
        InvalidIndexError: If no class has the number.
        InvalidArgumentError: If none has the name, or several have.

    Example:
        >>> parse_class("theory", ["Agents", "Theory"]), parse_class("0", ["Agents", "Theory"])
        (1, 0)
    """
    exact = [number for number, name in enumerate(class_names) if name == text]
    found = exact or [number for number, name in enumerate(class_names) if name.lower() == text.lower()]
    if len(found) == 1:
        return found[0]
    if found:
        raise InvalidArgumentError(f"expected the name of one class, got {text!r}, which {len(found)} have")
    if text.isascii() and text.isdigit():
        if int(text) >= len(class_names):
            raise InvalidIndexError(f"expected a class in [0, {len(class_names) - 1}], got {text}")
        return int(text)
    close = difflib.get_close_matches(text, class_names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    raise InvalidArgumentError(f"unknown class {text!r}: expected one of {', '.join(class_names)}{hint}")


def _title(index: Sequence[int]) -> str:
    if len(index) > _MOST_SHOWN:
        return f"{len(index)} nodes"
    return f"Node{'' if len(index) == 1 else 's'} {', '.join(map(str, index))}"


def _print(summary: dict[str, Any]) -> None:
    """Show what an edit has done: the corrected nodes, the others that changed, the accuracy."""
    from gragr_explain.editing import edit_sentences

    asked = [
        {**row, "verdict": "corrected" if row["label"] in (None, row["after"]) else "as asked, against its label"}
        for row in summary["targets"]
    ]
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("node", "before", "after", "label", ""):
        table.add_column(name, justify="right" if name == "node" else "left")
    for row in asked + summary["flips"][:_MOST_SHOWN]:
        table.add_row(str(row["node"]), row["before"], row["after"], row["label"] or "unknown", row["verdict"])
    console.print(table)
    if len(summary["flips"]) > _MOST_SHOWN:
        console.print(f"... and {len(summary['flips']) - _MOST_SHOWN} more, all in {PAGE}")
    console.print()
    for sentence in edit_sentences(summary):
        console.print(sentence)
