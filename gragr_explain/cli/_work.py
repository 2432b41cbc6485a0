"""What the commands do with a trained model: explain it, and write the report."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

from gragr_explain.checkpoint import load_checkpoint
from gragr_explain.context import Influences, influences
from gragr_explain.datasets import GraphDataset, load_dataset
from gragr_explain.errors import HistoryError, InvalidArgumentError, UnsupportedModelError
from gragr_explain.explain import GradientContextExplainer, NodeExplanations
from gragr_explain.inputs import forward_arguments
from gragr_explain.models import FrequencyProfile, frequency_profile
from gragr_explain.rationale import LLMWriter, TemplateWriter, Writer
from gragr_explain.report import choose_cards, export
from gragr_explain.training import GraGR

EMBEDDED = "embedded"
"""What the command line calls the language model in the package."""


def make_writer(llm: str | None) -> Writer:
    """The writer of rationales: a local language model where one is named, else the template."""
    if llm is None:
        return TemplateWriter()
    return LLMWriter(None if llm == EMBEDDED else llm)


class Search(NamedTuple):
    """How supporting edges are searched for, as ``--search-edges``, ``--refine`` and ``--best-set`` say.

    Attributes:
        edges: How many.
        refine: Whether what is found is refined.
        ranked: Whether the first few of the edges are to explain well, too, not all together alone.
    """

    edges: int = 10
    refine: bool | None = None
    ranked: bool = True


@dataclass(frozen=True)
class Loader:
    """Loads what is needed to explain a trained model's predictions, on this machine or on a worker's.

    Attributes:
        folder: The folder that the model was saved in.
        llm: The language model that writes rationales, where one is named.
        search: How supporting edges are searched for.
    """

    folder: Path
    llm: str | None
    search: Search

    def __call__(self) -> tuple[Explainer, Data]:
        """The explainer and the graph."""
        checkpoint = load_checkpoint(self.folder)
        dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
        return make_explainer(checkpoint.trained, dataset, make_writer(self.llm), self.search), dataset.data


def make_explainer(
    trained: GraGR,
    dataset: GraphDataset,
    writer: Writer,
    search: Search,
) -> Explainer:
    """An explainer of a model's predictions for the nodes of a data set."""
    if trained.model.in_channels != dataset.data.num_features:
        raise InvalidArgumentError(
            f"the model takes {trained.model.in_channels} features, but the nodes of {dataset.name} now have "
            f"{dataset.data.num_features}; train it again"
        )
    return Explainer(
        model=trained,
        algorithm=GradientContextExplainer(
            writer=writer,
            class_names=dataset.class_names,
            feature_names=dataset.feature_names,
            search_edges=search.edges,
            refine=search.refine,
            ranked=search.ranked,
        ),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )


def write_report(
    trained: GraGR,
    dataset: GraphDataset,
    explanations: NodeExplanations,
    folder: Path,
    *,
    title: str,
    cards: int,
    search: Search,
    formats: Collection[str] = ("parquet", "jsonl", "html"),
) -> dict[str, Path]:
    """Write the report of explanations; returns the path of each file by format.

    Where nodes are pictures, the cards show the weight of every pixel, for which their nodes are explained in full, by
    the same search as in ``explanations``.
    """
    chosen = choose_cards(explanations, cards) if "html" in formats else []
    data = dataset.data
    full = {}
    if dataset.image_shape is not None:
        explainer = make_explainer(trained, dataset, TemplateWriter(), search)
        arguments = forward_arguments(trained, data)
        full = {node: explainer(data.x, data.edge_index, index=node, **arguments) for node in chosen}
    return export(
        explanations,
        folder,
        data=data,
        history=trained.history,
        cards=full or chosen,
        title=title,
        image_shape=dataset.image_shape,
        influences=behind(trained, data, chosen) if chosen else None,
        frequencies=layers_of(trained, data) if "html" in formats else None,
        formats=formats,
    )


def behind(trained: GraGR, data: Data, nodes: list[int]) -> Influences | None:
    """The training nodes behind some predictions; ``None`` where model or history cannot tell."""
    try:
        return influences(trained, data, nodes)
    except (HistoryError, UnsupportedModelError):
        return None


def layers_of(trained: GraGR, data: Data) -> FrequencyProfile | None:
    """What a model's layers do to neighbours; ``None`` where they cannot be told apart."""
    try:
        return frequency_profile(trained, data)
    except UnsupportedModelError:
        return None


@torch.no_grad()
def describe_accuracy(trained: GraGR, dataset: GraphDataset) -> str:
    """The share of test nodes with known labels that a model predicts right, in words."""
    data = dataset.data
    known = data.test_mask & (data.y >= 0)
    if not bool(known.any()):
        return "test accuracy not known, for want of test nodes with labels"
    output: Tensor = trained(data.x, data.edge_index, **forward_arguments(trained, data))
    right = (output.argmax(-1) == data.y)[known].float().mean()
    return f"test accuracy {float(right):.1%}"
