"""What is explained: the prediction or the label, of every kind of target; and what is refused, being neither."""

from __future__ import annotations

import pytest
import torch
from gnns import explainer_for
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, global_mean_pool

from gragr_explain import EdgeGradientExplainer, GradientContextExplainer, OcclusionExplainer, explain_many
from gragr_explain.context import FEATURES, GradientContext
from gragr_explain.errors import InvalidGraphError, UnsupportedModelError
from gragr_explain.explain._facts import psi_facts

BINARY = {"mode": "binary_classification"}


class Pooled(nn.Module):
    """A graph-level model of some outputs."""

    def __init__(self, out_channels):
        super().__init__()
        self.gnn = GCN(3, 8, num_layers=2, out_channels=out_channels)

    def forward(self, x, edge_index, batch=None):
        return global_mean_pool(self.gnn(x, edge_index), batch)


def wrong_labels(model, graph):
    """Another class than the predicted one for each node."""
    with torch.no_grad():
        return (model(graph.x, graph.edge_index).argmax(-1) + 1) % 3


def test_where_a_wrong_prediction_has_its_label_explained_the_text_says_so(gcn, graph):
    graph.y = wrong_labels(gcn.eval(), graph)
    explainer = explainer_for(gcn, kind="phenomenon")
    many = explain_many(explainer, graph, progress=False)
    with_features = 0
    for node in range(9):  # the last has no edge
        label, text = f'"class {int(graph.y[node])}"', many.rationales[node].text
        assert text == explainer(graph.x, graph.edge_index, index=node, target=graph.y).rationale
        assert f"which is wrong: its true label is {label}" in text
        assert "upport comes from" not in text
        if many.edges[node]:
            assert f"What speaks for {label} comes from its neighbourhood, above all" in text
            assert "What would change this prediction was not measured" in text
        with_features += f"input features that speak most for {label}" in text
    assert with_features


def test_where_the_prediction_is_the_label_the_text_speaks_of_support(gcn, graph):
    graph.y = gcn.eval()(graph.x, graph.edge_index).argmax(-1)
    text = explainer_for(gcn, kind="phenomenon")(graph.x, graph.edge_index, index=1, target=graph.y).rationale
    assert "Support comes from its neighbourhood" in text
    assert "speaks for" not in text


def test_a_graph_whose_label_is_explained_is_told_so():
    torch.manual_seed(0)
    model = Pooled(3).eval()
    graphs = [Data(x=torch.randn(4, 3), edge_index=torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])) for _ in range(3)]
    for graph in graphs:
        graph.y = (model(graph.x, graph.edge_index).argmax(-1) + 1) % 3
    found = explain_many(explainer_for(model, level="graph", kind="phenomenon"), graphs, progress=False)
    for graph, written in zip(graphs, found.rationales, strict=True):
        assert f'for "class {int(graph.y)}"' in written.text


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_labels_may_be_floating_point_numbers(graph, shape):
    """As models that are trained by binary cross-entropy have them; NaN is not known."""
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=1).eval()
    predicted = (model(graph.x, graph.edge_index).view(-1) > 0).long()
    graph.y = predicted.float()
    graph.y[3] = torch.nan
    explainer = explainer_for(model, kind="phenomenon", **BINARY)
    text = explainer(graph.x, graph.edge_index, index=1, target=graph.y).rationale
    assert f'which is correct: its true label is "class {int(predicted[1])}"' in text
    graph.y = graph.y.view(shape)
    found = explain_many(explainer_for(model, **BINARY), graph, progress=False)
    assert found.label.tolist() == [*predicted[:3].tolist(), -1, *predicted[4:].tolist()]
    assert "which is correct" in found.rationales[0].text


def test_labels_of_graphs_may_be_floating_point_numbers():
    torch.manual_seed(0)
    graphs = [
        Data(x=torch.randn(3, 3), edge_index=torch.tensor([[0, 1], [1, 2]]), y=torch.tensor([[float(number)]]))
        for number in (0, 1)
    ]
    found = explain_many(explainer_for(Pooled(1).eval(), level="graph", **BINARY), graphs, progress=False)
    assert found.label.tolist() == [0, 1]


