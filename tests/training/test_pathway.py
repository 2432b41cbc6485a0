"""The conflict pathway (eqs. 12 and 13): what it computes, when its gate opens, and what leaves no trace."""

from __future__ import annotations

import copy
import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F
from graph_cases import Case, cases, cosine, length
from hypothesis import given
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GAT, GCN, GIN, GATConv, GCNConv, GraphSAGE, SAGEConv

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
from gragr_explain.errors import UnsupportedModelError
from gragr_explain.field import GraphOperator
from gragr_explain.history import hidden_representation, message_passing_layers
from gragr_explain.training import ConflictPathway, GraGR, GraGRPlusPlus, first_field, layer_sizes, relative_conflict
from gragr_explain.training._loop import Step, train_full_batch

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
ALONE = {"conflict": False, "alignment": False}


def build(backbone: str, num_layers: int = 2, **options) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[backbone](5, 8, num_layers=num_layers, out_channels=3, **options).eval()


def with_pathway(model: nn.Module, data: Data, beta: float = 0.0) -> GraGR:
    torch.manual_seed(7)
    trained = GraGR(model, pathway=True).eval()
    trained.pathway = ConflictPathway(layer_sizes(model, lambda: model(data.x, data.edge_index)))
    trained.pathway.beta.fill_(beta)
    return trained


def graph_of_classes(homophily: float, num_nodes: int = 90, seed: int = 0, noise: float = 1.0) -> Data:
    """Edges within classes with a probability, else between two; features that say the class, more or less."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(num_nodes) % 3
    source = torch.randint(num_nodes, (4 * num_nodes,), generator=generator)
    inside = torch.rand(source.numel(), generator=generator) < homophily
    step = torch.randint(1, num_nodes // 3, (source.numel(),), generator=generator) * 3
    other = torch.randint(1, 3, (source.numel(),), generator=generator)
    target = (source + step + torch.where(inside, 0, other)) % num_nodes
    edge_index = torch.stack([torch.cat([source, target]), torch.cat([target, source])])
    x = F.one_hot(y, 5).float() + noise * torch.randn(num_nodes, 5, generator=generator)
    order = torch.randperm(num_nodes, generator=generator)
    train_mask, val_mask = torch.zeros(2, num_nodes, dtype=torch.bool)
    train_mask[order[: num_nodes // 2]] = True
    val_mask[order[num_nodes // 2 :]] = True
    return Data(x=x, edge_index=edge_index, y=y, train_mask=train_mask, val_mask=val_mask)


def sorted_by_class(data: Data) -> Data:
    order = data.y.argsort(stable=True)
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    masks = {name: data[name][order] for name in ("x", "y", "train_mask", "val_mask")}
    return Data(edge_index=place[data.edge_index], **masks)


# eq. 13 --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_closed_gate_is_the_base_model_bit_for_bit(backbone, num_layers, data):
    model = build(backbone, num_layers)
    trained = with_pathway(model, data)
    assert torch.equal(trained(data.x, data.edge_index), model(data.x, data.edge_index))


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_an_open_gate_is_a_multilayer_perceptron(backbone, num_layers, data, make_data):
    """No edge has a say: the output is that of the pathway's own layers."""
    model = build(backbone, num_layers)
    trained = with_pathway(model, data, beta=1.0)
    found = trained(data.x, data.edge_index)
    hidden = data.x
    for number, own in enumerate(trained.pathway.layers):
        hidden = own(hidden)
        hidden = model.act(hidden) if number < num_layers - 1 else hidden
    torch.testing.assert_close(found, hidden)
    for edge_index in (make_data(seed=9).edge_index, torch.zeros(2, 0, dtype=torch.long)):
        torch.testing.assert_close(trained(data.x, edge_index), found)


