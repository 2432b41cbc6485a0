"""Gradient attention in the forward pass (eqs. 5 and 6), through hooks on the layers' messages."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GATConv, GCNConv, GraphSAGE, SAGEConv

from gragr_explain import GraGR
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
from gragr_explain.errors import HistoryMismatchError, UnsupportedModelError
from gragr_explain.field import GraphOperator
from gragr_explain.history import class_log_probs, hidden_representation, message_edges
from gragr_explain.training import correct_field

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
KINDS = ["training", "predicted"]


def build(backbone: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, **options)


def no_hooks(model: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_propagate_forward_pre_hooks", "_message_forward_hooks")
    return not any(getattr(module, kind, None) for module in model.modules() for kind in kinds)


def with_attention(model: nn.Module, data: Data, alpha: Tensor) -> GraGR:
    trained = GraGR(model, attention="training").eval()
    graph = GraphOperator(message_edges(model, data.edge_index), data.num_nodes)
    trained.attend(alpha, graph, data.edge_index)
    return trained


def uniform(data: Data, flow: str = "source_to_target") -> Tensor:
    """By a loop: one over the number of distinct neighbours, shared among the copies of an edge."""
    edges = [(s, t) if flow == "source_to_target" else (t, s) for s, t in data.edge_index.t().tolist()]
    links = {(s, t) for s, t in edges if s != t}
    degree = {node: sum(t == node for _, t in links) for node in range(data.num_nodes)}
    return torch.tensor([0.0 if s == t else 1 / degree[t] / edges.count((s, t)) for s, t in edges])


def variant(name: str, make_data) -> Data:
    data = make_data(num_nodes=20, directed=name == "directed")
    loops = torch.arange(0, 20, 3).expand(2, -1)
    extra = {"self-loops": loops, "duplicates": data.edge_index[:, ::4], "both": torch.cat([loops, loops], 1)}
    if name in extra:
        order = torch.randperm(data.num_edges + extra[name].size(1), generator=torch.Generator().manual_seed(0))
        data.edge_index = torch.cat([data.edge_index, extra[name]], 1)[:, order]
    if name == "isolated":
        data.edge_index = data.edge_index[:, (data.edge_index > 3).all(0)]
    return data


# uniform attention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "directed", "self-loops", "duplicates", "both", "isolated"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_uniform_attention_leaves_the_model_as_it_is(backbone, name, make_data):
    data, model = variant(name, make_data), build(backbone).eval()
    trained = with_attention(model, data, uniform(data))
    torch.testing.assert_close(trained.attention, torch.ones(data.num_edges), rtol=0, atol=2e-7)
    found, own = trained(data.x, data.edge_index), model(data.x, data.edge_index)
    torch.testing.assert_close(found, own, rtol=1e-5, atol=1e-5)
    exact = torch.ones_like(trained.attention)
    trained.attention = exact
    assert torch.equal(trained(data.x, data.edge_index), own)


def test_uniform_attention_where_messages_travel_the_other_way(make_data):
    data = make_data(num_nodes=20, directed=True)
    model = GCN(5, 8, num_layers=2, out_channels=3, flow="target_to_source").eval()
    trained = with_attention(model, data, uniform(data, "target_to_source"))
    torch.testing.assert_close(trained.attention, torch.ones(data.num_edges), rtol=0, atol=2e-7)


def test_attention_scales_the_messages_of_the_edges(make_data):
    """A layer by hand: mean of alpha-weighted neighbours times their number, self-loops as they are."""
    data = variant("self-loops", make_data)
    layer = SAGEConv(5, 3).eval()
    alpha = torch.rand(data.num_edges)
    trained = with_attention(layer, data, alpha)
    source, target = data.edge_index
    degree = torch.tensor([len({s for s, t in data.edge_index.t().tolist() if t == v and s != v}) for v in range(20)])
    factor = torch.where(source == target, 1.0, alpha * degree[target])
    messages = factor.unsqueeze(-1) * data.x[source]
    total = torch.zeros_like(data.x).index_add_(0, target, messages)
    mean = total / torch.bincount(target, minlength=20).clamp(min=1).unsqueeze(-1)
    torch.testing.assert_close(trained(data.x, data.edge_index), layer.lin_l(mean) + layer.lin_r(data.x))


# what training makes of it -------------------------------------------------------------------------------------------


def dense_attention(field: Tensor, data: Data, beta: float) -> Tensor:
    """Eq. 5 of a field's directions, by loops, times the number of neighbours."""
    direction = torch.stack([row / row.norm() if row.norm() > 0 else row for row in field])
    edges = data.edge_index.t().tolist()
    found = []
    for v, u in edges:
        neighbours = sorted({w for w, t in edges if t == u and w != u})
        agreement = torch.stack([(beta * direction[u] @ direction[w]).exp() for w in neighbours])
        share = agreement[neighbours.index(v)] / agreement.sum()
        found.append(share * len(neighbours))
    return torch.stack(found)


