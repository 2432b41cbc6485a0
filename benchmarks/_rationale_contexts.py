"""What the page on rationales is measured on: facts of real models on real graphs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch_geometric.explain import Explainer

from benchmarks._runs import Job
from benchmarks._training import epochs_of, graph_of, new_model
from gragr_explain import GradientContextExplainer, GraGR, TemplateWriter, explain_many
from gragr_explain.datasets import load_dataset, load_graph_tasks
from gragr_explain.rationale import ChangeFact, Facts, FeatureFact, NeighbourFact, PsiFact, Rationale, ValidationFact

GRAPHS = "MUTAG"
_PER_MODEL, _POST_HOC, _GRAPHS_PER_MODEL = 40, 10, 38


class Collector:
    """A writer that keeps what it was to write of."""

    def __init__(self) -> None:
        self.facts: list[Facts] = []

    def __call__(self, facts: Sequence[Facts]) -> list[Rationale]:
        self.facts += facts
        return TemplateWriter()(facts)


def measure(job: Job) -> dict[str, Any]:
    """Train one model, and take the facts of some of its predictions."""
    collector = Collector()
    if job["dataset"] == GRAPHS:
        _explain_graphs(job, collector)
    else:
        _explain_nodes(job, collector)
    return {"facts": json.dumps([asdict(facts) for facts in collector.facts])}


def _explain_nodes(job: Job, collector: Collector) -> None:
    """Test nodes, the label of every third withheld; the last of them explained without the history."""
    loaded = load_dataset(job["dataset"])
    data, num_classes = graph_of(job["dataset"], 0, normalize=False)
    model = GraGR(new_model(job["backbone"], data, num_classes, job["seed"]))
    model.fit(data, epochs_of(job["dataset"]), progress=False)
    nodes = data.test_mask.nonzero().view(-1)
    generator = torch.Generator().manual_seed(job["seed"])
    nodes = nodes[torch.randperm(nodes.numel(), generator=generator)[:_PER_MODEL]]
    seen = data.clone()
    seen.y[nodes[::3]] = -1
    for chosen, history in ((nodes[:-_POST_HOC], None), (nodes[-_POST_HOC:], False)):
        algorithm = GradientContextExplainer(
            writer=collector, history=history, class_names=loaded.class_names, feature_names=loaded.feature_names
        )
        explain_many(_explainer(model, algorithm, "node"), seen, chosen, progress=False)


def _explain_graphs(job: Job, collector: Collector) -> None:
    from torch_geometric.loader import DataLoader
    from torch_geometric.nn import global_add_pool, models

    tasks = load_graph_tasks(GRAPHS)
    torch.manual_seed(job["seed"])

    class Classifier(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = getattr(models, job["backbone"])(tasks.train[0].x.size(1), 32, num_layers=3)
            self.head = torch.nn.Linear(32, 2)

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor, batch: torch.Tensor | None = None) -> torch.Tensor:
            output: torch.Tensor = self.head(global_add_pool(self.layers(x, edge_index), batch))
            return output

    model = Classifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    graphs = [_with_class(graph) for graph in tasks.train]
    for _ in range(30):
        for batch in DataLoader(graphs, 32, shuffle=True):
            loss = torch.nn.functional.cross_entropy(model(batch.x, batch.edge_index, batch.batch), batch.y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    tested = [_with_class(graph) for graph in (*tasks.test, *tasks.val)][:_GRAPHS_PER_MODEL]
    algorithm = GradientContextExplainer(writer=collector, class_names=("not mutagenic", "mutagenic"))
    explain_many(_explainer(model.eval(), algorithm, "graph"), tested, progress=False)


def _with_class(graph: Any) -> Any:
    """A graph with the class of the first task."""
    graph = graph.clone()
    graph.y = graph.y.view(-1)[:1].long()
    return graph


def _explainer(model: torch.nn.Module, algorithm: GradientContextExplainer, level: str) -> Explainer:
    return Explainer(
        model,
        algorithm,
        explanation_type="model",
        model_config={"mode": "multiclass_classification", "task_level": level, "return_type": "raw"},
        node_mask_type="attributes",
        edge_mask_type="object",
    )


def facts_of(saved: dict[str, Any]) -> Facts:
    """Facts as they were before they were saved."""
    change, validation = saved["change"], saved["validation"]
    return Facts(
        **{
            **saved,
            "psi": tuple(PsiFact(**each) for each in saved["psi"]),
            "neighbours": tuple(NeighbourFact(**each) for each in saved["neighbours"]),
            "features": tuple(FeatureFact(**each) for each in saved["features"]),
            "change": change and ChangeFact(**change),
            "validation": validation and ValidationFact(**validation),
        }
    )
