"""Graphs and models trained on them, in a folder that several processes read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch_geometric.data import Data
from torch_geometric.explain import Explainer

from benchmarks._runs import RESULTS
from benchmarks.scale import power_law_graph
from gragr_explain import GradientContextExplainer, GraGR
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
from gragr_explain.datasets import load_dataset
from gragr_explain.field import neighbour_mean
from gragr_explain.files import atomic, check_writable
from gragr_explain.rationale import Facts, Rationale, TemplateWriter

FEATURES, CLASSES, PAIRS_A_NODE = 32, 8, 3
EPOCHS = 20


@dataclass(frozen=True)
class Load:
    """Loads an explainer and its graph from the store.

    Attributes:
        folder: The folder of a trained model.
        rationales: Whether rationales are written, by the template.
        search_edges: How many supporting edges are searched for.
    """

    folder: Path
    rationales: bool
    search_edges: int

    def __call__(self) -> tuple[Explainer, Data]:
        checkpoint = load_checkpoint(self.folder)
        dataset = load_dataset(checkpoint.dataset, split=checkpoint.split)
        explainer = Explainer(
            model=checkpoint.trained,
            algorithm=GradientContextExplainer(
                writer=TemplateWriter() if self.rationales else silent,
                search_edges=self.search_edges,
                class_names=dataset.class_names,
                feature_names=dataset.feature_names,
            ),
            explanation_type="model",
            node_mask_type="attributes",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        )
        return explainer, dataset.data


def silent(facts: Sequence[Facts]) -> list[Rationale]:
    """Write no rationales."""
    return [Rationale("", "template", False, ())] * len(facts)


def stored(dataset: str) -> Path:
    """The folder of a GCN that is trained on a data set; made where it is missing.

    Args:
        dataset: The name of a data set, or ``power-law-<nodes>`` for a generated one, the degrees of which have a power
            law with a mean of six, and the labels of which depend on a node and its neighbours.
    """
    folder = RESULTS / "stored-graphs" / dataset
    if (folder / "model.json").is_file():
        return folder
    check_writable(folder)
    torch.manual_seed(0)
    source = dataset
    if dataset.startswith("power-law-"):
        source = str(folder / "graph.safetensors")
        _generate(int(dataset.rsplit("-", 1)[1]), Path(source))
    loaded = load_dataset(source)
    model = build_model("GCN", loaded.data.num_features, len(loaded.class_names))
    trained = GraGR(model, conflict=False, alignment=False).fit(loaded.data, epochs=EPOCHS)
    save_checkpoint(trained, folder, dataset=loaded.name)
    return folder


def _generate(num_nodes: int, file: Path) -> None:
    edge_index = power_law_graph(num_nodes, PAIRS_A_NODE * num_nodes)
    x = torch.randn(num_nodes, FEATURES)
    y = ((x + neighbour_mean(x, edge_index)) @ torch.randn(FEATURES, CLASSES)).argmax(-1)
    with atomic(file) as (part,):
        save_file({"x": x, "edge_index": edge_index, "y": y}, part)
