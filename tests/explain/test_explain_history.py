"""Where psi comes from: what was recorded, or the model as it is."""

from __future__ import annotations

import warnings

import pytest
import torch
import torch.nn.functional as F
from gnns import explainer_for
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain import (
    GradientContextExplainer,
    GradientHistory,
    GradientRecorder,
    GraGR,
    edit,
    explain_many,
    influences,
)
from gragr_explain.context import GradientContext, psi_features
from gragr_explain.errors import HistoryMismatchError, InvalidArgumentError, InvalidTypeError
from gragr_explain.field import gradient_attention
from gragr_explain.history import FieldRecord, hidden_representation


@pytest.fixture
def trained(gcn, graph) -> GraGR:
    graph.y = torch.arange(10) % 3
    graph.train_mask = torch.arange(10) < 6
    torch.manual_seed(0)
    return GraGR(gcn).fit(graph, epochs=20, progress=False)


def test_a_recorded_history_is_found_and_used(trained, graph):
    explanation = explainer_for(trained)(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "self"
    probability = trained(graph.x, graph.edge_index).softmax(-1).amax(-1).detach()
    psi, valid = psi_features(trained.history.field("self"), graph.edge_index, probability)
    torch.testing.assert_close(explanation.psi, psi)
    assert torch.equal(explanation.psi_valid, valid)
    torch.testing.assert_close(explanation.embedding, trained.reasoner(psi, valid).detach())
    assert "trial learning step" not in explanation.rationale


def test_the_history_is_found_on_the_bare_model_too(trained, graph):
    wrapped = explainer_for(trained)(graph.x, graph.edge_index, index=1)
    bare = explainer_for(trained.model)(graph.x, graph.edge_index, index=1)
    assert bare.psi_source == "self"
    assert torch.equal(bare.psi, wrapped.psi)
    assert torch.equal(bare.edge_evidence, wrapped.edge_evidence)


def test_a_history_of_anybodys_loop(gcn, graph):
    with GradientRecorder(gcn, graph) as history:
        F.cross_entropy(gcn(graph.x, graph.edge_index), torch.arange(10) % 3).backward()
    assert explainer_for(gcn)(graph.x, graph.edge_index, index=1).psi_source == "self"
    del history.fields["self"]
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "training"
    assert torch.equal(explanation.psi[:, 0], psi_features(history.field("training"), graph.edge_index)[0][:, 0])


def test_post_hoc_psi_is_from_the_models_own_predictions(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "post hoc"
    hidden, output = hidden_representation(gcn.eval(), graph.x, graph.edge_index)
    loss = F.cross_entropy(output, output.argmax(-1), reduction="sum")
    (field,) = torch.autograd.grad(loss, hidden)
    psi, valid = psi_features(field, graph.edge_index, output.softmax(-1).amax(-1).detach())
    torch.testing.assert_close(explanation.psi, psi)
    assert torch.equal(explanation.psi_valid, valid)
    assert "trial learning step" in explanation.rationale


def test_post_hoc_psi_of_a_phenomenon_is_from_its_labels(gcn, graph):
    target = (torch.arange(10) + 1) % 3
    explanation = explainer_for(gcn, kind="phenomenon")(graph.x, graph.edge_index, target=target, index=1)
    hidden, output = hidden_representation(gcn.eval(), graph.x, graph.edge_index)
    (field,) = torch.autograd.grad(F.cross_entropy(output, target, reduction="sum"), hidden)
    psi, _ = psi_features(field, graph.edge_index, output.softmax(-1).amax(-1).detach())
    torch.testing.assert_close(explanation.psi, psi)


def test_history_can_be_left_out(trained, graph):
    explanation = explainer_for(trained, GradientContextExplainer(history=False))(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "post hoc"


def test_history_can_be_given(trained, graph, tmp_path):
    trained.history.save(tmp_path)
    loaded = GradientHistory.load(tmp_path)
    other = GCN(3, 8, num_layers=2, out_channels=3)
    other.load_state_dict(trained.model.state_dict())
    explanation = explainer_for(other, GradientContextExplainer(history=loaded))(graph.x, graph.edge_index, index=1)
    expected = explainer_for(trained)(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "self"
    torch.testing.assert_close(explanation.psi, expected.psi)
    torch.testing.assert_close(explanation.edge_evidence, expected.edge_evidence)


def test_history_of_another_graph(trained, graph):
    with pytest.raises(HistoryMismatchError, match=r"10 nodes .*, got one of 7; use .*history=False"):
        explainer_for(trained)(torch.randn(7, 3), torch.tensor([[0, 1], [1, 2]]), index=1)
    for x, edge_index in ((graph.x + 1, graph.edge_index), (graph.x, graph.edge_index[:, 1:])):
        with pytest.raises(HistoryMismatchError, match=r"other features or edges; use .*history=False"):
            explainer_for(trained)(x, edge_index, index=1)
    explainer = explainer_for(trained, GradientContextExplainer(history=False))
    assert explainer(torch.randn(7, 3), torch.tensor([[0, 1], [1, 2]]), index=1).psi_source == "post hoc"


def test_gradient_attention_weighs_the_edges(trained, graph):
    def evidence(weight: float) -> torch.Tensor:
        algorithm = GradientContextExplainer(history_weight=weight)
        return explainer_for(trained, algorithm)(graph.x, graph.edge_index, index=1).edge_evidence

    field = trained.history.field("self")
    attention = gradient_attention(F.normalize(field, dim=1), graph.edge_index)
    degree = torch.bincount(graph.edge_index[1], minlength=10)
    expected = evidence(0.0) * (attention * degree[graph.edge_index[1]]) ** 0.5
    torch.testing.assert_close(evidence(0.5), expected)
    assert not torch.allclose(evidence(0.0), evidence(1.0))
    without = explainer_for(trained, GradientContextExplainer(history=False))(graph.x, graph.edge_index, index=1)
    assert torch.equal(evidence(0.0), without.edge_evidence)


def test_psi_of_a_context_is_that_of_the_explanation(trained, graph):
    explainer = explainer_for(trained)
    explanation = explainer(graph.x, graph.edge_index, index=1)
    context = explainer.algorithm.context(trained, graph.x, graph.edge_index, target=explanation.target)
    assert isinstance(context.gradients, GradientContext)
    assert torch.equal(context.gradients.psi, explanation.psi)


@pytest.mark.parametrize("history", [True, "history", 3, {}])
def test_what_is_no_history(history):
    with pytest.raises(InvalidTypeError, match=f"got {type(history).__name__}"):
        GradientContextExplainer(history=history)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"history_weight": 1.5}, "got 1.5"), ({"history_weight": float("nan")}, "nan"), ({"scope": "node"}, "'node'")],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        GradientContextExplainer(**arguments)


def test_a_reasoner_of_an_earlier_training_is_not_used_again(trained, graph):
    """Recorded anew around another loop, the model's psi is new, and so is the Reasoner."""
    before = explainer_for(trained)(graph.x, graph.edge_index, index=0)
    with GradientRecorder(trained.model, graph):
        trained.train()
        trained(graph.x, graph.edge_index).pow(2).sum().backward()
    after = explainer_for(trained.eval())(graph.x, graph.edge_index, index=0)
    with torch.no_grad():
        assert torch.equal(before.embedding, trained.reasoner(before.psi, before.psi_valid))
        assert not torch.equal(after.embedding, trained.reasoner(after.psi, after.psi_valid))


def test_copies_of_an_edge_are_attended_to_like_one(gcn, graph):
    """Of edges that are all listed twice, each has the attention it has when listed once."""
    target = torch.zeros(10, dtype=torch.long)
    twice = torch.cat([graph.edge_index, graph.edge_index], dim=1)
    explainer = explainer_for(gcn.eval())
    history = GradientHistory()
    history.fields["self"] = FieldRecord.empty(torch.zeros(10, 8))
    history.fields["self"].update(torch.randn(10, 8, generator=torch.Generator().manual_seed(1)))
    history.fields["training"] = history.fields["self"]
    history.attach(gcn)
    once = explainer.algorithm.context(gcn, graph.x, graph.edge_index, target=target).attention
    both = explainer.algorithm.context(gcn, graph.x, twice, target=target).attention
    torch.testing.assert_close(both, torch.cat([once, once]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_history_of_another_precision_than_the_model(dtype, graph):
    torch.manual_seed(0)
    graph.x, graph.y, graph.train_mask = graph.x.double(), torch.arange(10) % 3, torch.arange(10) < 6
    recorded = GraGR(GCN(graph.num_features, 8, num_layers=2, out_channels=3).double()).fit(
        graph, epochs=5, progress=False
    )
    algorithm = GradientContextExplainer(recorded.history, refine=True, search_edges=3)
    model, x = recorded.model.to(dtype), graph.x.to(dtype)
    explanation = explainer_for(model, algorithm)(x, graph.edge_index, index=1)
    assert explanation.edge_mask.dtype == dtype
    assert explanation.psi_source == "self"
    assert (explanation.edge_mask > 0.5).any()


@pytest.fixture
def weighted() -> Data:
    torch.manual_seed(0)
    edge_index = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]])
    data = Data(x=torch.rand(4, 3), edge_index=edge_index, y=torch.tensor([0, 1, 0, 1]), edge_weight=torch.rand(6))
    data.train_mask = torch.ones(4, dtype=torch.bool)
    return data


