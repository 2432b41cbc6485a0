"""Seed selection (eqs. 9 to 11): trajectories in one batched pass or one after another, and what goes on from there."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphSAGE, MessagePassing

from gragr_explain.errors import InvalidArgumentError, TrainingError, UnsupportedModelError
from gragr_explain.history import GradientHistory, copy_weights
from gragr_explain.models import GRAFF
from gragr_explain.training import GraGR, GraGRPlusPlus, Selection, _gragr, select_trajectory
from gragr_explain.training._trajectories import reset_parameters

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
ALONE = {"conflict": False, "alignment": False}


def build(backbone: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, **options)


def select(model: nn.Module, data: Data, seeds: int = 4, epochs: int = 6, seed: int = 1, **options) -> Selection:
    torch.manual_seed(seed)
    options = {"lr": 0.05, "weight_decay": 5e-4, "progress": False, **options}
    return select_trajectory(model, data, seeds=seeds, epochs=epochs, **options)


def plain_loop(model: nn.Module, data: Data, epochs: int, lr: float = 0.05, weight_decay: float = 5e-4):
    """Adam by hand; returns the validation loss and accuracy after each epoch, and the optimiser."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(parameters, lr=lr, weight_decay=weight_decay)
    losses, accuracies = [], []
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()
        with torch.no_grad():
            output, y = model.eval()(data.x, data.edge_index)[data.val_mask], data.y[data.val_mask]
        losses.append(F.cross_entropy(output, y))
        accuracies.append((output.argmax(-1) == y).float().mean())
    return torch.stack(losses), torch.stack(accuracies), optimizer


def reset_by_hand(model: nn.Module) -> nn.Module:
    model.reset_parameters()
    return model


def starts(model: nn.Module, seeds: int, seed: int = 1) -> list[nn.Module]:
    """The model as it is, then drawn anew again and again."""
    torch.manual_seed(seed)
    models, current = [copy.deepcopy(model)], copy.deepcopy(model)
    for _ in range(seeds - 1):
        models.append(copy.deepcopy(reset_by_hand(current)))
    return models


