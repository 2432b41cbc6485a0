"""The adaptive scheduler (eq. 14), and what a training is while its gate is closed."""

from __future__ import annotations

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain.errors import InvalidArgumentError
from gragr_explain.training import TABLE_5, AdaptiveScheduler, GraGR, GraGRPlusPlus, _reasoning

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
GATED = {
    "attention": "training",
    "conflict_weight": 0.3,
    "exact_conflict": True,
    "pathway_threshold": 0.0,
    "pathway_epochs": 3,
}
EVERYTHING = {**GATED, "meta": "node"}

losses = st.lists(st.one_of(st.floats(-10, 10), st.integers(-4, 4).map(float)), max_size=12)


def build(backbone: str, **options) -> nn.Module:
    torch.manual_seed(0)
    return BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, **options)


# eq. 14 --------------------------------------------------------------------------------------------------------------


@given(losses, st.sampled_from([0.0, 1e-3, 0.1, 2.0]), st.integers(0, 6))
def test_the_gate_is_that_of_equation_14(curve: list[float], threshold: float, min_epochs: int) -> None:
    """By a loop over epochs t = 1, 2, ...; the gate after the loss of epoch t is that of the next one."""
    scheduler = AdaptiveScheduler(threshold, min_epochs)
    for t, loss in enumerate(curve, start=1):
        at_rest = t > 1 and curve[t - 2] - loss <= threshold * abs(curve[t - 2])
        assert scheduler.open(loss) == (at_rest and t >= min_epochs)


@given(losses.filter(len), st.floats(1e-3, 1e3))
def test_the_unit_of_the_loss_does_not_matter(curve: list[float], unit: float) -> None:
    first, second = AdaptiveScheduler(0.0, 2), AdaptiveScheduler(0.0, 2)
    assert [first.open(loss) for loss in curve] == [second.open(loss * unit) for loss in curve]


@pytest.mark.parametrize(
    ("curve", "gates"),
    [
        ([2.0, 1.0, 0.5, 0.25], [False, False, False, False]),  # each halves the loss
        ([1.0, 1.0, 1.0], [False, True, True]),
        ([1.0, 1.5, 1.4], [False, True, False]),  # a loss that rises is no improvement
        ([0.0, 0.0, 0.5], [False, True, True]),  # nor is one that rises from zero
        ([1.0, 0.0, 0.0], [False, False, True]),
        ([1.0, 0.995, 0.9], [False, True, False]),
    ],
)
def test_a_plateau_opens_it_and_an_improvement_closes_it(curve, gates):
    scheduler = AdaptiveScheduler(threshold=0.01, min_epochs=1)
    assert [scheduler.open(loss) for loss in curve] == gates


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": -1e-9}, "threshold of at least 0, got -1e-09"),
        ({"threshold": math.nan}, "got nan"),
        ({"threshold": math.inf}, "got inf"),
        ({"min_epochs": -1}, "min_epochs of at least 0, got -1"),
    ],
)
def test_thresholds_out_of_range(arguments, message):
    with pytest.raises(InvalidArgumentError, match=message):
        AdaptiveScheduler(**arguments)


# a closed gate -------------------------------------------------------------------------------------------------------


def plain_loop(model: nn.Module, data: Data, row, epochs: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=row.lr, weight_decay=row.weight_decay)
    for _ in range(epochs):
        model.train()
        optimizer.zero_grad()
        F.cross_entropy(model(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask]).backward()
        optimizer.step()