@pytest.mark.parametrize("beta", [0.25, 0.5, 0.8])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_in_between_each_layer_mixes_as_in_equation_13(backbone, beta, data):
    model = build(backbone)
    trained = with_pathway(model, data, beta)
    hidden = data.x
    for number, (layer, own) in enumerate(zip(model.convs, trained.pathway.layers, strict=True)):
        base = layer(hidden, data.edge_index)
        hidden = (1 - beta) * base + beta * (hidden @ own.weight.t() + own.bias)
        hidden = model.act(hidden) if number == 0 else hidden
    torch.testing.assert_close(trained(data.x, data.edge_index), hidden)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_whoever_listens_to_a_layer_hears_the_mixture(backbone, data):
    """What is recorded, corrected and explained is the hidden representation that the next layer takes."""
    model = build(backbone)
    trained = with_pathway(model, data, beta=0.5)
    hidden, _ = hidden_representation(trained, data.x, data.edge_index)
    torch.testing.assert_close(
        hidden, (model.convs[0](data.x, data.edge_index) + trained.pathway.layers[0](data.x)) / 2
    )


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gradients_go_both_ways_by_their_share(beta, data):
    trained = with_pathway(build("GCN"), data, beta)
    trained(data.x, data.edge_index).sum().backward()
    base = trained.model.convs[0].lin.weight.grad
    own = trained.pathway.layers[0].weight.grad
    assert bool(base.any()) == (beta < 1)
    assert (own is not None and bool(own.any())) == (beta > 0)


def test_no_hook_stays_behind(data):
    trained = with_pathway(build("GAT"), data, beta=0.5)
    trained(data.x, data.edge_index)
    with pytest.raises(RuntimeError):
        trained(data.x[:, :2], data.edge_index)
    assert not any(layer._forward_hooks for layer in trained.model.modules())


def test_sizes_are_those_of_the_layers(data):
    model = build("GAT", 3, heads=2)
    assert layer_sizes(model, lambda: model(data.x, data.edge_index)) == [(5, 8), (8, 8), (8, 3)]