class Watched(nn.Module):
    """A model that keeps the input weights of each pass that trains, to follow a training by hand."""

    def __init__(self, gnn: nn.Module) -> None:
        super().__init__()
        self.gnn = gnn
        self.states: list[dict[str, Tensor]] = []

    def forward(self, x, edge_index):
        if self.training:
            self.states.append(copy.deepcopy(self.gnn.state_dict()))
        return self.gnn(x, edge_index)


def fields_by_hand(trained: GraGR, states: list[dict[str, Tensor]], attentions: list[Tensor | None], data: Data, kind):
    """The gradient that each epoch asked for, under that epoch's attention."""
    model, graph = copy.deepcopy(trained.model.gnn).train(), GraphOperator(data.edge_index, data.num_nodes)
    for state, attention in zip(states, attentions, strict=True):
        model.load_state_dict(state)
        wrapper = GraGR(model).train()
        if attention is not None:
            wrapper.attention, wrapper.attention_edges = attention, data.edge_index
        hidden, output = hidden_representation(wrapper, data.x, data.edge_index)
        if kind == "training":
            loss = F.cross_entropy(output[data.train_mask], data.y[data.train_mask])
        else:
            loss = F.nll_loss(class_log_probs(output), output.argmax(-1))
        yield correct_field(torch.autograd.grad(loss, hidden)[0], graph, trained.settings)[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_epoch_attends_by_the_gradients_before_it(backbone, kind, make_data, monkeypatch):
    """Eq. 5 over a running mean of the (smoothed) gradients, beta annealed from its first value to its last."""
    data, epochs = make_data(num_nodes=15, dtype=torch.float64), 6
    model = Watched(build(backbone, dropout=0.0).double())
    attentions: list[Tensor | None] = []
    attend = GraGR.attend

    def keep(self, *args):
        attend(self, *args)
        attentions.append(self.attention.clone())

    monkeypatch.setattr(GraGR, "attend", keep)
    trained = GraGR(model, attention=kind, beta_start=0.5, beta_end=4.5)
    trained.fit(data, epochs=epochs, lr=0.05, progress=False)
    monkeypatch.undo()

    assert len(attentions) == epochs - 1  # the first epoch has no gradient before it
    mean, fields = None, fields_by_hand(trained, model.states, [None, *attentions], data, kind)
    for epoch, field in enumerate(fields):
        if epoch > 0:
            beta = 0.5 + (epoch - 1) / (epochs - 2) * 4.0
            torch.testing.assert_close(attentions[epoch - 1], dense_attention(mean, data, beta), rtol=1e-6, atol=1e-8)
        mean = field if mean is None else 0.9 * mean + 0.1 * field
    assert torch.equal(trained.attention, attentions[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_a_distribution_times_the_degree(kind, make_data):
    data = make_data(num_nodes=20, directed=True)
    trained = GraGR(build("GCN"), attention=kind).fit(data, epochs=5, progress=False)
    target = data.edge_index[1]
    total = torch.zeros(20).index_add_(0, target, trained.attention)
    torch.testing.assert_close(total, torch.bincount(target, minlength=20).float())
    assert trained.attention.std() > 1e-3  # and not uniform


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_short_trainings(epochs, data):
    trained = GraGR(build("GCN"), attention="training", beta_start=2.0, beta_end=2.0)
    trained.fit(data, epochs=epochs, progress=False)
    assert (trained.attention is None) == (epochs == 1)
    assert bool(trained(data.x, data.edge_index).isfinite().all())


def test_training_and_predicted_gradients_differ(data):
    found = {kind: GraGR(build("GCN"), attention=kind).fit(data, epochs=5, progress=False) for kind in KINDS}
    assert not torch.allclose(found["training"].attention, found["predicted"].attention)


def test_predicted_gradients_know_no_labels(data):
    """With nothing learned yet, the first attention is the same for any labels; that of the training loss is not."""
    other = data.clone()
    other.y = (data.y + 1) % 3
    for kind in KINDS:
        attentions = []
        for graph in (data, other):
            trained = GraGR(build("GCN"), attention=kind, conflict=False, alignment=False)
            attentions.append(trained.fit(graph, epochs=2, lr=0.0, progress=False).attention)
        assert torch.allclose(*attentions) == (kind == "predicted")


@pytest.mark.parametrize("kind", KINDS)
def test_every_epoch_is_recorded_once(kind, data):
    trained = GraGR(build("GCN", dropout=0.5), attention=kind).fit(data, epochs=7, progress=False)
    assert trained.history.num_steps == 7
    assert len(trained.history.trajectories["norm"].starts) == 7
    assert {len(curve) for curve in trained.history.curves.values()} == {7}


@pytest.mark.parametrize("kind", [*KINDS, None])
@pytest.mark.parametrize("correct", [True, False])
def test_each_conflict_is_counted_once(kind, correct, data):
    """Whoever counts: the correction, the attention or the recorder."""
    trained = GraGR(build("GCN"), attention=kind, conflict=correct, alignment=correct)
    history = trained.fit(data, epochs=7, lr=0.0, weight_decay=0.0, progress=False).history
    assert 0 < int(history.conflict_count.max()) <= 7
    if "conflict_share" in history.curves:
        assert float(history.conflict_count.sum()) == pytest.approx(30 * sum(history.curves["conflict_share"]))


@pytest.mark.parametrize(
    "switches", [{"attention": "training"}, {"attention": "predicted"}, {"attention": "predicted", "meta": "node"}]
)
def test_attention_waits_for_the_scheduler(switches, data):
    """Weights of nodes do not wait, and let nothing else begin early."""
    options = {"schedule": True, "schedule_min_epochs": 5, "schedule_threshold": 1e9, **switches}
    assert GraGR(build("GCN"), **options).fit(data, 6, progress=False).attention is None
    assert GraGR(build("GCN"), **options).fit(data, 7, progress=False).attention is not None


# the trained model ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_model_itself_is_untouched(backbone, kind, data):
    model = build(backbone)
    trained = GraGR(model, attention=kind).fit(data, epochs=4, progress=False)
    assert no_hooks(model)
    plain = build(backbone)
    plain.load_state_dict(model.state_dict())
    own = model(data.x, data.edge_index)
    assert torch.equal(own, plain.eval()(data.x, data.edge_index))
    attended = trained(data.x, data.edge_index)
    assert not torch.allclose(attended, own)
    assert no_hooks(model)
    trained.attention = None
    assert torch.equal(trained(data.x, data.edge_index), own)


def test_hooks_are_gone_after_a_pass_that_fails(data):
    trained = GraGR(build("GCN"), attention="training").fit(data, epochs=3, progress=False)
    with pytest.raises(RuntimeError):
        trained(data.x[:, :2], data.edge_index)
    assert no_hooks(trained.model)


@pytest.mark.parametrize("kind", KINDS)
def test_another_graph_is_refused(kind, data, make_data):
    trained = GraGR(build("GCN"), attention=kind).fit(data, epochs=3, progress=False)
    other = make_data(num_nodes=20)
    for edge_index in (other.edge_index, data.edge_index[:, :-1], data.edge_index.flip(1), data.edge_index[:, :0]):
        with pytest.raises(HistoryMismatchError, match=r"belongs to the 126 edges.*attention=None"):
            trained(data.x, edge_index)
    assert trained(data.x + 1, data.edge_index.clone()).shape == (30, 3)  # the same edges, whatever the features


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_state_dict_keeps_outputs_bit_for_bit(backbone, kind, data, tmp_path):
    trained = GraGR(build(backbone), attention=kind).fit(data, epochs=4, progress=False)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(9)
    fresh = GraGR(BACKBONES[backbone](5, 8, num_layers=2, out_channels=3), attention=kind).eval()
    fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(fresh(data.x, data.edge_index), trained(data.x, data.edge_index))
    with pytest.raises(HistoryMismatchError):
        fresh(data.x, data.edge_index.flip(1))
    untrained = GraGR(build(backbone), attention=kind)
    fresh.load_state_dict(untrained.state_dict())
    assert fresh.attention is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_checkpoint_keeps_outputs_bit_for_bit(backbone, kind, data, tmp_path):
    trained = GraGR(build_model(backbone, 5, 3), attention=kind, beta_end=3.0).fit(data, epochs=4, progress=False)
    save_checkpoint(trained, tmp_path, dataset="Cora")
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(data.x, data.edge_index), trained(data.x, data.edge_index))
    assert (loaded.switches, loaded.settings) == (trained.switches, trained.settings)
    assert torch.equal(loaded.attention, trained.attention)


def test_a_copy_and_another_device_keep_the_attention(data):
    trained = GraGR(build("GCN"), attention="training").fit(data, epochs=4, progress=False)
    twin = copy.deepcopy(trained).to("cpu")
    assert torch.equal(twin(data.x, data.edge_index), trained(data.x, data.edge_index))
    assert "attention" in dict(trained.named_buffers())


def test_edges_that_are_changed_in_place_afterwards_are_others(data):
    trained = GraGR(build("GCN"), attention="training").fit(data, epochs=4, progress=False)
    data.edge_index[:, 0] = data.edge_index[:, 1]
    with pytest.raises(HistoryMismatchError, match="belongs to the"):
        trained(data.x, data.edge_index)


def test_training_again_starts_without_attention(data):
    def train(times: int) -> GraGR:
        trained = GraGR(build("GCN"), attention="training")
        for _ in range(times):
            trained.model.load_state_dict(build("GCN").state_dict())
            trained.fit(data, epochs=4, progress=False)
        return trained

    assert torch.equal(train(1).attention, train(2).attention)


def test_patience_goes_back_to_the_attention_of_the_best_epoch(data):
    """The weights and the attention belong together: the accuracy of the best epoch is that of the trained model."""
    torch.manual_seed(3)
    trained = GraGR(build("GCN"), attention="training", beta_start=1.0, beta_end=8.0)
    trained.fit(data, epochs=60, lr=0.05, patience=10, progress=False)
    right = trained(data.x, data.edge_index).argmax(-1) == data.y
    best = max(trained.history.curves["val_acc"])
    assert float(right[data.val_mask].float().mean()) == pytest.approx(best)


def test_layers_that_opt_out_keep_their_messages(data):
    model = build("GCN").eval()
    model.convs[1].explain = False
    trained = GraGR(model, attention="training").fit(data, epochs=3, progress=False)
    hidden = hidden_representation(trained, data.x, data.edge_index)[0]
    assert not torch.allclose(hidden, hidden_representation(model, data.x, data.edge_index)[0])
    torch.testing.assert_close(trained(data.x, data.edge_index), model.convs[1](hidden.relu(), data.edge_index))


def test_a_model_that_sends_messages_along_other_edges_is_refused(data):
    class Rewired(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = GCNConv(5, 8), GATConv(8, 3)

        def forward(self, x, edge_index):
            return self.second(self.first(x, edge_index).relu(), edge_index[:, ::2])

    with pytest.raises(UnsupportedModelError, match="passes messages along other edges"):
        GraGR(Rewired(), attention="training").fit(data, epochs=3, progress=False)
