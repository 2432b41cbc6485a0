"""An explanation leaves no trace, and is the same every time."""

from __future__ import annotations

import copy
import gc
import pickle
from typing import ClassVar

import pytest
import torch
from gnns import BACKBONES, Embedded, assert_same_state, explainer_for, state_of
from torch import nn
from torch_geometric.explain import CaptumExplainer, GNNExplainer
from torch_geometric.explain.algorithm.utils import set_masks
from torch_geometric.nn import GCN, GCNConv

from gragr_explain import GradientContextExplainer, GradientRecorder, explain_many
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.explain._memo import Memo
from gragr_explain.messages import edge_mask_applied


def build(backbone: str, **kwargs) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[backbone](3, 8, num_layers=2, out_channels=3, **kwargs)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_nothing_is_left_behind(backbone, training, graph):
    model = build(backbone, norm="batch_norm", dropout=0.5).train(training)
    model(graph.x, graph.edge_index).sum().backward()  # gradients of the user's own
    x, edge_index = graph.x.clone(), graph.edge_index.clone()
    before = state_of(model)
    explainer = explainer_for(model)
    for index in (1, torch.tensor([0, 7]), None):
        explainer(graph.x, graph.edge_index, index=index)
    explain_many(explainer, graph, [1, 2], progress=False)
    assert_same_state(before, state_of(model))
    assert model.training == training
    assert torch.equal(graph.x, x)
    assert torch.equal(graph.edge_index, edge_index)
    assert graph.x.grad is None
    assert not graph.x.requires_grad


def test_requires_grad_of_the_input_is_left_alone(gcn, graph):
    x = graph.x.clone().requires_grad_()
    explanation = explainer_for(gcn)(x, graph.edge_index, index=1)
    assert x.requires_grad
    assert x.grad is None
    assert not explanation.edge_mask.requires_grad
    assert not explanation.node_mask.requires_grad
    assert not explanation.psi.requires_grad
    assert not explanation.embedding.requires_grad


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCNConv(3, 8), GCNConv(8, 3)
        self.calls = 0
        self.fails_at: int | None = None

    def forward(self, x, edge_index):
        self.calls += 1
        h = self.first(x, edge_index)
        if self.calls == self.fails_at:
            raise KeyError("in the middle")
        return self.second(h, edge_index)


@pytest.mark.parametrize("fails_at", [1, 2])
@pytest.mark.parametrize("training", [True, False])
def test_nothing_is_left_behind_by_a_failure(fails_at, training, graph):
    model = Failing().train(training)
    explainer = explainer_for(model)
    target = explainer.get_target(explainer.get_prediction(graph.x, graph.edge_index))
    model.calls, model.fails_at = 0, fails_at
    before = state_of(model)
    with pytest.raises(KeyError, match="in the middle"):
        explainer.algorithm(model, graph.x, graph.edge_index, target=target, index=1)
    model.calls = 0
    assert_same_state(before, state_of(model))
    assert model.training == training
    model.fails_at = None
    assert explainer(graph.x, graph.edge_index, index=1).edge_mask.any()


def test_an_interrupted_batch_restores_training_mode(graph):
    model = Failing().train()
    model.fails_at = 2
    with pytest.raises(KeyError):
        explain_many(explainer_for(model), graph, progress=False)
    assert model.training


def test_a_mask_is_gone_after_an_exception(gcn, graph):
    before = state_of(gcn)
    with pytest.raises(ZeroDivisionError), edge_mask_applied(gcn, torch.zeros(graph.num_edges), graph.edge_index):
        raise ZeroDivisionError
    assert_same_state(before, state_of(gcn))


def test_a_mask_of_zeros_cuts_every_edge(gcn, graph):
    gcn.eval()
    alone = gcn(graph.x, graph.edge_index[:, :0])
    with edge_mask_applied(gcn, torch.zeros(graph.num_edges), graph.edge_index):
        masked = gcn(graph.x, graph.edge_index)
    assert not torch.allclose(alone[1], gcn(graph.x, graph.edge_index)[1])
    assert torch.equal(masked[9], alone[9])
    assert torch.equal(gcn(graph.x, graph.edge_index), gcn(graph.x, graph.edge_index))


