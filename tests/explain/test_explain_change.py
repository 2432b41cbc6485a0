"""What is predicted without the strongest edges: measured, and the same one at a time and for many."""

from __future__ import annotations

import copy

import pytest
import torch
from gnns import BACKBONES, Net, explainer_for, supporting
from torch import nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn import GCN, GCNConv, global_add_pool

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.explain._strongest import among_strongest, strongest_edges, strongest_features
from gragr_explain.messages import edge_mask_applied
from gragr_explain.rationale import ChangeFact, check_grounding

OPTIONS = [{}, {"search_edges": 0}, {"search_edges": 3}, {"evidence": "uses"}]


def random_graph(seed: int, num_nodes: int = 14, num_edges: int = 40) -> Data:
    generator = torch.Generator().manual_seed(seed)
    edge_index = torch.randint(0, num_nodes, (2, num_edges), generator=generator)
    x = torch.randn(num_nodes, 3, generator=generator, dtype=torch.float64)
    return Data(x=x, edge_index=edge_index[:, edge_index[0] != edge_index[1]])


def strongest_first(mask: torch.Tensor) -> list[int]:
    weights = mask.tolist()
    return sorted((edge for edge, weight in enumerate(weights) if weight > 0), key=lambda edge: (-weights[edge], edge))


def left_of(num_edges: int, gone: list[int]) -> list[int]:
    return [edge for edge in range(num_edges) if edge not in gone]


def expected_change(output_without, mask, prediction: int) -> ChangeFact | None:
    """The same by trying one number of edges after another; ``output_without`` takes a list of edges."""
    order, found = strongest_first(mask), None
    for count in (1, 2, 3, 5, 10) if order else ():
        probability = output_without(order[:count]).softmax(-1)
        found = ChangeFact(
            min(count, len(order)), f"class {int(probability.argmax())}", pytest.approx(float(probability.max()))
        )
        if int(probability.argmax()) != prediction:
            break
    return found


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_it_is_measured_by_running_the_model_without_the_edges(backbone, options):
    torch.manual_seed(3)
    model = BACKBONES[backbone](3, 8, num_layers=2, out_channels=3).double().eval()
    data = random_graph(3)
    explainer = explainer_for(model, GradientContextExplainer(**options))
    found = explain_many(explainer, data, progress=False)
    changed = []
    for node in range(data.num_nodes):
        one = explainer(data.x, data.edge_index, index=node)

        def without(edges, node=node):
            with torch.no_grad():
                return model(data.x, data.edge_index[:, left_of(data.num_edges, edges)])[node]

        assert one.change == expected_change(without, supporting(explainer, one), int(found.prediction[node]))
        assert (found.changes[node] is None) == (one.change is None)
        if one.change is not None:
            assert found.changes[node] == ChangeFact(
                one.change.removed, one.change.prediction, pytest.approx(one.change.confidence)
            )
            changed.append(one.change.prediction != found.class_name(int(found.prediction[node])))
    assert {True, False} == set(changed)


class Holding(nn.Module):
    """Holds on to the edges of its graph, by a parameter for each, or by what a layer keeps of them."""

    def __init__(self, num_edges: int, cached: bool) -> None:
        super().__init__()
        self.first, self.second = GCNConv(3, 8, cached=cached), GCNConv(8, 3)
        self.weight = None if cached else nn.Parameter(torch.rand(num_edges))

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index, self.weight).relu(), edge_index, self.weight)


@pytest.mark.parametrize("cached", [True, False])
def test_of_edges_that_a_model_holds_on_to_the_messages_are_gone(cached):
    torch.manual_seed(1)
    data = random_graph(1)
    model = Holding(data.num_edges, cached).double().eval()
    explainer = explainer_for(model)
    for node in range(data.num_nodes):
        one = explainer(data.x, data.edge_index, index=node)

        def without(edges, node=node):
            kept = torch.ones(data.num_edges, dtype=torch.float64)
            kept[edges] = 0
            with torch.no_grad(), edge_mask_applied(model, kept, data.edge_index):
                return model(data.x, data.edge_index)[node]

        with torch.no_grad():
            prediction = int(model(data.x, data.edge_index)[node].argmax())
        assert one.change == expected_change(without, supporting(explainer, one), prediction)


def test_weights_and_attributes_of_edges_go_with_them():
    torch.manual_seed(3)
    data = random_graph(5)
    data.edge_weight = torch.rand(data.num_edges, dtype=torch.float64)
    model = GCN(3, 8, num_layers=2, out_channels=3).double().eval()
    explainer = explainer_for(model)
    found = explain_many(explainer, data, progress=False)
    for node in range(data.num_nodes):
        one = explainer(data.x, data.edge_index, index=node, edge_weight=data.edge_weight)

        def without(edges, node=node):
            left = left_of(data.num_edges, edges)
            with torch.no_grad():
                return model(data.x, data.edge_index[:, left], edge_weight=data.edge_weight[left])[node]

        expected = expected_change(without, supporting(explainer, one), int(found.prediction[node]))
        assert one.change == expected
        assert found.changes[node] == expected


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = GCNConv(3, 8), nn.Linear(8, 3)

    def forward(self, x, edge_index, batch=None):
        return self.head(global_add_pool(self.conv(x, edge_index).relu(), batch))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_graphs(options):
    torch.manual_seed(2)
    model = Pooled().double().eval()
    graphs = [random_graph(seed, 5 + seed, 12) for seed in range(8)] + [random_graph(9, 4, 0)]
    explainer = explainer_for(model, GradientContextExplainer(**options), level="graph")
    found = explain_many(explainer, graphs, progress=False)
    for number, graph in enumerate(graphs):
        one = explainer(graph.x, graph.edge_index)

        def without(edges, graph=graph):
            with torch.no_grad():
                return model(graph.x, graph.edge_index[:, left_of(graph.num_edges, edges)])[0]

        expected = expected_change(without, supporting(explainer, one), int(found.prediction[number]))
        assert one.change == expected
        assert found.changes[number] == expected
    assert found.changes[-1] is None


