"""Explanations as files."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from gragr_explain.arguments import check_number, check_type
from gragr_explain.context import Influences
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, InvalidIndexError, OutputError
from gragr_explain.explain import NodeExplanations
from gragr_explain.files import atomic, check_writable
from gragr_explain.history import GradientHistory
from gragr_explain.inputs import check_data
from gragr_explain.models import FrequencyProfile
from gragr_explain.report._cards import choose_cards
from gragr_explain.report._drawings import check_image_shape
from gragr_explain.report._page import render_page
from gragr_explain.report._prototypes import check_prototypes
from gragr_explain.report._table import save_jsonl, save_parquet, to_frame

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.data import Data
    from torch_geometric.explain import Explanation

FILES = {"parquet": "explanations.parquet", "jsonl": "explanations.jsonl", "html": "report.html"}
"""The formats, and the file that each is written to."""


def export(
    explanations: NodeExplanations,
    folder: str | os.PathLike[str],
    *,
    data: Data,
    history: GradientHistory | None = None,
    cards: Mapping[int, Explanation] | Collection[int] | None = None,
    title: str = "What the model learned, node by node",
    image_shape: tuple[int, int] | None = None,
    frequencies: FrequencyProfile | None = None,
    prototypes: pd.DataFrame | None = None,
    influences: Influences | None = None,
    formats: Collection[str] = ("parquet", "jsonl", "html"),
) -> dict[str, Path]:
    """Write explanations into a folder: a Parquet table, JSON lines and a page to look at.

    All files are written beside their places first, and put in place one after another once all are complete: what
    goes wrong while writing leaves an earlier export as it was, and no file is ever there in part.

    Args:
        explanations: The explanations of ``n`` nodes, as :func:`gragr_explain.explain.explain_many` returns them.
        folder: Where to write; created where it is missing.
        data: The graph that was explained.
        history: What was recorded of the training, for the training curves.
        cards: The nodes that the page puts on cards, in this order. As a mapping, with the full explanation of each,
            whose masks are then shown in place of the few strongest edges and features that ``explanations`` holds.
            By default, the nodes of :func:`choose_cards`.
        title: The title of the page.
        image_shape: ``(height, width)`` where a node's features are the pixels of a grey picture.
        frequencies: Which frequencies the layers of the explained model favour, as
            :func:`gragr_explain.models.frequency_profile` finds, for the page to say and draw.
        prototypes: What the nodes of a condensed graph stand for, as :func:`gragr_explain.condensation.prototypes`
            returns, for the page to draw.
        influences: The training nodes behind predictions (:func:`gragr_explain.context.influences`), for their cards.
        formats: Which files to write: ``"parquet"``, ``"jsonl"``, ``"html"``.

    Returns:
        The path of each file, by format.

    Raises:
        OutputError: The folder cannot be written to; known before any work is done.
        InvalidArgumentError: A format is unknown, the pictures' shape does not fit the features, or the prototypes
            are none, or not of this graph.
        InvalidTypeError: An argument is of another type.
        InvalidGraphError: The graph cannot be used, or has another number of nodes than the one that was explained.
        InvalidIndexError: A card is asked for a node that was not explained, or an influence is of a node that the
            graph does not have.
    """
    check_type("explanations", explanations, NodeExplanations)
    num_nodes = explanations.context.num_nodes
    check_data(data)
    if data.x.size(0) != num_nodes:
        raise InvalidGraphError(
            f"expected the graph of {num_nodes} nodes that was explained, got one of {data.x.size(0)}"
        )
    check_type("formats", formats, Collection)
    unknown = sorted(set(map(str, formats)) - set(FILES))
    if unknown:
        raise InvalidArgumentError(f"expected formats among {sorted(FILES)}, got {unknown}")
    check_type("history", history, GradientHistory, optional=True)
    check_type("cards", cards, Collection, optional=True)
    check_type("frequencies", frequencies, FrequencyProfile, optional=True)
    check_type("influences", influences, Influences, optional=True)
    if image_shape is not None:
        check_image_shape(image_shape, data.x.size(-1))
    if prototypes is not None:
        check_prototypes(prototypes, num_nodes)
    full = _full(choose_cards(explanations) if cards is None else cards)
    missing = sorted(set(full) - set(explanations.index.tolist()))
    if missing:
        raise InvalidIndexError(f"expected cards of explained nodes only, got {missing[:5]}")
    if influences is not None and int(influences.train.max()) >= num_nodes:
        raise InvalidIndexError(
            f"expected influences of the graph's {num_nodes} nodes, got one of node {int(influences.train.max())}"
        )
    folder = check_writable(folder)
    paths = {name: folder / FILES[name] for name in FILES if name in formats}
    for path in paths.values():
        if path.is_dir():
            raise OutputError(f"expected to write a file, got a folder in its place: '{path}'")

    with atomic(*paths.values()) as temporary:
        files = dict(zip(paths, temporary, strict=True))
        frame = to_frame(explanations) if files.keys() & {"parquet", "jsonl"} else None
        if frame is not None and "parquet" in files:
            save_parquet(frame, files["parquet"])
        if frame is not None and "jsonl" in files:
            save_jsonl(frame, files["jsonl"])
        if "html" in files:
            page = render_page(
                explanations,
                data,
                title=title,
                history=history,
                cards=full,
                image_shape=image_shape,
                frequencies=frequencies,
                prototypes=prototypes,
                influences=influences,
            )
            files["html"].write_text(page, encoding="utf-8")
    return paths


def _full(cards: Mapping[int, Explanation] | Collection[int]) -> dict[int, Explanation | None]:
    """The full explanation of each card's node, ``None`` where there is none."""
    given = dict(cards) if isinstance(cards, Mapping) else dict.fromkeys(cards)
    for node in given:
        check_number("the node of a card", node, whole=True)
    return {int(node): explanation for node, explanation in given.items()}
