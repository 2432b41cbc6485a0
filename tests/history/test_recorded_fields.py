"""What is recorded, against a plain loop that keeps everything."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from recorded_models import MODELS, make_graph, make_model, steps, train
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain.field import alignment, detect_conflicts, neighbour_mean
from gragr_explain.history import (
    GradientRecorder,
    class_log_probs,
    hidden_representation,
    margins,
    message_passing_layers,
    tap,
)

EPOCHS = 11


@dataclass
class Kept:
    """Everything of every step."""

    training: list[Tensor] = field(default_factory=list)
    own: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)


def self_label(output: Tensor, data: Data) -> Tensor:
    return torch.where(data.train_mask, data.y, output.argmax(-1))


def keep_everything(model: nn.Module, layer: nn.Module, data: Data) -> Kept:
    """Train with ``retain_grad`` on a layer's output; the self field from its definition."""
    kept, hidden = Kept(), []
    own = layer.register_forward_hook(lambda _m, _a, output: hidden.append(output))

    def after(_model: nn.Module, _args: object, output: Tensor) -> None:
        if not model.training:
            return
        loss = F.cross_entropy(output, self_label(output, data), reduction="sum")
        kept.own.append(torch.autograd.grad(loss, hidden[-1], retain_graph=True)[0])
        kept.outputs.append(output.detach().clone())
        kept.weights.append({key: value.clone() for key, value in model.state_dict().items()})
        hidden[-1].retain_grad()

    whole = model.register_forward_hook(after)
    for _ in steps(model, data, EPOCHS):
        kept.training.append(hidden[-2].grad)  # the last is that of the validation pass
    own.remove()
    whole.remove()
    return kept


@pytest.mark.parametrize("name", MODELS)
def test_the_training_field_is_the_gradient_of_the_hidden_representation(name: str) -> None:
    data, plain, recorded = make_graph(), make_model(name), make_model(name)
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    with GradientRecorder(recorded, data, snapshots=range(EPOCHS)) as history:
        train(recorded, data, EPOCHS)
    for step, expected in enumerate(kept.training):
        assert torch.equal(history.snapshots["training", step], expected), step


@pytest.mark.parametrize("layer", [0, 1, 2, -3, -1, None])
def test_the_layer_can_be_chosen(layer: int | None) -> None:
    data, plain, recorded = make_graph(), make_model("GCN"), make_model("GCN")
    chosen = message_passing_layers(plain)[-2 if layer is None else layer]
    kept = keep_everything(plain, chosen, data)
    with GradientRecorder(recorded, data, layer=layer) as history:
        train(recorded, data, EPOCHS)
    torch.testing.assert_close(history.field("training"), torch.stack(kept.training).mean(0))