# what is trained, and what is chosen ---------------------------------------------------------------------------------


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("norm", [None, "batch_norm", "layer_norm"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_each_trajectory_is_a_plain_training(backbone, norm, batched, make_data):
    """From the model as it is, and from weights drawn anew: losses, weights, running statistics and moments.

    In double precision and without decay: Adam makes large steps of rounding errors where a gradient is zero, as that
    of a bias before a normalisation is.
    """
    data, model = make_data(dtype=torch.float64), build(backbone, norm=norm).double()
    found = select(model, data, batched=batched, weight_decay=0.0)
    assert found.together == batched
    assert found.val_loss.shape == found.val_acc.shape == (4, 6)
    for seed, start in enumerate(starts(model, 4)):
        losses, accuracies, optimizer = plain_loop(start, data, 6, weight_decay=0.0)
        torch.testing.assert_close(found.val_loss[seed], losses, rtol=1e-5, atol=1e-6, check_dtype=False)
        torch.testing.assert_close(found.val_acc[seed], accuracies, check_dtype=False)
        if seed == found.chosen:
            for name, value in start.state_dict().items():
                torch.testing.assert_close(
                    found.weights[name], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=name: n + m
                )
            for moments, parameter in zip(found.moments, start.parameters(), strict=True):
                for name, value in optimizer.state[parameter].items():
                    torch.testing.assert_close(moments[name], value, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_both_ways_agree(backbone, data):
    one, other = (select(build(backbone), data, batched=batched) for batched in (True, False))
    assert one.chosen == other.chosen
    torch.testing.assert_close(one.val_loss, other.val_loss, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.weights, other.weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_the_lowest_validation_loss_at_the_end_is_chosen(seed, batched, data):
    """Eqs. 10 and 11: not the lowest on the way, and not the best accuracy."""
    found = select(build("GCN", dropout=0.5), data, seeds=5, epochs=5, seed=seed, batched=batched)
    assert float(found.val_loss[found.chosen, -1]) == float(found.val_loss[:, -1].min())
    model = build("GCN", dropout=0.5)
    model.load_state_dict(found.weights)
    output = model.eval()(data.x, data.edge_index)[data.val_mask]
    loss = F.cross_entropy(output, data.y[data.val_mask]).item()
    assert loss == pytest.approx(float(found.val_loss[found.chosen, -1]), rel=1e-4)


@pytest.mark.parametrize("batched", [True, False])
def test_trajectories_differ_in_their_weights_and_their_dropout(batched, data):
    found = select(build("GCN"), data, batched=batched)
    assert len({round(float(loss), 6) for loss in found.val_loss[:, 0]}) == 4
    model = build("GCN", dropout=0.5)
    model.reset_parameters = lambda: None  # all start alike
    found = select(model, data, batched=batched)
    assert len({round(float(loss), 6) for loss in found.val_loss[:, -1]}) == 4


@pytest.mark.parametrize("batched", [True, False])
def test_a_trajectory_that_is_lost_is_not_chosen(batched, data):
    """One start blows up: its loss is NaN, which is below nothing."""
    drawn = []

    class Losing(GCN):
        def reset_parameters(self) -> None:
            super().reset_parameters()
            drawn.append(len(drawn))
            if len(drawn) == 2:
                with torch.no_grad():
                    self.convs[0].bias.fill_(torch.nan)

    model = build("GCN")
    model.__class__ = Losing
    found = select(model, data, batched=batched)
    assert bool(found.val_loss[2].isnan().all())
    assert found.chosen != 2


@pytest.mark.parametrize("batched", [True, False])
def test_frozen_parameters_stay_and_have_no_moments(batched, data):
    model = build("GCN")
    model.convs[0].requires_grad_(False)
    found = select(model, data, batched=batched, seeds=3)
    assert len(found.moments) == 2
    assert torch.equal(found.weights["convs.0.lin.weight"], model.convs[0].lin.weight)
    assert not torch.equal(found.weights["convs.1.lin.weight"], starts(model, 3)[found.chosen].convs[1].lin.weight)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_frozen_is_the_same_in_every_trajectory(seed, data):
    """A pretrained layer, and the running statistics of a normalisation that is not trained."""
    model = build("GCN", norm="batch_norm")
    for part in (model.convs[0], model.norms[0]):
        part.requires_grad_(False)
    plain_loop(model, data, 2)
    before = copy.deepcopy(model.state_dict())
    torch.manual_seed(seed)
    reset_parameters(model)
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert kept == {name for name in before if name.startswith(("convs.0", "norms.0"))}
    trained = GraGRPlusPlus(model, seed_epochs=2).fit(data, epochs=6, progress=False)
    for name, parameter in trained.model.named_parameters():
        assert torch.equal(parameter, before[name]) == (name in kept)


class Tied(nn.Module):
    """Two layers of one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = GCNConv(5, 5), GCNConv(5, 5)
        self.second.lin.weight = self.first.lin.weight
        self.head = nn.Linear(5, 3)

    def forward(self, x, edge_index):
        return self.head(self.second(self.first(x, edge_index).relu(), edge_index))


@pytest.mark.parametrize("make", [Tied, lambda: GRAFF(5, 8, 3, 3)])
def test_shared_weights_are_trained_in_one_pass_as_one_by_one(make, make_data):
    data = make_data(dtype=torch.float64)
    torch.manual_seed(0)
    model = make().double()
    one, other = (select(model, data, batched=batched, weight_decay=0.0) for batched in (True, False))
    torch.testing.assert_close(one.val_loss, other.val_loss, rtol=1e-5, atol=1e-6, check_dtype=False)
    assert one.chosen == other.chosen
    for mine, theirs in ((one.weights, other.weights), (one.best, other.best)):
        assert list(mine) == list(theirs)
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(one.moments, other.moments, rtol=1e-5, atol=1e-8)


class Bare(MessagePassing):
    """A layer of somebody's own, whose weights PyG's reset_parameters does not know."""

    def __init__(self, channels, out_channels, scale=False):
        super().__init__()
        self.lin = nn.Linear(channels, out_channels)
        if scale:
            self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x, edge_index):
        return self.propagate(edge_index, x=self.lin(x))


def test_layers_of_ones_own_are_drawn_anew():
    torch.manual_seed(0)
    model = nn.ModuleList([Bare(5, 3)])
    before = copy_weights(model)
    reset_parameters(model)
    assert not any(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(UnsupportedModelError, match=r"Bare has parameters but no reset_parameters\(\)"):
        reset_parameters(Bare(5, 3, scale=True))


def test_edge_weights_are_used(data):
    weighted = data.clone()
    weighted.edge_weight = torch.linspace(0.1, 3, data.num_edges)
    for batched in (True, False):
        losses = [select(build("GCN"), graph, batched=batched).val_loss for graph in (data, weighted)]
        assert not torch.allclose(*losses)


# the model -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_model_is_left_as_it_was(backbone, batched, training, data):
    model = build(backbone, norm="batch_norm", dropout=0.5).train(training)
    before, parameters = copy.deepcopy(model.state_dict()), list(model.parameters())
    select(model, data, batched=batched)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(one is other for one, other in zip(model.parameters(), parameters, strict=True))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in parameters)
    assert model.training == training
    assert all(module.training == training for module in model.modules())


def test_a_model_that_caches_its_edges_can_be_used_afterwards(data):
    for batched in (None, False):
        model = build("GCN", cached=True)
        select(model, data, batched=batched)
        uncached = build("GCN")
        assert torch.equal(model.eval()(data.x, data.edge_index), uncached.eval()(data.x, data.edge_index))
        trained = GraGRPlusPlus(model, seeds=3).fit(data, epochs=5, progress=False)
        twin = copy.deepcopy(trained)
        assert torch.equal(twin(data.x, data.edge_index), trained(data.x, data.edge_index))


class Branching(nn.Module):
    """Looks at its own numbers, which a batched pass cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(5, 3)

    def forward(self, x, edge_index):
        output = self.conv(x, edge_index)
        return output if output.sum().item() > 0 else output * 1.0


def test_a_model_that_cannot_be_batched_is_trained_one_by_one(data):
    torch.manual_seed(0)
    model = Branching()
    found = select(model, data)
    assert not found.together
    torch.testing.assert_close(found.val_loss, select(model, data, batched=False).val_loss, rtol=0, atol=0)
    with pytest.raises(UnsupportedModelError, match="Branching cannot be batched"):
        select(model, data, batched=True)
    trained = GraGR(model, seeds=3).fit(data, epochs=5, progress=False)
    assert not trained.selection.together


def test_a_fallback_draws_what_the_other_way_draws(data):
    class Dropping(Branching):
        def forward(self, x, edge_index):
            return super().forward(F.dropout(x, 0.5, self.training), edge_index)

    torch.manual_seed(0)
    model = Dropping()
    assert torch.equal(select(model, data).val_loss, select(model, data, batched=False).val_loss)


class Fixed(nn.Module):
    """Has a parameter and no way to draw it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.scale = GCNConv(5, 3), nn.Parameter(torch.ones(3))

    def forward(self, x, edge_index):
        return self.conv(x, edge_index) * self.scale


def test_a_model_without_reset_parameters_is_refused(data):
    model = Fixed()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UnsupportedModelError, match=r"Fixed has parameters but no reset_parameters\(\).*seeds=1"):
        select(model, data, seeds=2)
    with pytest.raises(UnsupportedModelError, match="Fixed"):
        GraGRPlusPlus(model).fit(data, epochs=3, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert select(model, data, seeds=1).chosen == 0
    GraGRPlusPlus(model, seeds=1).fit(data, epochs=3, progress=False)


def test_a_model_of_modules_is_drawn_anew_part_by_part(data):
    class Parts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([GCNConv(5, 8), GCNConv(8, 8)])
            self.head = nn.Sequential(nn.ReLU(), nn.Linear(8, 3))

        def forward(self, x, edge_index):
            for layer in self.layers:
                x = layer(x, edge_index).relu()
            return self.head(x)

    torch.manual_seed(0)
    found = select(Parts(), data, lr=0.0)
    assert found.together
    assert len({round(float(loss), 6) for loss in found.val_loss[:, 0]}) == 4


# bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"seeds": 0}, "seeds of at least 1, got 0"),
        ({"seeds": -2}, "seeds of at least 1, got -2"),
        ({"epochs": 0}, "epochs of at least 1, got 0"),
    ],
)
def test_no_seed_and_no_epoch(numbers, message, data):
    with pytest.raises(InvalidArgumentError, match=message):
        select(build("GCN"), data, **numbers)


@pytest.mark.parametrize("empty", [True, False])
def test_no_validation_nodes(empty, data):
    if empty:
        data.val_mask = torch.zeros(30, dtype=torch.bool)
    else:
        del data.val_mask
    with pytest.raises(InvalidArgumentError, match="val_mask with at least one node"):
        select(build("GCN"), data)


class Lost(nn.Module):
    """Its outputs are NaN whenever it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(5, 3)

    def forward(self, x, edge_index):
        return self.conv(x, edge_index) * (torch.nan if self.training else 1.0)


@pytest.mark.parametrize("batched", [True, False, None])
def test_if_all_are_lost_the_model_keeps_its_weights(batched, data):
    model = Lost()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match="no seed of 4 had a finite validation loss after 6 epochs"):
        select(model, data, batched=batched)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(TrainingError):
        GraGRPlusPlus(model).fit(data, epochs=10, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# and on from there ---------------------------------------------------------------------------------------------------


@pytest.fixture
def easy(make_data) -> Data:
    """A graph from which a training learns fast, so that a trained model is ahead of any other start."""
    data = make_data(num_nodes=60, seed=2)
    data.x[:, :3] += 2 * F.one_hot(data.y, 3)
    return data


def warm(backbone: str, data: Data) -> nn.Module:
    model = build(backbone)
    plain_loop(model, data, 60, lr=0.01)
    return model.train()


@pytest.mark.parametrize("record", [True, False])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_chosen_trajectory_goes_on_as_if_trained_in_one_go(backbone, record, easy):
    """Weights and moments are carried over: 4 epochs and 8 more are 12."""
    model = warm(backbone, easy)
    plain = copy.deepcopy(model)
    plain_loop(plain, easy, 12, lr=0.01)
    trained = GraGR(model, seeds=3, seed_epochs=4, **ALONE)
    trained.fit(easy, epochs=12, lr=0.01, record=record, progress=False)
    assert trained.selection.chosen == 0
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    if record:
        assert trained.history.num_steps == len(trained.history.curves["loss"]) == 8


def test_without_its_moments_it_would_be_another_training(easy):
    model, fresh = warm("GCN", easy), warm("GCN", easy)
    GraGR(model, seeds=3, seed_epochs=4, **ALONE).fit(easy, epochs=12, lr=0.01, progress=False)
    for epochs in (4, 8):
        plain_loop(fresh, easy, epochs, lr=0.01)
    assert not torch.allclose(model.convs[0].lin.weight, fresh.convs[0].lin.weight, atol=1e-3)


def test_the_selection_stays_as_it_was_when_training_goes_on(data):
    trained = GraGRPlusPlus(build("GCN"), seed_epochs=3).fit(data, epochs=12, progress=False)
    assert {float(moments["step"]) for moments in trained.selection.moments} == {3.0}
    assert not torch.equal(trained.selection.weights["convs.0.lin.weight"], trained.model.convs[0].lin.weight)


@pytest.mark.parametrize(("epochs", "ahead"), [(100, 5), (40, 2), (12, 1), (2, 1)])
def test_a_twentieth_of_the_epochs_is_for_the_choice(epochs, ahead, data):
    trained = GraGR(build("GCN"), seeds=2, **ALONE).fit(data, epochs=epochs, progress=False)
    assert trained.selection.val_loss.shape == (2, ahead)
    assert trained.history.num_steps == epochs - ahead


def test_more_epochs_for_the_choice_than_there_are(data):
    trained = GraGR(build("GCN"), seeds=2, seed_epochs=50, **ALONE).fit(data, epochs=5, progress=False)
    assert trained.selection.val_loss.shape == (2, 4)
    assert trained.history.num_steps == 1


def test_the_weights_before_the_choice_are_kept_beside_those_that_were_recorded(data, tmp_path):
    """An audit trains again from them, and they must not know any label; the recorded training starts after it."""
    model = build("GCN")
    before = copy_weights(model)
    trained = GraGR(model, seeds=3, seed_epochs=4, **ALONE).fit(data, epochs=12, progress=False)
    chosen = trained.selection.weights
    assert all(torch.equal(trained.history.weights[0][name], value) for name, value in chosen.items())
    trained.history.save(tmp_path)
    for history in (trained.history, GradientHistory.load(tmp_path)):
        assert set(history.start) == set(before)
        assert all(torch.equal(history.start[name], value) for name, value in before.items())
    assert not torch.equal(trained.selection.weights["convs.0.lin.weight"], before["convs.0.lin.weight"])


def test_one_epoch_leaves_none_for_the_choice(data):
    trained = GraGR(build("GCN"), seeds=2, **ALONE).fit(data, epochs=1, progress=False)
    assert trained.selection is None
    assert trained.history.num_steps == 1


def test_one_seed_is_no_choice(data):
    assert GraGR(build("GCN")).fit(data, epochs=2, progress=False).selection is None


def test_a_choice_helps_a_bad_start(easy):
    """What it is for: the first start is one from which nothing is learned."""

    def bad() -> nn.Module:
        model = build("GCN")
        with torch.no_grad():
            model.convs[0].bias.fill_(-100.0)  # no hidden unit is ever active
        return model

    alone = GraGR(bad(), **ALONE).fit(easy, epochs=40, progress=False)
    chosen = GraGR(bad(), seeds=4, **ALONE).fit(easy, epochs=40, progress=False)
    assert chosen.selection.chosen != 0
    assert chosen.history.curves["val_acc"][-1] > alone.history.curves["val_acc"][-1] + 0.2


def test_progress_is_shown_and_can_be_left_out(data, capsys):
    GraGR(build("GCN"), seeds=2).fit(data, epochs=3)
    assert "choosing a seed" in capsys.readouterr().err
    GraGR(build("GCN"), seeds=2).fit(data, epochs=3, progress=False)
    assert capsys.readouterr().err == ""


def test_selections_hold_tensors_of_their_own(data):
    model = build("GCN")
    found = select(model, data)
    values: list[Tensor] = [*found.weights.values(), *(v for state in found.moments for v in state.values())]
    assert not any(value.requires_grad for value in values)
    assert all(value.dim() == 0 or value.shape[:1] != (4,) for value in found.weights.values())
    assert not any(value.data_ptr() == parameter.data_ptr() for value in values for parameter in model.parameters())


def test_a_selection_says_in_one_line_which_seed_it_chose_and_why(data):
    found = select(build("GCN"), data, seeds=3, epochs=2)
    made = replace(found, chosen=1, val_loss=torch.tensor([[2.0, 1.25], [2.0, 0.5], [3.0, torch.nan]]))
    assert repr(made) == "Selection(chosen=1, val_loss=[1.25, 0.5, nan], num_epochs=2, together=True)"


def test_with_patience_the_best_epoch_of_the_choice_counts_but_of_the_chosen_trajectory_alone(data, monkeypatch):
    found = select(build("GCN"), data, seeds=2)
    nothing = {name: torch.zeros_like(value) for name, value in found.weights.items()}
    for own, other, goes_back in ((2.0, 0.0, True), (-0.5, 2.0, False)):  # an accuracy of 2 is never reached again
        val_acc = torch.full_like(found.val_acc, other)
        val_acc[found.chosen, 0] = val_acc[found.chosen] = own
        made = replace(found, best=nothing, val_acc=val_acc)
        monkeypatch.setattr(_gragr, "select_trajectory", lambda *_, made=made, **__: made)
        model = build("GCN")
        GraGR(model, seeds=2, **ALONE).fit(data, epochs=8, patience=8, progress=False)
        assert goes_back != any(bool(value.any()) for value in model.state_dict().values())