def test_numbers_are_no_labels_of_classes(gcn, graph):
    graph.y = torch.linspace(0, 1, 10)
    assert explain_many(explainer_for(gcn), graph, [0], progress=False).label is None
    graph.y = torch.arange(10)
    torch.manual_seed(0)
    regression = explainer_for(GCN(3, 8, num_layers=2, out_channels=1), mode="regression")
    assert explain_many(regression, graph, [3], progress=False).label.tolist() == [3.0]
    graph.y = torch.ones(10, 2)
    assert explain_many(regression, graph, [3], progress=False).label is None


@pytest.mark.parametrize("algorithm", [GradientContextExplainer, EdgeGradientExplainer, OcclusionExplainer])
@pytest.mark.parametrize("unknown", [-1, torch.nan])
def test_other_nodes_may_have_no_label(gcn, graph, algorithm, unknown):
    y = wrong_labels(gcn.eval(), graph)
    explainer = explainer_for(gcn, algorithm(), kind="phenomenon", nodes=None)
    whole = explainer(graph.x, graph.edge_index, index=1, target=y)
    some = y.clone() if unknown == -1 else y.float()
    some[7] = unknown  # in another component
    found = explainer(graph.x, graph.edge_index, index=1, target=some)
    assert torch.equal(found.edge_mask, whole.edge_mask)
    with pytest.raises(InvalidGraphError, match=r"target classes in \[0, 2\], got -1 to -1"):
        explainer(graph.x, graph.edge_index, index=7, target=some)


@pytest.mark.parametrize("algorithm", [GradientContextExplainer, EdgeGradientExplainer, OcclusionExplainer])
@pytest.mark.parametrize("outputs", [1, 2])
def test_other_nodes_may_have_no_number(graph, algorithm, outputs):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=outputs)
    y = torch.randn(10, outputs)
    explainer = explainer_for(model, algorithm(), kind="phenomenon", nodes=None, mode="regression")
    whole = explainer(graph.x, graph.edge_index, index=1, target=y)
    y[7, 0] = torch.nan  # in another component
    assert torch.equal(explainer(graph.x, graph.edge_index, index=1, target=y).edge_mask, whole.edge_mask)
    for index in (7, torch.tensor([1, 7]), None):
        with pytest.raises(InvalidGraphError, match="expected known targets to explain, got NaN for output 7"):
            explainer(graph.x, graph.edge_index, index=index, target=y)


def test_many_are_explained_beside_one_without_a_number(graph):
    torch.manual_seed(0)
    explainer = explainer_for(GCN(3, 8, num_layers=2, out_channels=1), kind="phenomenon", mode="regression")
    graph.y = torch.randn(10)
    graph.y[7] = torch.nan
    assert len(explain_many(explainer, graph, [1, 2], progress=False)) == 2
    with pytest.raises(InvalidGraphError, match=r"a label of each node, node 7 has none; .* by index="):
        explain_many(explainer, graph, progress=False)
    graph.y = torch.randn(10, 2)
    graph.y[7, 1] = torch.nan
    two = explainer_for(GCN(3, 8, num_layers=2, out_channels=2), kind="phenomenon", mode="regression")
    with pytest.raises(InvalidGraphError, match="node 7 has none"):
        explain_many(two, graph, progress=False)
    graphs = [Data(x=graph.x, edge_index=graph.edge_index, y=torch.tensor(number)) for number in (0.5, torch.nan)]
    pooled = explainer_for(Pooled(1), level="graph", kind="phenomenon", mode="regression")
    with pytest.raises(InvalidGraphError, match="graph 1 has none"):
        explain_many(pooled, graphs, progress=False)


@pytest.mark.parametrize("algorithm", [GradientContextExplainer, EdgeGradientExplainer, OcclusionExplainer])
def test_a_model_of_several_labels_is_refused(graph, algorithm):
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3)
    explainer = explainer_for(model, algorithm(), nodes=None, **BINARY)
    with pytest.raises(UnsupportedModelError, match=r"one score for each .* of shape \[\d+, 3\]; wrap"):
        explainer(graph.x, graph.edge_index, index=1)


def test_a_model_of_several_labels_of_graphs_is_refused(graph):
    torch.manual_seed(0)
    explainer = explainer_for(Pooled(3), level="graph", **BINARY)
    with pytest.raises(UnsupportedModelError, match=r"got outputs of shape \[1, 3\]; wrap"):
        explain_many(explainer, [graph], progress=False)


