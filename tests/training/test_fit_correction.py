"""What reaches the parameters in one step, against a transcription of eqs. 1, 3 and 4 with dense matrices."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain import GraGR
from gragr_explain.errors import TrainingError
from gragr_explain.field import GraphOperator
from gragr_explain.training import TABLE_5, correct_field

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}


def dense_correction(field: Tensor, edge_index: Tensor, settings) -> tuple[Tensor, Tensor]:
    num_nodes = field.size(0)
    adjacency = field.new_zeros(num_nodes, num_nodes)
    for source, target in edge_index.t().tolist():
        if source != target:
            adjacency[target, source] = 1
    corrected, conflict = field.clone(), torch.zeros(num_nodes, dtype=torch.bool)
    unit = field.norm(dim=1).mean()
    for v in range(num_nodes):
        neighbours = adjacency[v].nonzero().view(-1)
        if len(neighbours) == 0:
            continue
        g, context = field[v], field[neighbours].mean(0)
        if g.norm() > settings.tau_mag * unit and context.norm() > 0:
            conflict[v] = (g @ context) / (g.norm() * context.norm()) < settings.tau_cos
        if conflict[v]:
            corrected[v] = g - (g @ context) / (context @ context) * context
    weight = torch.maximum(adjacency, adjacency.t())
    system = torch.eye(num_nodes, dtype=field.dtype) + settings.lambda_smooth * (weight.sum(1).diag() - weight)
    diagonal = system.diagonal().diag()
    smooth = corrected
    for _ in range(settings.smooth_iters):
        smooth = torch.linalg.inv(diagonal) @ (corrected - (system - diagonal) @ smooth)
    return (1 - settings.alpha_smooth) * corrected + settings.alpha_smooth * smooth, conflict


def reference_gradients(model, data, settings) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Parameter gradients of one step by hand: layer by layer, each hidden gradient corrected before it goes on."""
    inputs, hiddens = [data.x], []
    for number, conv in enumerate(model.convs):
        hiddens.append(conv(inputs[-1], data.edge_index))
        if number < len(model.convs) - 1:
            inputs.append(model.act(hiddens[-1].detach()).requires_grad_())
    loss = F.cross_entropy(hiddens[-1][data.train_mask], data.y[data.train_mask])
    found, top_field, top_conflict = {}, None, None
    (gradient,) = torch.autograd.grad(loss, hiddens[-1], retain_graph=True)
    for number in reversed(range(len(model.convs))):
        parameters = dict(model.convs[number].named_parameters())
        below = [inputs[number]] if number > 0 else []
        results = torch.autograd.grad(hiddens[number], [*parameters.values(), *below], grad_outputs=gradient)
        found |= {f"convs.{number}.{name}": value for name, value in zip(parameters, results, strict=False)}
        if number > 0:
            hidden = hiddens[number - 1].detach().requires_grad_()
            (field,) = torch.autograd.grad(model.act(hidden), hidden, grad_outputs=results[-1])
            gradient, conflict = dense_correction(field, data.edge_index, settings)
            if top_field is None:
                top_field, top_conflict = field, conflict
    return found, top_field, top_conflict


@pytest.mark.parametrize("directed", [False, True])
@pytest.mark.parametrize("num_layers", [2, 3])
@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_one_step_equals_manual_backpropagation(backbone, num_layers, directed, make_data):
    torch.manual_seed(1)
    data = make_data(dtype=torch.float64, directed=directed)
    model = BACKBONES[backbone](5, 8, num_layers=num_layers, out_channels=3, dropout=0.0).double()
    settings = replace(TABLE_5[backbone], alpha_smooth=0.7)
    expected, field, conflict = reference_gradients(copy.deepcopy(model).train(), data, settings)
    assert conflict.any()
    assert not conflict.all()

    trained = GraGR(model, alpha_smooth=0.7).fit(data, epochs=1, weight_decay=0.0, progress=False)

    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], msg=lambda m, name=name: f"{name}: {m}")
    plain = reference_gradients(copy.deepcopy(model), data, replace(settings, tau_cos=-1.0, alpha_smooth=0.0))[0]
    assert any(not torch.allclose(parameter.grad, plain[name]) for name, parameter in model.named_parameters())
    assert trained.history.curves["conflict_share"] == [pytest.approx(float(conflict.double().mean()))]
    torch.testing.assert_close(trained.history.conflict_count, conflict.double())
    torch.testing.assert_close(trained.history.fields["training"].last, field)  # as the loss asked, not as corrected


