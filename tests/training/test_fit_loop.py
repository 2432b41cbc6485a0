"""Everything about ``GraGR.fit`` but the correction itself."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GINConv, GraphSAGE, SAGEConv

from gragr_explain import GradientHistory, GradientRecorder, GraGR, GraGRPlusPlus
from gragr_explain.errors import HistoryMismatchError, InvalidArgumentError, TrainingError
from gragr_explain.history import find_history
from gragr_explain.training import TABLE_5, hyperparameters_of


def gcn(**kwargs) -> GCN:
    torch.manual_seed(0)
    return GCN(5, 8, num_layers=2, out_channels=3, **kwargs)


# Table 5 -------------------------------------------------------------------------------------------------------------


def test_table_5_is_the_papers():
    columns = ("lr", "weight_decay", "dropout", "tau_mag", "tau_cos", "lambda_smooth", "smooth_iters", "alpha_smooth")
    rows = {name: tuple(getattr(row, column) for column in columns) for name, row in TABLE_5.items()}
    assert rows == {
        "GCN": (0.01, 5e-4, 0.5, 0.10, -0.10, 0.10, 3, 0.1),
        "GAT": (0.01, 5e-4, 0.5, 0.15, -0.15, 0.05, 2, 0.1),
        "GIN": (0.01, 5e-4, 0.5, 0.05, -0.05, 0.20, 5, 0.1),
        "GraphSAGE": (0.01, 5e-4, 0.5, 0.05, -0.05, 0.20, 5, 0.1),
    }


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_defaults_come_from_the_backbone(kind):
    assert GraGR(kind(5, 8, num_layers=2, out_channels=3)).settings == TABLE_5[kind.__name__]


def test_backbone_is_read_from_the_layers_not_from_the_models_name():
    class SAGEbrushGINGATModel(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 3)

    assert hyperparameters_of(SAGEbrushGINGATModel()) == TABLE_5["GCN"]
    assert hyperparameters_of(nn.Sequential(SAGEConv(5, 3))) == TABLE_5["GraphSAGE"]
    assert hyperparameters_of(GINConv(nn.Linear(5, 3))) == TABLE_5["GIN"]


def test_given_values_win():
    settings = GraGR(gcn(), tau_mag=0.3, tau_cos=0.0, lambda_smooth=0.0, smooth_iters=0, alpha_smooth=1.0).settings
    assert (settings.tau_mag, settings.tau_cos, settings.lambda_smooth) == (0.3, 0.0, 0.0)
    assert (settings.smooth_iters, settings.alpha_smooth) == (0, 1.0)
    assert settings.lr == TABLE_5["GCN"].lr


# the loop ------------------------------------------------------------------------------------------------------------


def test_forward_is_the_models_own(data):
    model = gcn(dropout=0.5)
    trained = GraGR(model)
    assert torch.equal(trained.eval()(data.x, data.edge_index), model.eval()(data.x, data.edge_index))
    trained.fit(data, epochs=2, progress=False)
    assert not trained.training
    assert torch.equal(trained(data.x, data.edge_index), model(data.x, data.edge_index))
    weight = torch.rand(data.num_edges)
    assert torch.equal(
        trained(data.x, data.edge_index, edge_weight=weight), model(data.x, data.edge_index, edge_weight=weight)
    )


def test_progress_bar_shows_the_four_numbers(data, capsys):
    GraGR(gcn()).fit(data, epochs=3)
    shown = capsys.readouterr().err
    for name in ("loss", "val_acc", "conflict_share", "conflict_energy"):
        assert re.search(rf"\b{name}=\d+\.\d{{3}}", shown), shown
    assert "3/3" in shown
    GraGR(gcn()).fit(data, epochs=1, progress=False)
    assert capsys.readouterr().err == ""


def test_curves_have_a_number_an_epoch(data):
    curves = GraGR(gcn()).fit(data, epochs=7, progress=False).history.curves
    assert {name: len(curve) for name, curve in curves.items()} == dict.fromkeys(
        ("loss", "val_acc", "conflict_share", "conflict_energy"), 7
    )
    assert all(0 <= share <= 1 for share in curves["conflict_share"] + curves["val_acc"])
    assert all(energy >= 0 for energy in curves["conflict_energy"])


def test_without_validation_there_is_no_accuracy(data):
    del data.val_mask
    assert "val_acc" not in GraGR(gcn()).fit(data, epochs=2, progress=False).history.curves


def test_validation_nodes_without_a_label_are_neither_right_nor_wrong(data):
    known = data.clone()
    known.val_mask = data.val_mask & (torch.arange(len(data.y)) % 2 == 0)
    data.y = torch.where(known.val_mask | data.train_mask, data.y, -1)
    assert bool((data.y[data.val_mask] < 0).any())
    every, some = (
        GraGR(gcn()).fit(graph, epochs=5, progress=False).history.curves["val_acc"] for graph in (data, known)
    )
    assert every == some
    data.y = torch.where(data.train_mask, data.y, -1)
    assert "val_acc" not in GraGR(gcn()).fit(data, epochs=1, progress=False).history.curves
    with pytest.raises(InvalidArgumentError, match="one node that has a label for patience=5, got none"):
        GraGR(gcn()).fit(data, epochs=1, patience=5, progress=False)


def test_validation_accuracy_is_that_of_the_weights_after_the_step(data):
    model = gcn(dropout=0.5)
    accuracy = GraGR(model).fit(data, epochs=4, progress=False).history.curves["val_acc"][-1]
    right = model(data.x, data.edge_index).argmax(-1) == data.y
    assert accuracy == pytest.approx(float(right[data.val_mask].float().mean()))


def test_early_stopping_is_off_by_default_and_goes_back_to_the_best_weights(data):
    every_epoch = (
        GraGR(gcn(), conflict=False, alignment=False).fit(data, epochs=80, progress=False).history.curves["val_acc"]
    )
    assert len(every_epoch) == 80
    best = max(range(80), key=lambda epoch: (every_epoch[epoch], -epoch))
    first_best, patience = best, 5
    seen = -1.0
    for epoch, accuracy in enumerate(every_epoch):  # when a patience of 5 stops
        if accuracy > seen:
            seen, first_best = accuracy, epoch
        if epoch - first_best >= patience:
            break
    assert epoch < 79, "the curve must have a plateau for this test to mean something"

    model = gcn()
    stopped = GraGR(model, conflict=False, alignment=False).fit(data, epochs=80, patience=patience, progress=False)

    assert stopped.history.curves["val_acc"] == every_epoch[: epoch + 1]
    up_to_best = gcn()
    GraGR(up_to_best, conflict=False, alignment=False).fit(data, epochs=first_best + 1, progress=False)
    for first, second in zip(model.parameters(), up_to_best.parameters(), strict=True):
        assert torch.equal(first, second)


class Stumbling(nn.Module):
    """A model whose output is NaN from one training pass on; it remembers the weights of each pass."""

    def __init__(self, at: int):
        super().__init__()
        self.gnn = gcn()
        self.at = at
        self.seen: list[dict[str, torch.Tensor]] = []

    def forward(self, x, edge_index):
        output = self.gnn(x, edge_index)
        if not self.training:
            return output
        self.seen.append({name: value.clone() for name, value in self.state_dict().items()})
        return output * torch.nan if len(self.seen) > self.at else output


def no_hooks(model: nn.Module) -> bool:
    return not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in model.modules())


def test_a_loss_that_is_not_finite_keeps_the_last_good_weights(data):
    model = Stumbling(at=4)
    with pytest.raises(TrainingError, match=r"the loss became nan in epoch 4"):
        GraGR(model).fit(data, epochs=10, progress=False)
    for name, value in model.state_dict().items():
        assert torch.equal(value, model.seen[3][name]), name
    assert no_hooks(model)


def test_a_loss_that_is_not_finite_at_once_leaves_the_weights(data):
    model = Stumbling(at=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(TrainingError, match="epoch 0"):
        GraGR(model).fit(data, epochs=10, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_exploding_weights_are_finite_again(data):
    model = gcn()
    with pytest.raises(TrainingError):
        GraGR(model).fit(data, epochs=10, lr=1e30, progress=False)
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_hooks_are_gone_after_training(data):
    model = gcn()
    GraGR(model).fit(data, epochs=2, progress=False)
    assert no_hooks(model)


@pytest.mark.parametrize("kind", [GCN, GraphSAGE])
def test_edge_weights_reach_models_that_take_them(kind, data):
    def train(weight: torch.Tensor | None) -> GraGR:
        torch.manual_seed(0)
        graph = data.clone()
        if weight is not None:
            graph.edge_weight = weight
        return GraGR(kind(5, 8, num_layers=2, out_channels=3)).fit(graph, epochs=3, progress=False)

    plain, weighted = train(None), train(torch.linspace(0.1, 2, data.num_edges))
    changed = plain.history.curves["loss"] != weighted.history.curves["loss"]
    assert changed == (kind is GCN)


def test_edge_attributes_reach_gat(data):
    data.edge_attr = torch.randn(data.num_edges, 2)
    model = GAT(5, 8, num_layers=2, out_channels=3, edge_dim=2)
    GraGR(model).fit(data, epochs=2, progress=False)
    assert model.convs[0].lin_edge.weight.grad.abs().sum() > 0


def test_a_model_written_by_hand_with_skip_and_norm(data):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.third = GCNConv(5, 8), SAGEConv(8, 8), GCNConv(8, 8)
            self.norm, self.head = nn.BatchNorm1d(8), nn.Linear(8, 3)

        def forward(self, x, edge_index):
            first = self.norm(self.first(x, edge_index)).relu()
            second = self.second(first, edge_index).relu() + first
            return self.head(self.third(second, edge_index))

    trained = GraGR(Own()).fit(data, epochs=5, progress=False)
    assert trained.history.num_steps == 5
    assert trained.history.field("self").shape == (30, 8)


def test_training_twice_replaces_the_history(data):
    trained = GraGR(gcn()).fit(data, epochs=4, progress=False)
    first = trained.history
    trained.fit(data, epochs=3, progress=False)
    assert isinstance(first, GradientHistory)
    assert trained.history is not first
    assert (first.num_steps, trained.history.num_steps) == (4, 3)


def test_the_history_is_the_one_that_explanations_use(data):
    trained = GraGR(GCN(data.num_features, 8, 2, 3))
    with GradientRecorder(trained, data) as recorded:
        trained(data.x, data.edge_index).sum().backward()
    assert trained.history is recorded
    trained.fit(data, epochs=2, progress=False)
    assert trained.history is not recorded
    assert trained.history is find_history(trained)


@pytest.mark.parametrize("options", [{}, {"conflict": False, "alignment": False}])
def test_the_history_has_every_trajectory_whoever_counts_conflicts(options, data):
    history = GraGR(gcn(), **options).fit(data, 3, progress=False).history
    assert set(history.trajectories) == {"norm", "confidence", "margin", "alignment"}
    assert history.conflict_count.shape == (data.num_nodes,)


def test_unrecorded_training_has_no_history(data):
    trained = GraGR(gcn()).fit(data, epochs=2, record=False, progress=False)
    assert trained.history is None
    assert trained.reasoner is None
    assert trained.class_signal is None


def test_a_history_before_training_is_none():
    assert GraGR(gcn()).history is None


# the auxiliary signal ------------------------------------------------------------------------------------------------


def test_auxiliary_weight_adds_the_class_signal(data):
    trained = GraGR(gcn(), auxiliary_weight=0.5).fit(data, epochs=3, progress=False)
    own = trained.model(data.x, data.edge_index)
    assert trained.class_signal.shape == own.shape
    assert torch.equal(trained(data.x, data.edge_index), own + 0.5 * trained.class_signal)
    trained.auxiliary_weight = 0.0
    assert torch.equal(trained(data.x, data.edge_index), own)


def test_class_signal_is_the_reasoners(data):
    from gragr_explain.context import GradientContext

    trained = GraGR(gcn()).fit(data, epochs=3, progress=False)
    probability = trained(data.x, data.edge_index).softmax(-1).amax(-1)
    context = GradientContext.from_field(trained.history.field("self"), data.edge_index, "self", probability)
    scores = trained.reasoner.classify(trained.reasoner(context.psi, context.valid))
    torch.testing.assert_close(scores.detach(), trained.class_signal)


def test_auxiliary_signal_of_another_graph(data, make_data):
    trained = GraGR(gcn(), auxiliary_weight=0.5).fit(data, epochs=2, progress=False)
    other = make_data(num_nodes=20)
    with pytest.raises(HistoryMismatchError, match=r"\[30, 3\].*\[20, 3\]"):
        trained(other.x, other.edge_index)


# state_dict ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("auxiliary_weight", [0.0, 0.7])
def test_state_dict_of_a_trained_wrapper_loads_into_a_fresh_one(auxiliary_weight, data, tmp_path):
    trained = GraGR(gcn(), auxiliary_weight=auxiliary_weight).fit(data, epochs=3, progress=False)
    torch.save(trained.state_dict(), tmp_path / "weights.pt")
    torch.manual_seed(99)
    fresh = GraGR(GCN(5, 8, num_layers=2, out_channels=3), auxiliary_weight=auxiliary_weight).eval()
    assert not torch.equal(fresh(data.x, data.edge_index), trained(data.x, data.edge_index))

    result = fresh.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True), strict=True)

    assert (result.missing_keys, result.unexpected_keys) == ([], [])
    assert torch.equal(fresh(data.x, data.edge_index), trained(data.x, data.edge_index))
    assert torch.equal(fresh.class_signal, trained.class_signal)
    psi, valid = torch.rand(4, 6), torch.ones(4, 6, dtype=torch.bool)
    assert torch.equal(fresh.reasoner(psi, valid), trained.reasoner(psi, valid))
    assert list(fresh.state_dict()) == list(trained.state_dict())


def test_state_dict_of_an_untrained_wrapper_loads_everywhere(data):
    untrained = GraGR(gcn())
    for target in (GraGR(gcn(dropout=0.1)), GraGR(gcn()).fit(data, epochs=2, progress=False)):
        target.load_state_dict(untrained.state_dict(), strict=True)
        assert target.reasoner is None
        assert target.class_signal is None
        for name, value in untrained.state_dict().items():
            assert torch.equal(target.state_dict()[name], value)


def test_state_dict_works_inside_another_module(data):
    trained = nn.ModuleDict({"inner": GraGR(gcn()).fit(data, epochs=2, progress=False)})
    fresh = nn.ModuleDict({"inner": GraGR(gcn())})
    fresh.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(fresh["inner"].class_signal, trained["inner"].class_signal)


def test_state_dict_of_another_model_is_refused(data):
    trained = GraGR(gcn()).fit(data, epochs=2, progress=False)
    with pytest.raises(RuntimeError, match="size mismatch"):
        GraGR(GCN(5, 4, num_layers=2, out_channels=3)).load_state_dict(trained.state_dict())


@pytest.mark.parametrize("kind", [GraGR, GraGRPlusPlus])
def test_training_needs_no_gradients_from_outside(kind, data):
    weights = []
    for mode in (torch.enable_grad, torch.no_grad):
        torch.manual_seed(0)
        model = GCN(5, 8, num_layers=2, out_channels=3)
        with mode():
            kind(model).fit(data, epochs=5, progress=False)
        weights.append(model.state_dict())
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


class Interrupted(Stumbling):
    """A model whose user has seen enough in a training pass."""

    def forward(self, x, edge_index):
        if self.training and len(self.seen) == self.at:
            raise KeyboardInterrupt
        return super().forward(x, edge_index)


def test_an_interrupted_training_with_patience_goes_back_to_the_best_weights(data):
    model = Interrupted(at=60)
    trained = GraGR(model)
    with pytest.raises(KeyboardInterrupt):
        trained.fit(data, epochs=80, patience=80, progress=False)
    accuracy = trained.curves["val_acc"]
    best = accuracy.index(max(accuracy))
    assert best + 1 < len(model.seen) - 1, "the best weights must not be the last for this test to mean something"
    for name, value in model.state_dict().items():
        assert torch.equal(value, model.seen[best + 1][name]), name


@pytest.mark.parametrize("kind", [Stumbling, Interrupted])
def test_a_training_that_ends_early_leaves_the_model_in_evaluation_mode(kind, data):
    model = kind(at=4)
    with pytest.raises((TrainingError, KeyboardInterrupt)):
        GraGR(model).fit(data, epochs=10, progress=False)
    assert not any(module.training for module in model.modules())