@pytest.mark.parametrize("saved", [False, True])
def test_what_the_model_was_trained_with_is_missed(weighted, saved, tmp_path):
    trained = GraGR(GCN(3, 4, 2, 2)).fit(weighted, epochs=2, progress=False)
    assert trained.history.arguments == {"edge_weight"}
    trained.history.save(tmp_path / "history")
    algorithm = GradientContextExplainer(history=GradientHistory.load(tmp_path / "history") if saved else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explainer = explainer_for(trained, algorithm)
        explainer(weighted.x, weighted.edge_index, index=1, edge_weight=weighted.edge_weight)
        explainer_for(trained, GradientContextExplainer(history=False))(weighted.x, weighted.edge_index, index=1)
    bare = Data(x=weighted.x, edge_index=weighted.edge_index)
    said = r"trained with edge_weight, and is called without: hand it over, as in .*edge_index, edge_weight=\.\.\.\)"
    for explain in (
        lambda: explainer_for(trained, algorithm)(bare.x, bare.edge_index, index=1),
        lambda: explain_many(explainer_for(trained, algorithm), bare, progress=False),
    ):
        with pytest.warns(UserWarning, match=said):
            explain()


def test_what_the_model_was_not_trained_with_is_too_much(weighted):
    bare = Data(x=weighted.x, edge_index=weighted.edge_index, y=weighted.y, train_mask=weighted.train_mask)
    trained = GraGR(GCN(3, 4, 2, 2)).fit(bare, epochs=8, progress=False)
    explainer = explainer_for(trained, GradientContextExplainer())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain_many(explainer, bare, progress=False)
        influences(trained, bare, 1)
        edit(trained, bare, 1, 0, num_subsets=1)
    for ask in (
        lambda: explainer(weighted.x, weighted.edge_index, index=1, edge_weight=weighted.edge_weight),
        lambda: explain_many(explainer_for(trained, GradientContextExplainer()), weighted, progress=False),
        lambda: influences(trained, weighted, 1),
        lambda: edit(trained, weighted, 1, 0, num_subsets=1),
    ):
        with pytest.warns(UserWarning, match="trained without edge_weight, and is called with it: leave it out"):
            ask()


def test_a_wrapper_is_recorded_with_what_it_passes_on(weighted):
    class Wrapper(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = GCN(3, 4, 2, 2)

        def forward(self, *args, **kwargs):
            return self.model(*args, **kwargs)

    model = Wrapper()
    with GradientRecorder(model, weighted) as history:
        model(weighted.x, weighted.edge_index, weighted.edge_weight).sum().backward()
    assert history.arguments == {"edge_weight"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain_many(explainer_for(model.eval()), weighted, progress=False)


def test_a_recorder_listens_to_calls_of_all_kinds(weighted):
    class Mine(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = GCN(3, 4, 2, 2)

        def forward(self, features, edges, *, flag=True, **rest):
            return self.inner(features, edges, rest.get("weight"))

    model = Mine()
    with GradientRecorder(model, weighted) as history:
        model(features=weighted.x, edges=weighted.edge_index, flag=False).sum().backward()
        assert history.arguments == set()
        with pytest.raises(TypeError):
            model(weighted.x, weighted.edge_index, weighted.edge_weight)
        model(weighted.x, weighted.edge_index, weight=weighted.edge_weight).sum().backward()
    assert history.arguments == {"weight"}
    model(weighted.x, weighted.edge_index, other=weighted.edge_weight)  # the recording has ended
    assert history.arguments == {"weight"}
