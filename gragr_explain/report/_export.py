"""Explanations as files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data import Batch, Data, Dataset

from gragr_explain.arguments import check_number, check_type
from gragr_explain.context import Influences
from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    OutputError,
)
from gragr_explain.explain import Edge, Explanations, GraphExplanations, NodeExplanations
from gragr_explain.files import atomic, check_writable
from gragr_explain.history import GradientHistory
from gragr_explain.inputs import check_data, check_index
from gragr_explain.models import FrequencyProfile
from gragr_explain.report._cards import choose_cards
from gragr_explain.report._drawings import check_image_shape
from gragr_explain.report._page import render_page
from gragr_explain.report._prototypes import check_prototypes
from gragr_explain.report._table import save_jsonl, save_parquet, to_frame
from gragr_explain.report.graphs import choose_graphs, render_graphs_page

if TYPE_CHECKING:
    import pandas as pd
    from torch_geometric.explain import Explanation

FILES = {"parquet": "explanations.parquet", "jsonl": "explanations.jsonl", "html": "report.html"}
"""The formats, and the file that each is written to."""


def export(
    explanations: Explanations,
    folder: str | os.PathLike[str],
    *,
    data: Data | Sequence[Data] | Dataset,
    history: GradientHistory | None = None,
    cards: Mapping[int, Explanation] | Collection[int] | None = None,
    title: str | None = None,
    image_shape: tuple[int, int] | None = None,
    frequencies: FrequencyProfile | None = None,
    prototypes: pd.DataFrame | None = None,
    influences: Influences | None = None,
    formats: Collection[str] = ("parquet", "jsonl", "html"),
    progress: bool = True,
) -> dict[str, Path]:
    """Write explanations into a folder: a Parquet table, JSON lines and a page to look at.

    All files are written beside their places first, and put in place one after another once all are complete: what
    goes wrong while writing leaves an earlier export as it was, and no file is ever there in part.

    Args:
        explanations: The explanations of ``n`` nodes, or graphs, as :func:`gragr_explain.explain.explain_many` returns
            them.
        folder: Where to write; created where it is missing.
        data: The graph that was explained, or all of the graphs.
        history: What was recorded of the training, for the training curves. Only for nodes.
        cards: The nodes, or graphs, that the page puts on cards, in this order. For nodes, as a mapping, with the full
            explanation of each, whose masks are then shown in place of the few strongest edges and features that
            ``explanations`` holds. By default, the nodes of :func:`choose_cards`, or the graphs of
            :func:`choose_graphs`.
        title: The title of the page.
        image_shape: ``(height, width)`` where a node's features are the pixels of a grey picture. Only for nodes.
        frequencies: Which frequencies the layers of the explained model favour, as
            :func:`gragr_explain.models.frequency_profile` finds, for the page to say and draw. Only for nodes.
        prototypes: What the nodes of a condensed graph stand for, as :func:`gragr_explain.condensation.prototypes`
            returns, for the page to draw. Only for nodes.
        influences: The training nodes behind predictions (:func:`gragr_explain.context.influences`), for their cards.
            Only for nodes.
        formats: Which files to write: ``"parquet"``, ``"jsonl"``, ``"html"``.
        progress: Whether to show a progress bar where many graphs are drawn.

    Returns:
        The path of each file, by format.

    Raises:
        OutputError: The folder cannot be written to; known before any work is done.
        InvalidArgumentError: A format is unknown, the pictures' shape does not fit the features, the prototypes are
            none, or not of this graph, a card's explanation is of another node, or what is only for nodes is given
            with graphs.
        InvalidTypeError: An argument is of another type.
        InvalidGraphError: A graph cannot be used, or the graphs are not those that were explained.
        InvalidIndexError: A card is asked for what was not explained, or an influence is of a node that the graph does
            not have.

    Example:
        >>> import tempfile, torch
        >>> from torch_geometric.data import Data
        >>> from torch_geometric.explain import Explainer
        >>> from torch_geometric.nn import GCN
        >>> from gragr_explain import GradientContextExplainer, explain_many
        >>> data = Data(x=torch.rand(4, 3), edge_index=torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]))
        >>> explainer = Explainer(
        ...     model=GCN(3, 8, num_layers=2, out_channels=2),
        ...     algorithm=GradientContextExplainer(),
        ...     explanation_type="model",
        ...     node_mask_type="attributes",
        ...     edge_mask_type="object",
        ...     model_config=dict(mode="multiclass_classification", task_level="node", return_type="raw"),
        ... )
        >>> explanations = explain_many(explainer, data, progress=False)
        >>> paths = export(explanations, tempfile.mkdtemp(), data=data)
        >>> [path.name for path in paths.values()]
        ['explanations.parquet', 'explanations.jsonl', 'report.html']
    """
    check_type("explanations", explanations, Explanations)
    check_type("formats", formats, Collection)
    unknown = sorted(set(map(str, formats)) - set(FILES))
    if unknown:
        raise InvalidArgumentError(f"expected formats among {sorted(FILES)}, got {unknown}")
    check_type("cards", cards, Collection, optional=True)
    check_type("history", history, GradientHistory, optional=True)
    check_type("frequencies", frequencies, FrequencyProfile, optional=True)
    check_type("influences", influences, Influences, optional=True)
    if isinstance(explanations, GraphExplanations):
        _check_none(
            history=history,
            image_shape=image_shape,
            frequencies=frequencies,
            prototypes=prototypes,
            influences=influences,
        )
        graphs = _explained_graphs(explanations, data)
        chosen = _full(choose_graphs(explanations) if cards is None else cards)
        page = partial(
            render_graphs_page,
            explanations,
            graphs,
            title="What the model goes by, graph by graph" if title is None else title,
            cards=list(chosen),
            progress=progress,
        )
    else:
        assert isinstance(explanations, NodeExplanations)
        graph = _explained_graph(explanations, data)
        if history is not None:
            history.check_graph(graph.x.size(0), graph.x, graph.edge_index)
        if image_shape is not None:
            check_image_shape(image_shape, graph.x.size(-1))
        if prototypes is not None:
            check_prototypes(prototypes, graph.x.size(0))
        if influences is not None and int(influences.train.max()) >= graph.x.size(0):
            raise InvalidIndexError(
                f"expected influences of the graph's {graph.x.size(0)} nodes, got one of node "
                f"{int(influences.train.max())}"
            )
        if influences is not None:
            _check_influences(influences, explanations)
        chosen = _full(choose_cards(explanations) if cards is None else cards)
        _check_cards(chosen, graph.x.size(0))
        page = partial(
            render_page,
            explanations,
            graph,
            title="What the model learned, node by node" if title is None else title,
            history=history,
            cards=chosen,
            image_shape=image_shape,
            frequencies=frequencies,
            prototypes=prototypes,
            influences=influences,
        )
    missing = sorted(set(chosen) - set(explanations.index.tolist()))
    if missing:
        raise InvalidIndexError(f"expected cards of what was explained only, got {missing[:5]}")
    return _write(explanations, folder, formats, page)


def _write(
    explanations: Explanations, folder: str | os.PathLike[str], formats: Collection[str], page: Callable[[], str]
) -> dict[str, Path]:
    """Write the files of an export, all or none."""
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
            files["html"].write_text(page(), encoding="utf-8")
    return paths


def _explained_graph(explanations: NodeExplanations, data: Any) -> Data:
    num_nodes = explanations.context.num_nodes
    check_data(data)
    if data.x.size(0) != num_nodes:
        raise InvalidGraphError(
            f"expected the graph of {num_nodes} nodes that was explained, got one of {data.x.size(0)}"
        )
    found: Data = data
    strange = _strange_edge([edge for edges in explanations.edges for edge in edges], found)
    if strange is not None:
        raise InvalidGraphError(
            f"expected the graph that was explained, got one without the edge {strange}, which supports a prediction"
        )
    return found


def _explained_graphs(explanations: GraphExplanations, data: Any) -> dict[int, Data]:
    """The graphs that were explained, by their number."""
    graphs = data.to_data_list() if isinstance(data, Batch) else data
    if isinstance(graphs, Data) or not isinstance(graphs, Sequence | Dataset):
        raise InvalidTypeError(f"expected the sequence of graphs that was explained, got {type(graphs).__name__}")
    if len(graphs) != explanations.num_graphs:
        raise InvalidGraphError(f"expected the {explanations.num_graphs} graphs that there were, got {len(graphs)}")
    numbers = explanations.index.tolist()
    found = {number: graphs[number] for number in numbers}
    for number, graph in found.items():
        try:
            check_data(graph)
        except GragrError as error:
            raise type(error)(f"graph {number}: {error}") from error
    for number, edges in zip(numbers, explanations.edges, strict=True):
        strange = _strange_edge(edges, found[number])
        if strange is not None:
            raise InvalidGraphError(
                f"expected the graphs that were explained, got graph {number} without the edge {strange}, which "
                "supports the prediction"
            )
    return found


def _strange_edge(edges: Sequence[Edge], graph: Data) -> tuple[int, int] | None:
    """The first of some edges that a graph has in neither direction."""
    if not edges:
        return None
    ends, own = torch.tensor([edge[:2] for edge in edges]), graph.edge_index.cpu()
    count = 1 + max(int(ends.max()), int(own.max()) if own.numel() else 0)
    known = torch.isin(ends[:, 0] * count + ends[:, 1], torch.cat([own[0] * count + own[1], own[1] * count + own[0]]))
    strange = (~known).nonzero()
    return None if not strange.numel() else (int(ends[strange[0], 0]), int(ends[strange[0], 1]))


def _check_influences(influences: Influences, explanations: NodeExplanations) -> None:
    """Check that influences are on predictions, of which the page speaks."""
    other = influences.target != explanations.all_predictions[influences.index]
    if bool(other.any()):
        raise InvalidArgumentError(
            f"expected influences on what is predicted, got those on another class for node "
            f"{int(influences.index[other][0])}; ask for them without a target"
        )


def _check_none(**only_nodes: Any) -> None:
    for name, value in only_nodes.items():
        if value is not None:
            raise InvalidArgumentError(f"expected no {name} with explanations of graphs, as it is of nodes")


def _full(cards: Mapping[int, Explanation] | Collection[int]) -> dict[int, Explanation | None]:
    """The full explanation of each card's node or graph, ``None`` where there is none."""
    given = dict(cards) if isinstance(cards, Mapping) else dict.fromkeys(cards)
    for number in given:
        check_number("the number of a card", number, whole=True)
    return {int(number): explanation for number, explanation in given.items()}


def _check_cards(cards: Mapping[int, Explanation | None], num_nodes: int) -> None:
    """Check that what is shown in full of a node is the explanation of this node."""
    for node, explanation in cards.items():
        index = None if explanation is None else check_index(explanation.get("index"), num_nodes)
        if index is not None and index.tolist() != [node]:
            raise InvalidArgumentError(
                f"expected the explanation of node {node} on its card, got that of {index.tolist()[:5]}"
            )