def others(kind: str):
    if kind == "captum":
        pytest.importorskip("captum")
        return CaptumExplainer("InputXGradient")
    return GNNExplainer(epochs=3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("other", ["gnn", "captum"])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_before_and_after_other_explainers(backbone, other, graph):
    clean, model = build(backbone), build(backbone)
    expected = explainer_for(clean)(graph.x, graph.edge_index, index=1)
    other_explainer = explainer_for(model, others(other))
    other_explainer(graph.x, graph.edge_index, index=1)
    left = state_of(model)

    explanation = explainer_for(model)(graph.x, graph.edge_index, index=1)

    torch.testing.assert_close(explanation.edge_evidence, expected.edge_evidence)
    torch.testing.assert_close(explanation.node_evidence, expected.node_evidence)
    assert_same_state(left, state_of(model))
    assert other_explainer(graph.x, graph.edge_index, index=1).edge_mask.isfinite().all()
    again = explainer_for(model)(graph.x, graph.edge_index, index=1)
    assert torch.equal(again.edge_evidence, explanation.edge_evidence)
    assert model.state_dict().keys() == clean.state_dict().keys()


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_explanations_are_identical_bit_for_bit(backbone, graph):
    def explain():
        model = build(backbone)
        with GradientRecorder(model, graph):
            model(graph.x, graph.edge_index).sum().backward()
        return explainer_for(model)(graph.x, graph.edge_index, index=torch.tensor([1, 7]))

    first, second = explain(), explain()
    for name in ("edge_evidence", "edge_mask", "node_evidence", "node_mask", "psi", "psi_valid", "embedding"):
        assert torch.equal(first[name], second[name]), name
    assert first.rationale == second.rationale


def test_the_global_random_state_is_left_alone(gcn, graph):
    state = torch.random.get_rng_state()
    explainer = explainer_for(gcn.train())
    explainer(graph.x, graph.edge_index, index=1)
    explain_many(explainer, graph, progress=False)
    assert torch.equal(torch.random.get_rng_state(), state)


# what is remembered --------------------------------------------------------------------------------------------------


class Counted(GCN):
    calls: ClassVar[int] = 0  # of the class: an attribute of the model that changes makes another model of it

    def forward(self, *args, **kwargs):
        Counted.calls += 1
        return super().forward(*args, **kwargs)


def fresh(model, x, edge_index, **kwargs):
    return explainer_for(copy.deepcopy(model))(x, edge_index, **kwargs)


def test_what_explanations_share_is_computed_once(graph):
    model = Counted(3, 8, num_layers=2, out_channels=3)
    explainer = explainer_for(model, GradientContextExplainer(search_edges=0))
    explainer(graph.x, graph.edge_index, index=1)
    calls = model.calls  # PyG's prediction, the shared context, how parts can be cut, the evidence, the change
    explainer(graph.x, graph.edge_index, index=2)
    assert model.calls == calls + 3


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.Adam(parameters, lr=0.5),
        lambda parameters: torch.optim.Adam(parameters, lr=0.5, fused=True),
        lambda parameters: torch.optim.SGD(parameters, lr=5.0, foreach=True),
    ],
    ids=["Adam", "fused", "foreach"],
)
def test_an_optimiser_step_is_noticed(optimizer, gcn, graph):
    explainer = explainer_for(gcn)
    old = explainer(graph.x, graph.edge_index, index=1)
    steps = optimizer(gcn.parameters())
    gcn(graph.x, graph.edge_index).square().sum().backward()
    steps.step()
    explanation = explainer(graph.x, graph.edge_index, index=1)
    expected = fresh(gcn, graph.x, graph.edge_index, index=1)
    assert not torch.equal(explanation.psi, old.psi)
    assert torch.equal(explanation.psi, expected.psi)
    assert explanation.rationale == expected.rationale


