"""The training nodes behind a prediction, beside its explanation."""

from __future__ import annotations

import pytest
import torch
from gnns import explainer_for
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain import GradientContextExplainer, GraGR
from gragr_explain.context import influences
from gragr_explain.errors import InvalidGraphError, InvalidTypeError
from gragr_explain.explain import _explainer


@pytest.fixture
def data(graph: Data) -> Data:
    graph.y = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])
    graph.train_mask = torch.arange(10) < 6
    return graph


@pytest.fixture
def trained(data: Data) -> GraGR:
    torch.manual_seed(0)
    return GraGR(GCN(3, 8, num_layers=2, out_channels=3)).fit(data, epochs=20, progress=False)


def test_an_explanation_has_the_influences_on_its_prediction(trained, data):
    explainer = explainer_for(trained, GradientContextExplainer(train_data=data))
    plain = explainer_for(trained)(data.x, data.edge_index, index=7)
    explanation = explainer(data.x, data.edge_index, index=7)
    expected = influences(trained, data, 7)
    assert plain.influences is None
    assert "influences" not in plain
    assert torch.equal(explanation.influences.scores, expected.scores)
    assert explanation.influences.target.tolist() == [int(trained(data.x, data.edge_index)[7].argmax())]
    assert explanation.influences.proponents() == expected.proponents()
    for key in ("edge_mask", "node_mask", "edge_evidence", "psi"):
        assert torch.equal(explanation[key], plain[key])
    assert explanation.rationale == plain.rationale


def test_what_all_explanations_share_is_made_once(trained, data, monkeypatch):
    made = []
    kind = _explainer.TrainedOn
    monkeypatch.setattr(_explainer, "TrainedOn", lambda *given: made.append(1) or kind(*given))
    explainer = explainer_for(trained, GradientContextExplainer(train_data=data))
    found = [explainer(data.x, data.edge_index, index=node).influences.scores for node in (1, 2, 1)]
    assert made == [1]
    assert torch.equal(found[0], found[2])
    data.y[0] = 1  # another label is another training
    explainer(data.x, data.edge_index, index=1)
    assert made == [1, 1]


def test_of_several_outputs_and_of_a_phenomenon(trained, data):
    algorithm = GradientContextExplainer(train_data=data)
    several = explainer_for(trained, algorithm)(data.x, data.edge_index, index=torch.tensor([8, 2]))
    assert several.influences.index.tolist() == [8, 2]
    explainer = explainer_for(trained, GradientContextExplainer(train_data=data), kind="phenomenon")
    asked = explainer(data.x, data.edge_index, target=data.y, index=9)
    assert asked.influences.target.tolist() == [0]
    assert torch.equal(asked.influences.scores, influences(trained, data, 9, target=0).scores)


def test_a_model_whose_training_was_not_recorded(data):
    model = GCN(3, 8, num_layers=2, out_channels=3)
    explanation = explainer_for(model, GradientContextExplainer(train_data=data))(data.x, data.edge_index, index=1)
    assert explanation.psi_source == "post hoc"
    assert torch.equal(explanation.influences.scores, influences(model, data, 1).scores)


def test_bad_input(trained, data):
    with pytest.raises(InvalidTypeError, match=r"train_data .* got dict"):
        GradientContextExplainer(train_data={})
    without = Data(x=data.x, edge_index=data.edge_index, y=data.y)
    explainer = explainer_for(trained, GradientContextExplainer(train_data=without))
    with pytest.raises(InvalidGraphError, match="train_mask"):
        explainer(data.x, data.edge_index, index=1)


def test_another_graph_has_other_nodes(data):
    """The history would refuse it; without one, its node 3 is none of those that the model was trained on."""
    torch.manual_seed(0)
    model = GCN(3, 8, num_layers=2, out_channels=3)
    explainer = explainer_for(model, GradientContextExplainer(train_data=data))
    with pytest.raises(InvalidGraphError, match=r"expected train_data to be the graph .* got other features"):
        explainer(data.x + 1, data.edge_index, index=3)
    with pytest.raises(InvalidGraphError, match="got other edges"):
        explainer(data.x, data.edge_index[:, 1:], index=3)
    copies = data.x.clone(), data.edge_index.clone()
    assert torch.equal(explainer(*copies, index=3).influences.scores, influences(model, data, 3).scores)


def test_other_edge_weights_are_other_influences(data):
    torch.manual_seed(0)
    data.edge_weight = torch.rand(data.num_edges)
    trained = GraGR(GCN(3, 8, num_layers=2, out_channels=3)).fit(data, epochs=20, progress=False)
    explainer = explainer_for(trained, GradientContextExplainer(train_data=data))
    first = explainer(data.x, data.edge_index, index=7, edge_weight=data.edge_weight).influences.scores
    data.edge_weight = data.edge_weight**3
    found = explainer(data.x, data.edge_index, index=7, edge_weight=data.edge_weight).influences.scores
    assert torch.equal(found, influences(trained, data, 7).scores)
    assert not torch.equal(found, first)