def test_the_text_says_it(graph):
    torch.manual_seed(0)
    names = ["red", "green", "blue"]
    explainer = explainer_for(GCN(3, 8, num_layers=2, out_channels=3), GradientContextExplainer(class_names=names))
    found = explain_many(explainer, graph, progress=False)
    for change, prediction, rationale in zip(found.changes, found.prediction.tolist(), found.rationales, strict=True):
        if change is None:
            assert "As no connection supports it, what would change this prediction was not measured." in rationale.text
        else:
            said = "would still be predicted" if change.prediction == names[prediction] else "it would be predicted"
            assert f'{said} as "{change.prediction}"' in rationale.text
            assert change.removed == 1 or f"without its {change.removed} strongest" in rationale.text.lower()
    assert None in found.changes  # the isolated node
    assert len(set(found.changes)) > 2


@pytest.mark.parametrize(("mode", "returns"), [("binary_classification", "raw"), ("binary_classification", "probs"),
                                               ("multiclass_classification", "log_probs")])  # fmt: skip
@pytest.mark.parametrize("level", ["node", "edge", "graph"])
def test_other_modes_and_levels(level, mode, returns, graph):
    torch.manual_seed(0)
    explainer = explainer_for(Net(mode, level, returns), level=level, mode=mode, returns=returns)
    ends = {"edge_label_index": torch.tensor([[1], [4]])} if level == "edge" else {}
    index = {"node": 1, "edge": 0, "graph": None}[level]
    explanation = explainer(graph.x, graph.edge_index, index=index, **ends)
    assert 1 <= explanation.change.removed <= 10
    assert 0 < explanation.change.confidence <= 1
    assert f"({explanation.change.confidence:.0%})" in explanation.rationale


def test_where_nothing_is_measured(gcn, graph):
    several = explainer_for(gcn)(graph.x, graph.edge_index)
    assert several.change is None
    assert "change" not in several
    isolated = explainer_for(gcn)(graph.x, graph.edge_index, index=9)
    assert isolated.change is None
    regression = explainer_for(Net("regression", "node", "raw"), mode="regression")
    assert regression(graph.x, graph.edge_index, index=1).change is None
    assert set(explain_many(regression, graph, progress=False).changes) == {None}


def test_evidence_for_another_class_than_the_predicted_says_nothing_of_the_prediction(gcn, graph):
    explainer = explainer_for(gcn, kind="phenomenon")
    predicted = explain_many(explainer_for(gcn), graph, progress=False).prediction
    graph.y = predicted.clone()
    graph.y[1] = (predicted[1] + 1) % 3
    found = explain_many(explainer, graph, [1, 2], progress=False)
    assert found.changes[0] is None
    assert found.changes[1] is not None


def test_an_explanation_with_a_change_is_still_one_of_pyg(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    assert explanation.change is not None
    assert explanation.validate()
    assert explanation.get_explanation_subgraph().change == explanation.change
    assert explanation.get_complement_subgraph().change == explanation.change
    assert copy.copy(explanation).change == copy.deepcopy(explanation).change == explanation.change
    assert explanation.to("cpu").clone().change == explanation.change
    together = Batch.from_data_list([Data(**explanation.to_dict()), Data(**explanation.to_dict())])
    assert together.change == [explanation.change] * 2


def test_texts_about_changes_are_grounded_in_them(gcn, graph):
    seen = []
    algorithm = GradientContextExplainer(
        writer=lambda facts: seen.extend(facts) or GradientContextExplainer().writer(facts)
    )
    found = explain_many(explainer_for(gcn, algorithm), graph, progress=False)
    assert [facts.change for facts in seen] == found.changes
    for facts, rationale in zip(seen, found.rationales, strict=True):
        assert check_grounding(rationale.text, facts) == ()


def test_the_edges_taken_away_are_those_that_are_named():
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 4, (30,), generator=generator) / 4
    part = torch.randint(0, 5, (30,), generator=generator)
    ends = torch.arange(30).repeat(2, 1)
    for count, chosen in zip((1, 3, 30), among_strongest(mask, part, 5, torch.tensor([1, 3, 30])), strict=True):
        named = strongest_edges(mask, ends, part, 5, count)
        assert sorted(edge for edges in named for edge, _, _ in edges) == chosen.nonzero().view(-1).tolist()


def test_features_without_a_finite_gradient_are_none_of_the_strongest():
    evidence = torch.tensor([[torch.nan, 2.0, torch.inf, 1.0], [-torch.inf, torch.nan, 0.0, -1.0]])
    assert strongest_features(evidence, 2) == [[(1, 1.0), (3, 0.5)], []]