class Own(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.first, self.second = GCNConv(5, 5), GATConv(5, 3)
        self.own_forward = forward

    def forward(self, x, edge_index):
        return self.own_forward(self, x, edge_index)


def with_attention_weights(model, x, edge_index):
    output, _ = model.second(model.first(x, edge_index), edge_index, return_attention_weights=True)
    return output


UNSUPPORTED = {
    "a layer twice": (
        lambda m, x, e: m.second(m.first(m.first(x, e), e), e),
        r"GCNConv is called several times; use pathway=False",
    ),
    "a layer never": (lambda m, x, e: m.second(x, e), "the model does not call GCNConv; use pathway=False"),
    "a tuple": (with_attention_weights, "GATConv is not from one matrix of nodes to another"),
    "a pair of inputs": (
        lambda m, x, e: m.second((m.first(x, e), m.first(x, e)), e),
        "is called several times|is not from one matrix",
    ),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_models_that_no_pathway_fits(name, data):
    forward, message = UNSUPPORTED[name]
    model = Own(forward)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UnsupportedModelError, match=f"no conflict pathway: .*({message})"):
        GraGR(model, pathway=True).fit(data, epochs=3, progress=False)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(layer._forward_hooks for layer in model.modules())
    GraGR(model).fit(data, epochs=2, progress=False)  # without a pathway, it can be trained


def test_a_layer_of_several_graphs_at_once_has_no_size(data):
    model = GCNConv(5, 3)
    with pytest.raises(UnsupportedModelError, match="GCNConv is not from one matrix of nodes to another"):
        layer_sizes(model, lambda: model(torch.stack([data.x, data.x]), data.edge_index))


def test_a_layer_that_takes_a_pair_is_refused(data):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = SAGEConv(5, 3)

        def forward(self, x, edge_index):
            return self.conv((x, x), edge_index)

    with pytest.raises(UnsupportedModelError, match="SAGEConv is not from one matrix of nodes to another"):
        GraGR(Pair(), pathway=True).fit(data, epochs=3, progress=False)


# how much neighbours oppose each other -------------------------------------------------------------------------------


def opposition(case: Case, pairs: list[tuple[int, int]]) -> float:
    return sum(max(0.0, -cosine(case.rows[i], case.rows[j])) for i, j in pairs) / len(pairs)


@given(cases(max_nodes=5, max_edges=18))
def test_relative_conflict_is_that_of_all_pairs(case: Case) -> None:
    """By brute force; with as many edges as here, the strangers are all pairs of nodes."""
    known = [node for node in case.nodes if length(case.rows[node]) > 0]
    linked = [(i, j) for i, j in case.pairs if i in known and j in known]
    found = relative_conflict(case.field, case.graph)
    anyone = list(combinations(known, 2))
    if not linked or opposition(case, anyone) == 0:
        assert math.isnan(found) or len(linked) // len(known) + 2 < len(known)
    elif len(linked) // len(known) + 2 >= len(known):
        assert found == pytest.approx(opposition(case, linked) / opposition(case, anyone), rel=1e-4)
    elif not math.isnan(found):
        assert (found == 0) == (opposition(case, linked) == 0)


@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_it_tells_homophily_from_heterophily(order):
    """In units of chance, whether nodes are listed by class or not."""
    found = {}
    for homophily in (0.9, 1 / 3, 0.0):
        data = graph_of_classes(homophily, 300)
        data = sorted_by_class(data) if order == "sorted" else data
        field = first_field(data.y, data.train_mask, 3)
        found[homophily] = relative_conflict(field, GraphOperator(data.edge_index, 300))
    assert found[0.9] < 0.35
    assert found[1 / 3] == pytest.approx(1, abs=0.15)
    assert found[0.0] > 1.25


def test_gradients_in_any_order_have_a_relative_conflict_of_one():
    data = graph_of_classes(0.9, 300)
    graph, generator = GraphOperator(data.edge_index, 300), torch.Generator().manual_seed(1)
    found = []
    for _ in range(10):
        found.append(relative_conflict(torch.randn(300, 4, generator=generator), graph))
    assert sum(found) / 10 == pytest.approx(1, abs=0.05)


def test_it_draws_no_random_numbers_and_says_the_same_again():
    data = graph_of_classes(0.5)
    field, graph = first_field(data.y, data.train_mask, 3), GraphOperator(data.edge_index, 90)
    state = torch.random.get_rng_state()
    assert relative_conflict(field, graph) == relative_conflict(field, graph)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_the_first_field_is_the_gradient_at_a_model_that_knows_the_frequencies_alone():
    y = torch.tensor([0, 1, 1, 2, -1, 1])
    mask = torch.tensor([True, True, True, True, False, False])
    frequency = torch.tensor([0.25, 0.5, 0.25])
    scores = frequency.log().expand(6, 3).clone().requires_grad_()
    (expected,) = torch.autograd.grad(F.cross_entropy(scores[mask], y[mask], reduction="sum"), scores)
    torch.testing.assert_close(first_field(y, mask, 3), expected)


# the gate ------------------------------------------------------------------------------------------------------------


def test_the_gate_opens_where_neighbours_oppose_each_other():
    """And it stays open where it helps: here neighbours are of another class by more than chance, and say little."""
    data = graph_of_classes(0.25, 300, noise=0.7)
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 16, num_layers=2, out_channels=3), pathway=True, pathway_epochs=5, **ALONE)
    trained.fit(data, epochs=80, progress=False)
    betas = trained.history.curves["beta"]
    assert betas == pytest.approx([0.0] * 15 + [0.2, 0.4, 0.6, 0.8] + [1.0] * 61)
    assert float(trained.pathway.beta) == 1
    torch.manual_seed(0)
    plain = GraGR(GCN(5, 16, num_layers=2, out_channels=3), **ALONE).fit(data, epochs=80, progress=False)
    assert trained.history.curves["val_acc"][-1] > plain.history.curves["val_acc"][-1] + 0.1


@pytest.mark.parametrize("order", ["mixed", "sorted"])
def test_the_gate_stays_shut_on_a_homophilic_graph(order):
    data = graph_of_classes(0.8, 300)
    data = sorted_by_class(data) if order == "sorted" else data
    with_gate, without = build("GCN", dropout=0.5), build("GCN", dropout=0.5)
    torch.manual_seed(1)
    trained = GraGR(with_gate, pathway=True).fit(data, epochs=15, progress=False)
    torch.manual_seed(1)
    plain = GraGR(without).fit(data, epochs=15, progress=False)
    assert set(trained.history.curves["beta"]) == {0.0}
    for name, value in without.state_dict().items():
        assert torch.equal(with_gate.state_dict()[name], value), name
    assert trained.history.curves["loss"] == plain.history.curves["loss"]
    assert torch.equal(trained(data.x, data.edge_index), plain(data.x, data.edge_index))