@pytest.mark.parametrize("options", [{}, GATED], ids=["defaults", "everything"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_while_the_gate_is_closed_a_training_is_that_of_the_base_model_bit_for_bit(backbone, options, data):
    """With dropout and batch normalisation, whose state a pass too many would change."""
    model = build(backbone, dropout=0.5, norm="batch_norm")
    plain = copy.deepcopy(model)
    torch.manual_seed(4)
    plain_loop(plain, data, TABLE_5[backbone], 12)
    torch.manual_seed(4)
    trained = GraGRPlusPlus(model, seeds=1, pathway=True, schedule_min_epochs=12, **options)
    trained.fit(data, epochs=12, progress=False)
    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    own = plain.eval()(data.x, data.edge_index)
    assert torch.equal(trained(data.x, data.edge_index), own)
    assert set(trained.history.curves["beta"]) == {0.0}
    assert trained.history.num_steps == 12


def test_a_closed_gate_takes_no_part_in_an_epoch(data, monkeypatch):
    """No gradient is corrected, attended by or penalised until the gate opens; weights of nodes have no gate."""
    calls: list[str] = []
    for name in ("correct_field", "gradient_attention", "validation_hypergradient", "conflict_term"):
        original = getattr(_reasoning, name)

        def counted(*args, name=name, original=original, **kwargs):
            calls.append(name)
            return original(*args, **kwargs)

        monkeypatch.setattr(_reasoning, name, counted)

    def count(epochs: int, **options) -> dict[str, int]:
        calls.clear()
        trained = GraGRPlusPlus(build("GCN"), seeds=1, schedule_min_epochs=6, schedule_threshold=1e9, **options)
        trained.fit(data, epochs=epochs, progress=False)
        return {name: calls.count(name) for name in calls}

    assert count(6, **GATED) == {}
    opened = {"correct_field": 2, "gradient_attention": 1, "conflict_term": 2}
    assert count(8, **GATED) == opened
    assert count(8, **EVERYTHING) == {**opened, "validation_hypergradient": 8}


def test_the_gate_of_a_training_follows_its_loss(data, monkeypatch):
    """The epochs that reason are those that eq. 14 gives for the recorded losses; between them, attention stays."""
    attend, renewed = GraGR.attend, []
    monkeypatch.setattr(GraGR, "attend", lambda self, *args: renewed.append(attend(self, *args)))
    options = {"seeds": 1, "schedule_min_epochs": 5, "schedule_threshold": 0.01, "attention": "training"}
    trained = GraGRPlusPlus(build("GCN", dropout=0.5), **options)
    curves = trained.fit(data, epochs=40, lr=0.05, progress=False).history.curves
    scheduler, loss = AdaptiveScheduler(0.01, 5), curves["loss"]
    gates = [False, *(scheduler.open(value) for value in loss[:-1])]
    assert 5 < sum(gates) < 35
    assert [not math.isnan(share) for share in curves["conflict_share"]] == gates
    assert len(renewed) == sum(gates) - 1  # at the first of them, there is no gradient yet
    assert {len(curve) for curve in curves.values()} == {40}


# everything at once --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backbone", BACKBONES)
def test_with_everything_on_the_same_seed_gives_the_same_result_bit_for_bit(backbone, data):
    def train(record: bool) -> GraGR:
        torch.manual_seed(5)
        model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, dropout=0.5)
        options = {**EVERYTHING, "schedule_min_epochs": 3, "schedule_threshold": 0.05, "seeds": 3, "seed_epochs": 2}
        return GraGRPlusPlus(model, **options).fit(data, epochs=20, record=record, progress=False)

    first, second, unrecorded = train(True), train(True), train(False)
    assert first.attention is not None
    assert first.loss_weights is not None
    assert max(first.history.curves["beta"]) == 1
    assert first.history.curves == second.history.curves
    assert torch.equal(first.loss_weights, second.loss_weights)
    assert torch.equal(first.selection.val_loss, second.selection.val_loss)
    assert torch.equal(first.history.field("training"), second.history.field("training"))
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    for name, value in unrecorded.state_dict().items():
        assert torch.equal(first.state_dict()[name], value), f"recording changed {name}"


@pytest.mark.parametrize("backbone", BACKBONES)
def test_with_everything_on_it_learns(backbone, make_data):
    data = make_data(num_nodes=60, seed=2)
    data.x[:, :3] += 2 * F.one_hot(data.y, 3)
    torch.manual_seed(0)
    model = BACKBONES[backbone](5, 16, num_layers=2, out_channels=3)
    trained = GraGRPlusPlus(model, seeds=2, **EVERYTHING).fit(data, epochs=60, progress=False)
    right = trained(data.x, data.edge_index).argmax(-1) == data.y
    assert float(right[data.val_mask].float().mean()) > 0.9  # of three classes
