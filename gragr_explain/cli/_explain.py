"""``gragr-explain explain``."""

from __future__ import annotations

from typing import Annotated

import typer

from gragr_explain.cli._nodes import parse_nodes
from gragr_explain.cli._options import LanguageModel, Ranked, Refine, SearchEdges, Trained
from gragr_explain.cli._terminal import print_explanation, show_progress


def explain(
    folder: Trained,
    nodes: Annotated[
        list[str],
        typer.Argument(metavar="NODES...", help="Which nodes, such as 17, or 0,5,10-20.", show_default=False),
    ],
    top: Annotated[int, typer.Option(min=1, help="How many edges and features to show.")] = 8,
    llm: LanguageModel = None,
    search_edges: SearchEdges = 10,
    refine: Refine = None,
    ranked: Ranked = True,
) -> None:
    """Explain the predictions of a few nodes, in the terminal.

    For each node: its prediction; the six psi, which say how the model learned
    it, with the share of the graph's nodes that lie below; the edges and
    features that support the prediction most, the strongest first (weights of
    edges from 1 to 0.9 are their order); and a text that puts it together.

    Examples:
        gragr-explain explain out 17
        gragr-explain explain out 17 42 100-103 --top 3
        gragr-explain explain out 17 --refine
        gragr-explain explain out 17 --search-edges 5 --best-set
        gragr-explain explain out 17 --llm path/to/a/language-model
    """
    from gragr_explain.checkpoint import load_checkpoint
    from gragr_explain.cli._work import Search, make_explainer, make_writer
    from gragr_explain.datasets import load_dataset
    from gragr_explain.explain import explain_many

    checkpoint = load_checkpoint(folder)
    dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
    index = parse_nodes(",".join(nodes), dataset.data.x.size(0))
    explainer = make_explainer(checkpoint.trained, dataset, make_writer(llm), Search(search_edges, refine, ranked))
    explanations = explain_many(
        explainer,
        dataset.data,
        index,
        top_edges=top if ranked else max(top, search_edges),
        top_features=top,
        progress=show_progress(),
    )
    for row in range(len(explanations)):
        print_explanation(explanations, row)