class Returning(nn.Module):
    """A model whose scores go through a function."""

    def __init__(self, model, function):
        super().__init__()
        self.model, self.function = model, function

    def forward(self, x, edge_index, batch=None):
        return self.function(self.model(x, edge_index) if batch is None else self.model(x, edge_index, batch))


RETURNED = {
    "raw": lambda scores: 9 * scores,
    "probs": lambda s: s.softmax(-1),
    "log_probs": lambda s: s.log_softmax(-1),
}


@pytest.mark.parametrize("said", ["probs", "log_probs"])
@pytest.mark.parametrize("returned", list(RETURNED))
@pytest.mark.parametrize("algorithm", [GradientContextExplainer, EdgeGradientExplainer, OcclusionExplainer])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_a_model_returns_is_what_its_configuration_says(gcn, graph, said, returned, algorithm, dtype):
    model = Returning(gcn.eval(), RETURNED[returned]).to(dtype)
    graph.x = graph.x.to(dtype)
    explainer = explainer_for(model, algorithm(), nodes=None, returns=said)
    if said == returned:
        assert explainer(graph.x, graph.edge_index, index=1).edge_mask.max() == 1
        return
    with pytest.raises(UnsupportedModelError, match=f"expected a model that returns {said!r}, .*return_type='raw'"):
        explainer(graph.x, graph.edge_index, index=1)
    with pytest.raises(UnsupportedModelError, match=f"returns {said!r}"):
        explain_many(explainer_for(model, returns=said), graph, [1], progress=False)


@pytest.mark.parametrize("algorithm", [GradientContextExplainer, EdgeGradientExplainer, OcclusionExplainer])
def test_probabilities_are_no_scores(gcn, graph, algorithm):
    """Of which a softmax would be taken once more."""
    explainer = explainer_for(Returning(gcn.eval(), RETURNED["probs"]), algorithm(), nodes=None, returns="raw")
    with pytest.raises(UnsupportedModelError, match=r"returns 'raw', .* got probabilities; .*return_type='probs'"):
        explainer(graph.x, graph.edge_index, index=1)
    for returned in ("raw", "log_probs"):
        explainer = explainer_for(Returning(gcn, RETURNED[returned]), algorithm(), nodes=None, returns="raw")
        assert explainer(graph.x, graph.edge_index, index=1).edge_mask.max() == 1


def test_what_a_model_returns_of_graphs_is_what_its_configuration_says(graph):
    torch.manual_seed(0)
    explainer = explainer_for(Returning(Pooled(3).eval(), RETURNED["raw"]), level="graph", returns="probs")
    with pytest.raises(UnsupportedModelError, match="returns 'probs'"):
        explain_many(explainer, [graph], progress=False)
    one = Returning(Pooled(1).eval(), lambda scores: scores + 5)
    with pytest.raises(UnsupportedModelError, match=r"returns 'probs', .* got 4\.\d+ to|got 5\.\d+ to"):
        explain_many(explainer_for(one, level="graph", returns="probs", **BINARY), [graph], progress=False)


def test_what_many_nodes_share_has_no_rank(graph):
    """An influence of zero, which most of these nodes have, is above none of them and below few."""
    torch.manual_seed(0)
    context = GradientContext.from_field(
        torch.tensor([[0.0, 0.0]] * 7 + [[1.0, 0.0], [0.0, 2.0], [3.0, 0.0]]),
        torch.stack([torch.arange(10), (torch.arange(10) + 1) % 10]),
        "self",
    )
    influence = FEATURES.index("influence")
    facts = [row[influence] for row in psi_facts(context, torch.arange(10))[0]]
    below, above = (share[:, influence].tolist() for share in context.shares(torch.arange(10)))
    assert any(fact.valid and fact.rank is None for fact in facts)
    for fact, smaller, larger in zip(facts, below, above, strict=True):
        if fact.rank is not None:
            assert fact.rank == pytest.approx(smaller if fact.rank >= 0.5 else 1 - larger)