def test_a_threshold_decides():
    data = graph_of_classes(0.5, 300)
    del data.val_mask  # nothing to judge by
    conflict = relative_conflict(first_field(data.y, data.train_mask, 3), GraphOperator(data.edge_index, 300))
    train = set(data.train_mask.nonzero().view(-1).tolist())
    edges = {frozenset(edge) for edge in data.edge_index.t().tolist() if train.issuperset(edge) and edge[0] != edge[1]}
    conflict *= len(edges) / (len(edges) + 10)
    for threshold, opens in ((conflict - 0.01, True), (conflict + 0.01, False)):
        trained = GraGR(build("GCN"), pathway=True, pathway_threshold=threshold).fit(data, epochs=3, progress=False)
        assert (float(trained.pathway.beta) > 0) == opens


def test_a_handful_of_edges_between_training_nodes_proves_little():
    """All of them between classes, but six: the gate stays shut."""
    data = graph_of_classes(0.0, 60)
    inside = (data.train_mask[data.edge_index].all(0) & (data.edge_index[0] < data.edge_index[1])).nonzero().view(-1)
    for count, opens in ((6, False), (len(inside), True)):
        few = Data(x=data.x, y=data.y, train_mask=data.train_mask, edge_index=data.edge_index[:, inside[:count]])
        trained = GraGR(build("GCN"), pathway=True).fit(few, epochs=2, progress=False)
        assert (float(trained.pathway.beta) > 0) == opens


def useless(num_nodes: int = 60) -> Data:
    """Heterophilic, but features say nothing: a node that speaks for itself cannot be right more often."""
    data = graph_of_classes(0.0, num_nodes, noise=0.0)
    data.x = torch.ones(num_nodes, 5)
    data.train_mask = torch.arange(num_nodes) < num_nodes // 2  # as many of each class
    data.val_mask = ~data.train_mask
    return data


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_pathway_that_does_not_help_is_taken_back_as_if_it_had_never_been(backbone):
    """Twelve epochs are watched, twelve are a trial, and three more go on after the twelve: weights and moments."""
    data = useless()
    model, without = build(backbone, norm="batch_norm"), build(backbone, norm="batch_norm")
    trained = GraGR(model, pathway=True, pathway_epochs=4, **ALONE).fit(data, epochs=27, progress=False)
    assert trained.history.curves["beta"] == [0.0] * 12 + [0.25, 0.5, 0.75] + [1.0] * 9 + [0.0] * 3
    plain = GraGR(without, **ALONE).fit(data, epochs=15, progress=False)
    for name, value in without.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    assert torch.equal(trained(data.x, data.edge_index), plain(data.x, data.edge_index))
    assert trained.history.curves["loss"][24:] == plain.history.curves["loss"][12:]
    assert trained.history.curves["loss"][23] != plain.history.curves["loss"][11]


@pytest.mark.parametrize("epochs", [5, 12, 13, 18, 23])
def test_a_training_that_ends_before_the_verdict_does_not_keep_what_has_not_helped(epochs):
    data, model, without = useless(), build("GCN"), build("GCN")
    trained = GraGR(model, pathway=True, pathway_epochs=4, **ALONE).fit(data, epochs=epochs, progress=False)
    GraGR(without, **ALONE).fit(data, epochs=min(epochs, 12), progress=False)
    assert float(trained.pathway.beta) == 0
    for name, value in without.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_a_training_that_ends_before_the_verdict_keeps_what_has_helped():
    data = graph_of_classes(0.25, 300, noise=0.5)
    torch.manual_seed(0)
    trained = GraGR(GCN(5, 16, num_layers=2, out_channels=3), pathway=True, **ALONE)
    trained.fit(data, epochs=55, lr=0.05, progress=False)
    assert float(trained.pathway.beta) == 1


def test_with_patience_it_is_the_best_epoch_without_the_pathway_that_counts():
    data = useless()
    torch.manual_seed(0)
    trained = GraGR(build("GCN"), pathway=True, pathway_epochs=3, **ALONE)
    trained.fit(data, epochs=30, patience=12, progress=False)
    curves = trained.history.curves
    assert max(curves["beta"]) > float(trained.pathway.beta) == 0
    best = max(accuracy for accuracy, beta in zip(curves["val_acc"], curves["beta"], strict=True) if beta == 0)
    right = trained(data.x, data.edge_index).argmax(-1) == data.y
    assert float(right[data.val_mask].float().mean()) == pytest.approx(best)


