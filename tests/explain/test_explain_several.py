"""What is said of each of several outputs is its own, and what belongs to a graph stays with it."""

from __future__ import annotations

import re

import pytest
import torch
from gnns import Net, explainer_for
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCNConv, global_add_pool

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.errors import InvalidArgumentError


class WithGlobals(nn.Module):
    """Each graph has features of its own, read for each of its nodes or once."""

    def __init__(self, per_node: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.per_node = per_node
        self.first, self.second = GCNConv(7, 8), GCNConv(8, 8)
        self.head = nn.Linear(8 if per_node else 10, 3)

    def forward(self, x, edge_index, u, batch=None):
        batch = x.new_zeros(x.size(0), dtype=torch.long) if batch is None else batch
        h = torch.cat([x, u[batch] if self.per_node else x.new_zeros(x.size(0), 2)], dim=-1)
        h = global_add_pool(self.second(self.first(h, edge_index).relu(), edge_index), batch)
        return self.head(h if self.per_node else torch.cat([h, u], dim=-1))


@pytest.fixture
def graphs() -> list[Data]:
    torch.manual_seed(1)
    return [
        Data(x=torch.randn(n, 5), edge_index=torch.randint(0, n, (2, 2 * n)), u=4 * torch.randn(1, 2))
        for n in (5, 6, 7, 20, 9, 12, 15, 8)
    ]


@pytest.mark.parametrize("per_node", [True, False])
def test_features_of_graphs_stay_with_them(per_node, graphs):
    explainer = explainer_for(WithGlobals(per_node).eval(), level="graph")
    found = explain_many(explainer, graphs, progress=False)
    for row, graph in enumerate(graphs):
        one = explainer(graph.x, graph.edge_index, u=graph.u)
        order = one.edge_mask.argsort(descending=True, stable=True)[: len(found.edges[row])]
        assert [edge[:2] for edge in found.edges[row]] == [
            tuple(pair) for pair in graph.edge_index[:, order].t().tolist()
        ]
        assert (one.change is None) == (found.changes[row] is None)
        if one.change is not None:
            assert found.changes[row].removed == one.change.removed
            assert found.changes[row].confidence == pytest.approx(one.change.confidence, abs=1e-5)


def named_nodes(text: str) -> set[int]:
    return {int(node) for node in re.findall(r"node (\d+) \(weight", text)}


def test_several_graphs_are_supported_by_their_own_nodes(graphs):
    model = WithGlobals(per_node=True).eval()
    batch = Batch.from_data_list(graphs)
    explanation = explainer_for(model, level="graph")(batch.x, batch.edge_index, u=batch.u, batch=batch.batch)
    assert len(explanation.rationale) == len(graphs)
    for number, text in enumerate(explanation.rationale):
        assert named_nodes(text)
        assert set(batch.batch[list(named_nodes(text))].tolist()) == {number}


def test_several_links_are_supported_by_what_supports_them(graph):
    model = Net("multiclass_classification", "edge", "raw").eval()
    links = torch.tensor([[0, 6, 3], [2, 8, 1]])
    explainer = explainer_for(model, level="edge")
    together = explainer(graph.x, graph.edge_index, edge_label_index=links).rationale
    told = 0
    for number, text in enumerate(together):
        alone = explainer(graph.x, graph.edge_index, edge_label_index=links, index=number)
        supports = {int(graph.edge_index[0, edge]) for edge in (alone.edge_evidence > 0).nonzero().view(-1).tolist()}
        assert named_nodes(text) <= supports
        told += len(named_nodes(text))
    assert told


def test_self_loops_are_no_connections():
    """Without the strongest connection between two nodes, and not without the loop, which is stronger."""
    torch.manual_seed(0)
    x, edge_index = torch.eye(3), torch.tensor([[0, 1, 2, 1], [0, 0, 0, 2]])
    model = Net("multiclass_classification", "node", "raw").eval()
    explainer = explainer_for(model)
    explanation = explainer(x, edge_index, index=0)
    change = explanation.change
    loops = edge_index[0] == edge_index[1]
    assert change is None or change.removed <= int((explanation.edge_mask[~loops] > 0).sum())
    only_loop = explainer(x, edge_index[:, :1], index=0)
    assert only_loop.change is None
    assert "strongest connection" not in only_loop.rationale


@pytest.mark.parametrize("index", [[4, 5], torch.tensor([4, 5]), torch.arange(10) // 2 == 2])
def test_subgraphs_of_any_index(index, gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=index)
    part = explanation.get_explanation_subgraph()
    assert torch.equal(part.x[part.index], graph.x[[4, 5]])


def test_a_binary_classifier_has_two_classes(graph):
    model = Net("binary_classification", "node", "raw").eval()
    explainer = explainer_for(model, GradientContextExplainer(class_names=["link"]), mode="binary_classification")
    with pytest.raises(InvalidArgumentError, match="expected 2 class_names, got 1"):
        explainer(graph.x, graph.edge_index, index=0)


def test_a_regression_is_told_beside_the_truth(graph):
    model = Net("regression", "node", "raw").eval()
    data = Data(x=graph.x, edge_index=graph.edge_index, y=torch.linspace(-1, 1, 10))
    data.y[4] = torch.nan
    explainer = explainer_for(model, mode="regression")
    found = explain_many(explainer, data, progress=False)
    torch.testing.assert_close(found.label, data.y, equal_nan=True)
    assert "its true value is -1." in found.rationales[0].text
    assert "true value" not in found.rationales[4].text
    assert "confidence-gradient relationship" not in " ".join(each.text for each in found.rationales)