def write_through_data(model):
    model.convs[0].lin.weight.data *= 3


def replace_data(model):
    nn.utils.vector_to_parameters(3 * nn.utils.parameters_to_vector(model.parameters()).detach(), model.parameters())


def load(model):
    model.load_state_dict({name: 3 * value for name, value in model.state_dict().items()})


@pytest.mark.parametrize("change", [write_through_data, replace_data, load])
def test_other_weights_are_noticed(change, gcn, graph):
    explainer = explainer_for(gcn)
    explainer(graph.x, graph.edge_index, index=1)
    change(gcn)
    explanation = explainer(graph.x, graph.edge_index, index=1)
    assert torch.equal(explanation.psi, fresh(gcn, graph.x, graph.edge_index, index=1).psi)


def test_other_features_and_edges_are_noticed(gcn, graph):
    explainer = explainer_for(gcn)
    before = explainer(graph.x, graph.edge_index, index=1).psi
    graph.x[0] += 5
    changed = explainer(graph.x, graph.edge_index, index=1).psi
    assert not torch.equal(before, changed)
    assert torch.equal(changed, fresh(gcn, graph.x, graph.edge_index, index=1).psi)
    graph.edge_index[:, 0] = torch.tensor([8, 2])
    rewired = explainer(graph.x, graph.edge_index, index=1).psi
    assert torch.equal(rewired, fresh(gcn, graph.x, graph.edge_index, index=1).psi)


def test_what_is_written_unseen_is_noticed(gcn, graph):
    shared = graph.x.numpy().copy()
    x = torch.from_numpy(shared)
    explainer = explainer_for(gcn)
    explainer(x, graph.edge_index, index=1)
    shared *= -1
    assert torch.equal(explainer(x, graph.edge_index, index=1).psi, fresh(gcn, x, graph.edge_index, index=1).psi)
    x.data.mul_(3)
    assert torch.equal(explainer(x, graph.edge_index, index=1).psi, fresh(gcn, x, graph.edge_index, index=1).psi)


@pytest.mark.parametrize("act", [nn.Sigmoid(), torch.sigmoid])
def test_another_activation_is_noticed(act, graph):
    model = GCN(3, 8, num_layers=2, out_channels=3, act=nn.Tanh() if isinstance(act, nn.Module) else torch.tanh)
    explainer = explainer_for(model)
    explainer(graph.x, graph.edge_index, index=1)
    model.act = act
    explanation = explainer(graph.x, graph.edge_index, index=1)
    assert torch.equal(explanation.psi, fresh(model, graph.x, graph.edge_index, index=1).psi)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda found: pickle.loads(pickle.dumps(found))])
def test_an_explainer_that_was_used_can_be_copied_and_stored(duplicate, gcn, graph):
    explainer = explainer_for(gcn)
    expected = explainer(graph.x, graph.edge_index, index=1)
    assert torch.equal(duplicate(explainer)(graph.x, graph.edge_index, index=1).edge_mask, expected.edge_mask)


def test_another_target_is_noticed(gcn, graph):
    explainer = explainer_for(gcn, kind="phenomenon")
    zeros, ones = torch.zeros(10).long(), torch.ones(10).long()
    first = explainer(graph.x, graph.edge_index, target=zeros, index=1)
    second = explainer(graph.x, graph.edge_index, target=ones, index=1)
    assert not torch.equal(first.psi, second.psi)
    zeros += 2
    third = explainer(graph.x, graph.edge_index, target=zeros, index=1)
    expected = explainer_for(gcn, kind="phenomenon")(graph.x, graph.edge_index, target=zeros, index=1)
    assert torch.equal(third.psi, expected.psi)


