"""``gragr-explain demo``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from gragr_explain.cli._options import Seed
from gragr_explain.cli._terminal import console, print_dataset, print_rationale, show_progress

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from gragr_explain.datasets import GraphDataset
    from gragr_explain.explain import NodeExplanations
    from gragr_explain.training import GraGR

_CARDS = 24


def demo(
    out: Annotated[Path, typer.Option(help="The folder for the model and the page.")] = Path("demo"),
    epochs: Annotated[int, typer.Option(min=1, help="How many epochs to train.")] = 100,
    seed: Seed = 0,
) -> None:
    """See it work: learn to read digits, explain every one, write a page.

    1,797 pictures of digits are the nodes of a graph, each joined to the ten
    most similar. A GCN learns to read them while its gradients are recorded and
    their conflicts corrected. The page then shows, for any digit, the pixels
    and the other digits that made the model say what it says. The texts on the
    page's cards are written by the small language model in the package, those
    of the other digits by a template. Nothing is downloaded.

    Examples:
        gragr-explain demo
        gragr-explain demo --out my-demo --seed 1
    """
    import torch

    from gragr_explain.checkpoint import build_model, save_checkpoint
    from gragr_explain.cli._work import Search, describe_accuracy, make_explainer, make_writer, write_report
    from gragr_explain.datasets import load_dataset
    from gragr_explain.explain import explain_many
    from gragr_explain.files import check_writable
    from gragr_explain.report import choose_cards
    from gragr_explain.training import GraGR

    check_writable(out)
    dataset = load_dataset("digits")
    print_dataset(dataset)
    torch.manual_seed(seed)
    network = build_model("GCN", dataset.data.num_features, len(dataset.class_names))
    trained = GraGR(network).fit(dataset.data, epochs=epochs, progress=show_progress())
    save_checkpoint(trained, out, dataset=dataset.name)
    explainer = make_explainer(trained, dataset, make_writer(None), Search())
    explanations = explain_many(explainer, dataset.data, progress=show_progress())
    three = _three(explanations, dataset.data)
    explanations = _worded(trained, dataset, explanations, {*choose_cards(explanations, _CARDS), *three.values()})
    console.print(f"{len(explanations):,} nodes explained; writing the page ...")
    paths = write_report(
        trained,
        dataset,
        explanations,
        out,
        title="How a graph network learned to read digits",
        cards=_CARDS,
        search=Search(),
    )

    console.print(f"\n{describe_accuracy(trained, dataset)}\n")
    for name, row in three.items():
        console.print(Text(name, style="bold"))
        print_rationale(explanations, row)
    console.print(f"the page: {paths['html'].resolve()}", soft_wrap=True)
    console.print(f"open it in a browser: {paths['html'].resolve().as_uri()}", soft_wrap=True)


def _three(explanations: NodeExplanations, data: Data) -> dict[str, int]:
    """Three unseen digits worth reading about: the surest right one, one of median confidence, the surest wrong one."""
    unseen = data.test_mask.nonzero().view(-1)
    surest_first = unseen[explanations.confidence[unseen].argsort(descending=True, stable=True)]
    right = explanations.prediction[surest_first] == data.y[surest_first]
    chosen = {
        "A sure one": surest_first[right],
        "A typical one": surest_first[len(surest_first) // 2 :],
        "A wrong one": surest_first[~right],
    }
    return {name: int(nodes[0]) for name, nodes in chosen.items() if nodes.numel()}


def _worded(trained: GraGR, dataset: GraphDataset, explanations: NodeExplanations, read: set[int]) -> NodeExplanations:
    """Explanations of all nodes with the texts that a person will read by a language model, where there is one."""
    from gragr_explain.cli._work import EMBEDDED, Search, make_explainer, make_writer
    from gragr_explain.errors import LanguageModelError
    from gragr_explain.explain import explain_many

    try:
        writer = make_writer(EMBEDDED)
    except LanguageModelError as error:
        console.print(f"a template writes all texts. {error}")
        return explanations
    worded = explain_many(
        make_explainer(trained, dataset, writer, Search()), dataset.data, sorted(read), progress=False
    )
    rationales = dict(enumerate(explanations.rationales)) | dict(zip(sorted(read), worded.rationales, strict=True))
    written = sum(not rationale.replaced for rationale in worded.rationales)
    console.print(f"{written} of {len(read)} texts to read are written by a language model, the others by a template")
    return replace(explanations, rationales=list(rationales.values()))