@pytest.mark.parametrize("seed", range(5))
def test_correct_field_equals_dense_transcription(seed, make_data):
    data = make_data(num_nodes=12, seed=seed, dtype=torch.float64, directed=bool(seed % 2))
    for settings in TABLE_5.values():
        got, conflict = correct_field(data.x, GraphOperator(data.edge_index, 12), settings)
        expected, in_conflict = dense_correction(data.x, data.edge_index, settings)
        torch.testing.assert_close(got, expected)
        assert torch.equal(conflict, in_conflict)


@pytest.mark.parametrize("off", [{"smooth_iters": 0}, {"alpha_smooth": 0.0}])
def test_without_smoothing_only_conflicts_change(off, data):
    settings = replace(TABLE_5["GCN"], **off)
    corrected, conflict = correct_field(data.x, GraphOperator(data.edge_index, 30), settings)
    assert torch.equal(corrected[~conflict], data.x[~conflict])
    assert not torch.equal(corrected[conflict], data.x[conflict])


def test_gradients_of_a_zero_field_stay_zero(data):
    corrected, conflict = correct_field(torch.zeros(30, 4), GraphOperator(data.edge_index, 30), TABLE_5["GIN"])
    assert not corrected.any()
    assert not conflict.any()


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("record", [True, False])
def test_without_correction_fit_is_a_plain_loop(backbone, record, data):
    torch.manual_seed(3)
    model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3, dropout=0.5)
    plain, row = copy.deepcopy(model), TABLE_5[backbone]
    optimizer = torch.optim.Adam(plain.parameters(), lr=row.lr, weight_decay=row.weight_decay)
    torch.manual_seed(4)
    losses = []
    for _ in range(12):
        plain.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(plain(data.x, data.edge_index)[data.train_mask], data.y[data.train_mask])
        losses.append(loss.item())
        loss.backward()
        optimizer.step()

    torch.manual_seed(4)
    trained = GraGR(model, conflict=False, alignment=False).fit(data, epochs=12, record=record, progress=False)

    for name, value in plain.state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name
    if record:
        assert trained.history.curves["loss"] == pytest.approx(losses, rel=1e-6)  # a mean of the nodes' losses


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_same_seed_same_result(backbone, data):
    def train() -> GraGR:
        torch.manual_seed(5)
        model = BACKBONES[backbone](5, 8, num_layers=3, out_channels=3, dropout=0.3)
        return GraGR(model).fit(data, epochs=8, progress=False)

    first, second = train(), train()
    for name, value in first.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name
    assert first.history.curves == second.history.curves
    assert torch.equal(first.history.field("self"), second.history.field("self"))


def test_recording_changes_nothing(data):
    def train(record: bool) -> GCN:
        torch.manual_seed(6)
        model = GCN(5, 8, num_layers=2, out_channels=3, dropout=0.5)
        GraGR(model).fit(data, epochs=8, record=record, progress=False)
        return model

    for first, second in zip(train(True).parameters(), train(False).parameters(), strict=True):
        assert torch.equal(first, second)


def test_fit_learns(make_data):
    torch.manual_seed(0)
    data = make_data(num_nodes=60, seed=2)
    data.x[:, :3] += 2 * F.one_hot(data.y, 3)
    trained = GraGR(GCN(5, 16, num_layers=2, out_channels=3)).fit(data, epochs=60, progress=False)
    curve = trained.history.curves["loss"]
    assert curve[-1] < 0.7 * curve[0]


def test_a_gradient_that_is_not_finite_is_named():
    field = torch.full((2, 3), torch.nan)
    with pytest.raises(TrainingError, match="gradient is not finite"):
        correct_field(field, GraphOperator(torch.tensor([[0, 1], [1, 0]]), 2), TABLE_5["GCN"])