def test_another_argument_is_noticed(gcn, graph):
    explainer = explainer_for(gcn)
    weight = torch.rand(graph.num_edges)
    first = explainer(graph.x, graph.edge_index, index=1, edge_weight=weight)
    weight *= 4
    second = explainer(graph.x, graph.edge_index, index=1, edge_weight=weight)
    assert not torch.equal(first.psi, second.psi)
    assert not torch.equal(second.psi, explainer(graph.x, graph.edge_index, index=1).psi)


def test_another_history_is_noticed(gcn, graph):
    with GradientRecorder(gcn, graph) as first:
        gcn(graph.x, graph.edge_index).square().sum().backward()
    explainer = explainer_for(gcn)
    old = explainer(graph.x, graph.edge_index, index=1)
    other = copy.deepcopy(first)
    other.fields["self"].mean += torch.randn(10, 8)
    other.attach(gcn)  # the weights are the same, the history has as many steps
    assert not torch.equal(explainer(graph.x, graph.edge_index, index=1).psi, old.psi)


def test_memory_holds_no_graph_alive(gcn, graph):
    import weakref

    explainer = explainer_for(gcn)
    x = graph.x.clone()
    explainer(x, graph.edge_index, index=1)
    gone = weakref.ref(x)
    del x
    gc.collect()
    assert gone() is None


def test_memo():
    memo: Memo[int] = Memo()
    calls = []
    tensor, linear, shared = torch.zeros(2), nn.BatchNorm1d(2), {"a": 1}

    def get(*sources):
        return memo.get(sources, lambda: calls.append(0) or len(calls))

    assert [get(tensor, linear, None, "ego", 1), get(tensor, linear, None, "ego", 1)] == [1, 1]
    assert get(tensor, linear, None, "graph", 1) == 2
    assert get(tensor, linear, 1, "graph", 1) == 3
    assert get(tensor, linear, 1.0, "graph", 1) == 4
    assert get(tensor, linear) == 5
    assert get(tensor, linear) == 5
    tensor[0] = 1
    assert get(tensor, linear) == 6
    tensor[1] = torch.nan
    assert [get(tensor, linear), get(tensor, linear)] == [7, 7]
    linear.running_mean += 1
    assert get(tensor, linear) == 8
    linear.double()
    assert get(tensor, linear) == 9
    assert get(tensor.clone(), linear) == 10
    assert [get(shared), get(shared)] == [11, 12]  # whether a dictionary has changed, nobody can tell

    def fail():
        raise KeyError

    with pytest.raises(KeyError):
        memo.get((tensor,), fail)
    assert get(shared) == 13


def test_the_algorithm_is_no_place_for_the_model(gcn, graph):
    algorithm = GradientContextExplainer()
    explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=1)
    assert not list(algorithm.parameters())
    assert algorithm.state_dict() == {}


def test_a_model_of_integers_is_left_alone_too(graph):
    model, x = Embedded(), torch.arange(10) % 7
    before = state_of(model)
    explainer_for(model, nodes=None)(x, graph.edge_index, index=1)
    assert_same_state(before, state_of(model))


def test_masks_that_are_in_use_stay_in_use(gcn, graph):
    mask = torch.rand(graph.num_edges)
    gcn.eval()
    set_masks(gcn, mask, graph.edge_index, apply_sigmoid=False)
    before, output = state_of(gcn), gcn(graph.x, graph.edge_index)
    explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    assert_same_state(before, state_of(gcn))
    assert torch.equal(gcn(graph.x, graph.edge_index), output)


def test_edges_of_another_number_in_the_middle(graph):
    class Adds(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = GCNConv(3, 8), GCNConv(8, 3)

        def forward(self, x, edge_index):
            h = self.first(x, edge_index)
            extra = torch.cat([edge_index, torch.tensor([[0], [9]])], dim=1)
            return self.second(h, extra)

    model = Adds()
    before = state_of(model)
    with pytest.raises(UnsupportedModelError, match=r"GCNConv.*other edges"):
        explainer_for(model).algorithm(model, graph.x, graph.edge_index, target=torch.zeros(10).long(), index=1)
    assert_same_state(before, state_of(model))