def test_the_best_epoch_of_a_trial_that_is_taken_back_does_not_count(data):
    """Epochs 3 to 5 are right on all validation nodes, by a bias that no training gave."""

    class Trial:
        epoch = 0

        def begin(self, epoch: int) -> None:
            self.epoch = epoch
            if epoch == 3:
                model.convs[1].bias.data = torch.tensor([100.0, 0.0, 0.0])

        def objective(self, losses: Tensor, output: Tensor) -> Tensor:
            return losses.mean()

        def end(self, loss: float, hits: Tensor | None) -> Step:
            return {2: Step.REMEMBER, 5: Step.GO_BACK}.get(self.epoch, Step.GO_ON)

        def finish(self) -> Step:
            return Step.GO_ON

    model = build("GCN")
    model.convs[1].bias.data = torch.tensor([-100.0, 0.0, 0.0])
    data.y[data.val_mask] = 0
    curves = train_full_batch(
        model, data, epochs=9, lr=0.0, weight_decay=0.0, patience=9, progress=False, reasoning=Trial()
    )
    assert curves["val_acc"] == [0.0] * 3 + [1.0] * 3 + [0.0] * 3
    assert model.convs[1].bias.tolist() == [-100.0, 0.0, 0.0]


def test_without_validation_the_pathway_stays_open():
    data = useless()
    del data.val_mask
    trained = GraGR(build("GCN"), pathway=True, pathway_epochs=2, **ALONE).fit(data, epochs=10, progress=False)
    assert float(trained.pathway.beta) == 1


def test_a_closed_gate_costs_no_parameter_an_update():
    data = graph_of_classes(0.9)
    trained = GraGR(build("GCN"), pathway=True).fit(data, epochs=5, progress=False)
    assert all(parameter.grad is None for parameter in trained.pathway.parameters())


# what else a model goes through --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened() -> dict[str, GraGR]:
    """GraGR++ with an open pathway, of each backbone."""
    return {name: train_open(build(name)) for name in BACKBONES}


def train_open(model: nn.Module) -> GraGR:
    torch.manual_seed(0)
    data = graph_of_classes(0.0, 60, noise=0.7)
    del data.val_mask  # nothing to judge the pathway by
    options = {"pathway_epochs": 8, "schedule_min_epochs": 2, "schedule_threshold": 1e9, "seeds": 1}
    trained = GraGRPlusPlus(model, **options).fit(data, epochs=6, progress=False)
    assert 0 < float(trained.pathway.beta) < 1
    return trained


GRAPH = graph_of_classes(0.0, 60, noise=0.7)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_state_dict_keeps_outputs_bit_for_bit(backbone, opened, tmp_path):
    trained = opened[backbone]
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(5)
    fresh = GraGRPlusPlus(BACKBONES[backbone](5, 8, num_layers=2, out_channels=3)).eval()
    result = fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert torch.equal(fresh(GRAPH.x, GRAPH.edge_index), trained(GRAPH.x, GRAPH.edge_index))


def test_a_state_dict_in_any_order_makes_room_for_the_same_layers(data):
    """Formats that sort by name have layer 10 before layer 2."""
    trained = with_pathway(build("GCN", 12), data, beta=0.5)
    weights = trained.state_dict()
    fresh = GraGR(GCN(5, 8, num_layers=12, out_channels=3)).eval()
    fresh.load_state_dict({name: weights[name] for name in sorted(weights)})
    assert torch.equal(fresh(data.x, data.edge_index), trained(data.x, data.edge_index))


def test_an_untrained_state_dict_takes_the_pathway_away(data):
    trained = with_pathway(build("GCN"), data, beta=0.5)
    trained.load_state_dict(GraGR(build("GCN")).state_dict())
    assert trained.pathway is None


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_checkpoint_keeps_outputs_bit_for_bit(backbone, tmp_path):
    trained = train_open(build_model(backbone, 5, 3))
    save_checkpoint(trained, tmp_path, dataset="Cora")
    loaded = load_checkpoint(tmp_path).trained
    assert loaded.switches == trained.switches
    assert float(loaded.pathway.beta) == float(trained.pathway.beta)
    assert torch.equal(loaded(GRAPH.x, GRAPH.edge_index), trained(GRAPH.x, GRAPH.edge_index))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_deep_copy_is_on_its_own(backbone, opened):
    trained = opened[backbone]
    twin = copy.deepcopy(trained)
    expected = trained(GRAPH.x, GRAPH.edge_index)
    assert torch.equal(twin(GRAPH.x, GRAPH.edge_index), expected)
    twin.pathway.beta.zero_()
    with torch.no_grad():
        twin.pathway.layers[0].weight.zero_()
    assert torch.equal(trained(GRAPH.x, GRAPH.edge_index), expected)
    twin.fit(GRAPH, epochs=3, progress=False)
    assert torch.equal(trained(GRAPH.x, GRAPH.edge_index), expected)