@pytest.mark.parametrize("name", MODELS)
def test_statistics_are_those_of_the_whole_sequence(name: str) -> None:
    data, plain, recorded = make_graph(), make_model(name), make_model(name)
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    with GradientRecorder(recorded, data, self_field_every=3) as history:
        train(recorded, data, EPOCHS)
    for name_, every, sequence in (("training", 1, kept.training), ("self", 3, kept.own)):
        fields = torch.stack(sequence[::every]).double().numpy()
        record, norm = history.fields[name_], np.linalg.norm(fields, axis=-1)
        assert record.count == len(fields)
        np.testing.assert_array_equal(record.last.numpy(), sequence[::every][-1].numpy())
        np.testing.assert_allclose(record.mean, fields.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(record.norm_mean, norm.mean(0), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(record.norm_std, norm.std(0), rtol=1e-3, atol=1e-6)
        with np.errstate(invalid="ignore"):
            turns = (fields[1:] * fields[:-1]).sum(-1) / norm[1:] / norm[:-1]
            persistence = np.nansum(turns, 0) / (~np.isnan(turns)).sum(0)
        np.testing.assert_allclose(record.persistence, persistence, rtol=1e-4, atol=1e-5)


def test_nodes_without_a_training_gradient_have_a_self_field() -> None:
    data = make_graph()
    data.edge_index = torch.zeros(2, 0, dtype=torch.long)  # the receptive field of a training node is itself
    model = make_model("GIN")
    with GradientRecorder(model, data) as history:
        train(model, data, EPOCHS)
    assert torch.equal(history.field("training").any(-1), data.train_mask)
    assert bool(history.field("self").any(-1).all())
    assert history.fields["training"].persistence.isnan().tolist() == (~data.train_mask).tolist()


@pytest.mark.parametrize("column", [False, True], ids=["y [n]", "y [n, 1]"])
def test_the_self_field_is_that_of_true_labels_on_training_nodes_and_predicted_ones_elsewhere(column: bool) -> None:
    data, plain, recorded = make_graph(), make_model("GraphSAGE"), make_model("GraphSAGE")
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    labels = data.y.view(-1, 1) if column else data.y
    given = Data(x=data.x, edge_index=data.edge_index, y=labels, train_mask=data.train_mask)
    with GradientRecorder(recorded, given, self_field_every=5) as history:
        train(recorded, data, EPOCHS)
    expected = torch.stack([kept.own[step] for step in (0, 5, 10)])
    torch.testing.assert_close(history.field("self"), expected.mean(0))
    torch.testing.assert_close(history.fields["self"].last, expected[-1])


def test_without_labels_the_self_field_is_that_of_the_predictions() -> None:
    data, model = make_graph(), make_model("GIN")
    nothing_known = data.clone()
    nothing_known.train_mask = torch.zeros_like(data.train_mask)
    other = make_model("GIN")
    with GradientRecorder(model) as blind, GradientRecorder(other, nothing_known) as unlabelled:
        train(model, data, 6)
        train(other, data, 6)
    assert torch.equal(blind.field("self"), unlabelled.field("self"))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_labels_of_binary_cross_entropy_are_classes(shape: tuple[int, ...]) -> None:
    """The history of a classifier is the same, whether its labels are 0 and 1 or 0.0 and 1.0."""
    histories = []
    for dtype in (torch.long, torch.float):
        torch.manual_seed(0)
        data, model = make_graph(), GCN(make_graph().num_features, 8, num_layers=2, out_channels=1)
        data.y = (torch.arange(data.num_nodes) % 2).to(dtype).view(shape)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        with GradientRecorder(model, data) as history:
            for _ in range(3):
                optimizer.zero_grad()
                score = model(data.x, data.edge_index).view(-1)[data.train_mask]
                F.binary_cross_entropy_with_logits(score, data.y.view(-1)[data.train_mask].float()).backward()
                optimizer.step()
        histories.append(history)
    first, second = histories
    assert set(first.trajectories) == set(second.trajectories) == {"norm", "confidence", "margin", "alignment"}
    assert torch.equal(first.field("self"), second.field("self"))
    assert bool((first.field("self").norm(dim=-1) > 0).all())


def test_regression_has_the_self_field_of_its_squared_error() -> None:
    data, model = make_graph(), make_model("graph level").gnn
    data.y = torch.randn(data.num_nodes, 8)
    with GradientRecorder(model, data, layer=-1) as history:
        output = model(data.x, data.edge_index)
        output.sum().backward()
    expected = torch.where(data.train_mask.unsqueeze(-1), output - data.y, 0).detach()
    torch.testing.assert_close(history.field("self"), expected)


def test_trajectories_are_those_of_the_outputs() -> None:
    data, plain, recorded = make_graph(), make_model("GAT"), make_model("GAT")
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    with GradientRecorder(recorded, data) as history:
        train(recorded, data, EPOCHS)
    probs = torch.stack(kept.outputs).softmax(-1)
    torch.testing.assert_close(history.trajectories["confidence"].values, probs.amax(-1))
    torch.testing.assert_close(history.trajectories["norm"].values, torch.stack(kept.training).norm(dim=-1))
    for step, output in enumerate(kept.outputs):
        label = self_label(output, data)
        for node in range(data.num_nodes):
            row = probs[step, node].tolist()
            expected = row.pop(int(label[node])) - max(row)
            assert float(history.trajectories["margin"].values[step, node]) == pytest.approx(expected, abs=1e-5)


def test_conflicts_are_counted_by_equation_1() -> None:
    data, plain, recorded = make_graph(), make_model("GCN"), make_model("GCN")
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    with GradientRecorder(recorded, data) as history:
        train(recorded, data, EPOCHS)
    expected = torch.zeros(data.num_nodes)
    for gradient in kept.training:
        context = neighbour_mean(gradient, data.edge_index)
        expected += detect_conflicts(gradient, context, tau_mag=0.1 * float(gradient.norm(dim=-1).mean()))
    assert int(expected.sum()) > 0
    assert torch.equal(history.conflict_count, expected)


def test_conflicts_are_counted_where_messages_come_from() -> None:
    counts, data = [], make_graph()
    senders = data.edge_index[:, : data.num_edges // 2]
    for flow, edges in (("source_to_target", senders), ("target_to_source", senders.flip(0))):
        model = make_model("GIN")
        for layer in message_passing_layers(model):
            layer.flow = flow
        directed = Data(x=data.x, edge_index=edges, y=data.y, train_mask=data.train_mask)
        with GradientRecorder(model, directed) as history:
            train(model, directed, EPOCHS)
        counts.append(history.conflict_count)
    assert int(counts[0].sum()) > 0
    assert torch.equal(*counts)


@pytest.mark.parametrize("off", [{"count_conflicts": False}, {"data": None}])
def test_conflicts_are_not_counted_unasked(off: dict) -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, **{"data": data} | off) as history:
        train(model, data, 2)
    assert history.conflict_count is None


@pytest.mark.parametrize("name", MODELS)
def test_weights_are_those_of_their_steps(name: str) -> None:
    data, plain, recorded = make_graph(), make_model(name), make_model(name)
    kept = keep_everything(plain, message_passing_layers(plain)[-2], data)
    with GradientRecorder(recorded, data) as history:
        train(recorded, data, EPOCHS)
    assert list(history.weights) == [0, 2, 4, 6, 8, 10, EPOCHS]
    parameters = dict(plain.named_parameters()).keys()
    for step, weights in history.weights.items():
        expected = kept.weights[step] if step < EPOCHS else plain.state_dict()
        assert weights.keys() == expected.keys()
        assert all(torch.equal(weights[key], expected[key]) for key in parameters), step


@pytest.mark.parametrize("by_columns", [False, True])
@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ([[0.0, 0.0, 0.0]], [[1 / 3, 1 / 3, 1 / 3]]),
        ([[2.0, 0.0]], [[0.8808, 0.1192]]),
        ([[-0.1054, -2.3026]], [[0.9, 0.1]]),
        ([[0.9, 0.1], [0.2, 0.8]], [[0.9, 0.1], [0.2, 0.8]]),
        ([[0.9, 0.1], [0.2, 0.9]], [[0.69, 0.31], [0.3318, 0.6682]]),
        ([[2.0], [0.0]], [[0.1192, 0.8808], [0.5, 0.5]]),
        ([2.0, 0.0], [[0.1192, 0.8808], [0.5, 0.5]]),
        ([[1.0, 0.0]], [[1.0, 0.0]]),
    ],
    ids=["scores", "two scores", "log-probabilities", "probabilities", "nearly", "column", "flat", "certain"],
)
def test_any_output_of_a_classifier_is_understood(output: list, expected: list, by_columns: bool) -> None:
    found = class_log_probs(torch.tensor(output), by_columns=by_columns)
    torch.testing.assert_close(found.exp(), torch.tensor(expected), atol=1e-4, rtol=0)
    assert bool(found.isfinite().all())
    label = torch.zeros(found.size(0), dtype=torch.long)
    torch.testing.assert_close(margins(found.exp(), label), found.exp()[:, 0] - found.exp()[:, 1:].amax(-1))