@given(st.integers(0, 99))
def test_no_word_says_of_learning_what_is_not_so(seed):
    """High conflict is that of nodes that learned against their neighbours; and neighbours that agree are not apart."""
    generator = torch.Generator().manual_seed(seed)
    common = 3 * torch.rand((), generator=generator)
    field = torch.randn(12, 3, generator=generator) + common * torch.tensor([1.0, 1.0, 1.0])
    context = GradientContext.from_field(field, torch.randint(12, (2, 40), generator=generator), "self")
    conflict, stability = (FEATURES.index(name) for name in ("conflict", "stability"))
    for node, row in enumerate(psi_facts(context, torch.arange(12))[0]):
        third = int(3 * float(context.rank[node, conflict])) if row[conflict].valid else None
        if row[conflict].band == "high":
            assert third >= 2
            assert float(context.alignment[node]) <= 0
        elif third is not None and third >= 2:
            assert float(context.alignment[node]) > 0
        if row[stability].valid:
            assert row[stability].band != "low" or row[stability].value <= 0.45
            assert row[stability].band != "high" or row[stability].value >= 0
            assert row[stability].band == "high" or row[stability].value <= 0.9


def test_where_all_learned_alike_nobody_was_in_conflict():
    """The field of a ring whose nodes are all the same: rounding makes a conflict of each, and ranks of these."""
    ring = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
    field = torch.ones(12, 3) + 1e-4 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
    context = GradientContext.from_field(field, torch.cat([ring, ring.flip(0)], dim=1), "self")
    bands = [{fact.name: fact.band for fact in row} for row in psi_facts(context, torch.arange(12))[0]]
    assert {band["conflict"] for band in bands} == {"low"}
    assert {band["stability"] for band in bands} == {"high"}


class Headed(nn.Module):
    """A model that says what one of its heads does."""

    def __init__(self):
        super().__init__()
        self.heads, self.head = nn.ModuleList(GCN(3, 8, num_layers=2, out_channels=3) for _ in range(2)), 0

    def forward(self, x, edge_index):
        return self.heads[self.head](x, edge_index)


def test_a_setting_that_is_an_integer_is_no_other_models_memory(graph):
    torch.manual_seed(0)
    model = Headed().eval()
    explainer = explainer_for(model)
    for head in (0, 1):
        model.head = head
        found = explainer(graph.x, graph.edge_index, index=1)
        assert torch.equal(found.psi, explainer_for(model)(graph.x, graph.edge_index, index=1).psi)


def test_explanations_know_whether_labels_are_explained(gcn, graph):
    graph.y = wrong_labels(gcn.eval(), graph)
    graphs = [Data(x=graph.x, edge_index=graph.edge_index, y=torch.tensor([number])) for number in range(3)]
    torch.manual_seed(0)
    for model, level, data in ((gcn, "node", graph), (Pooled(3).eval(), "graph", graphs)):
        labelled = explain_many(explainer_for(model, level=level, kind="phenomenon"), data, progress=False)
        predicted = explain_many(explainer_for(model, level=level), data, progress=False)
        assert (labelled.explains_labels, predicted.explains_labels) == (True, False)
        assert torch.equal(labelled.explained, labelled.label)
        assert torch.equal(predicted.explained, predicted.prediction)


@pytest.mark.parametrize("flow", ["source_to_target", "target_to_source"])
def test_explanations_know_which_way_messages_go(graph, flow):
    model = GCN(3, 8, num_layers=2, out_channels=3, flow=flow)
    assert explain_many(explainer_for(model), graph, [1], progress=False).flow == flow


@pytest.mark.parametrize("unknown", [-1, torch.nan])
def test_what_has_no_label_is_named(gcn, graph, unknown):
    graph.y = torch.zeros(10, dtype=torch.long if unknown == -1 else torch.float)
    graph.y[7] = unknown
    explainer = explainer_for(gcn, kind="phenomenon")
    with pytest.raises(InvalidGraphError, match=r"a label of each node, node 7 has none; .* by index="):
        explain_many(explainer, graph, progress=False)
    assert len(explain_many(explainer, graph, [0, 1], progress=False)) == 2
    graphs = [Data(x=graph.x, edge_index=graph.edge_index, y=graph.y[number]) for number in (0, 7, 1)]
    explainer = explainer_for(Pooled(3), level="graph", kind="phenomenon")
    with pytest.raises(InvalidGraphError, match=r"a label of each graph, graph 1 has none; .* by index="):
        explain_many(explainer, graphs, progress=False)
    assert len(explain_many(explainer, graphs, [0, 2], progress=False)) == 2