def test_the_model_inside_is_the_base_model(opened):
    for trained in opened.values():
        assert not torch.allclose(
            trained(GRAPH.x, GRAPH.edge_index), trained.model(GRAPH.x, GRAPH.edge_index), atol=1e-3
        )
        assert not any(layer._forward_hooks for layer in message_passing_layers(trained.model))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_explanations_go_through_the_pathway_and_agree(backbone, opened):
    """One node at a time and many at once, on the model as it predicts."""
    trained = opened[backbone]
    explainer = Explainer(
        trained,
        algorithm=GradientContextExplainer(),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    nodes = [0, 7, 31]
    unlabelled = Data(x=GRAPH.x, edge_index=GRAPH.edge_index)
    many = explain_many(explainer, unlabelled, nodes, top_edges=1000, top_features=1000, progress=False)
    assert any(many.edges)
    predicted = trained(GRAPH.x, GRAPH.edge_index).argmax(-1)
    assert torch.equal(many.all_predictions, predicted)
    for row, node in enumerate(nodes):
        one = explainer(GRAPH.x, GRAPH.edge_index, index=node)
        found = torch.zeros(60, 60)
        for source, target, weight in many.edges[row]:
            found[source, target] = max(found[source, target], weight)
        expected = torch.zeros(60, 60)
        for (source, target), weight in zip(GRAPH.edge_index.t().tolist(), one.edge_mask.tolist(), strict=True):
            expected[source, target] = max(expected[source, target], weight)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert one.rationale == many.rationales[row].text
        torch.testing.assert_close(one.psi, many.context.psi, equal_nan=True)


def test_an_explanation_of_an_open_gate_names_no_edges(opened):
    """At beta = 1 edges have no say, and an explanation says so."""
    trained = copy.deepcopy(opened["GCN"])
    trained.pathway.beta.fill_(1.0)
    explainer = Explainer(
        trained,
        algorithm=GradientContextExplainer(),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    found = explain_many(explainer, GRAPH, [3], progress=False)
    assert found.edges[0] == []
    assert found.features[0]


class Named(nn.Module):
    """Calls its layers by the names of what they take."""

    def __init__(self, named: bool) -> None:
        super().__init__()
        self.convs, self.named = nn.ModuleList([GCNConv(5, 8), GCNConv(8, 3)]), named

    def forward(self, x, edge_index):
        for conv in self.convs:
            x = conv(x=x, edge_index=edge_index) if self.named else conv(x, edge_index)
        return x


def test_layers_that_are_called_by_name_have_a_pathway_too(data):
    outputs = []
    for named in (True, False):
        torch.manual_seed(0)
        outputs.append(with_pathway(Named(named).eval(), data, beta=0.5)(data.x, data.edge_index))
    assert torch.equal(*outputs)


def test_loading_draws_no_random_numbers(data):
    trained = with_pathway(build("GCN"), data)
    fresh, state = GraGR(build("GCN"), pathway=True), torch.get_rng_state()
    fresh.load_state_dict(trained.state_dict())
    assert torch.equal(torch.get_rng_state(), state)


def test_patience_begins_anew_where_a_trial_is_taken_back(data):
    """The accuracy is the same in every epoch; epoch 2 goes back, and three more are waited for."""

    class Trial:
        epoch = 0

        def begin(self, epoch):
            self.epoch = epoch

        def objective(self, losses, output):
            return losses.mean()

        def end(self, loss, hits):
            return {0: Step.REMEMBER, 2: Step.GO_BACK}.get(self.epoch, Step.GO_ON)

        def finish(self):
            return Step.GO_ON

    curves = train_full_batch(
        build("GCN"), data, epochs=20, lr=0.0, weight_decay=0.0, patience=3, progress=False, reasoning=Trial()
    )
    assert len(curves["val_acc"]) == 6