def test_alignments_are_those_of_the_self_field_each_time_it_was_taken() -> None:
    data, model = make_graph(), make_model("GCN")
    with GradientRecorder(model, data, self_field_every=4) as history:
        train(model, data, 1)
        first = history.field("self").clone()
        train(model, data, 7)
    recorded = history.trajectories["alignment"]
    assert recorded.count == 2  # at steps 0 and 4
    torch.testing.assert_close(
        recorded.values[0], alignment(first, neighbour_mean(first, data.edge_index)), equal_nan=True
    )


def test_backward_passes_through_one_forward_pass_are_one_step() -> None:
    """As where the losses of several tasks, or parts of the training nodes, are differentiated one by one."""
    data, whole, parts = make_graph(), make_model("GIN"), make_model("GIN")
    with (
        GradientRecorder(whole, data, snapshots=[0, 3]) as expected,
        GradientRecorder(parts, data, snapshots=[0, 3]) as found,
    ):
        for _ in range(4):
            for model, pieces in ((whole, 1), (parts, 3)):
                torch.manual_seed(0)
                output = model(data.x, data.edge_index)
                losses = F.cross_entropy(output[data.train_mask], data.y[data.train_mask], reduction="none")
                for piece in losses.chunk(pieces):
                    piece.sum().backward(retain_graph=True)
    assert found.num_steps == expected.num_steps == 4
    assert found.trajectories["norm"].count == found.trajectories["margin"].count == 4
    torch.testing.assert_close(found.field("training"), expected.field("training"))
    torch.testing.assert_close(found.snapshots["training", 3], expected.snapshots["training", 3])
    torch.testing.assert_close(found.conflict_count, expected.conflict_count)


@pytest.mark.parametrize("name", ["GCN", "GAT", "GIN", "GraphSAGE"])
def test_an_activation_in_place_changes_nothing(name: str) -> None:
    data, histories, hidden = make_graph(), [], []
    for inplace in (False, True):
        torch.manual_seed(0)
        model = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}[name](5, 8, 2, 3, act=nn.ReLU(inplace))
        with GradientRecorder(model, data) as history:
            train(model, data, 6)
        histories.append(history)
        hidden.append(hidden_representation(model.eval(), data.x, data.edge_index)[0])
    for kind in ("self", "training"):
        assert torch.equal(histories[1].field(kind), histories[0].field(kind)), kind
    assert torch.equal(*hidden)
    assert bool((hidden[1] < 0).any())


def test_several_listeners_hear_the_same_layer() -> None:
    data, model, heard = make_graph(), make_model("GCN"), []
    with tap(model, lambda outputs, _: heard.append(outputs)), tap(model, lambda outputs, _: heard.append(outputs)):
        model(data.x, data.edge_index)
    assert all(one is other for one, other in zip(*heard, strict=True))
