from __future__ import annotations

import copy
import pickle

import pytest
import torch
from recorded_models import ALL_MODELS, CHANNELS, HIDDEN, Averaging, count_hooks, make_graph, make_model, train
from torch import Tensor, nn
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN, DeepGCNLayer, GCNConv

from gragr_explain import EdgeGradientExplainer, GradientContextExplainer, GraGR
from gragr_explain.errors import (
    HistoryError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.history import (
    GradientHistory,
    GradientRecorder,
    find_history,
    hidden_representation,
    message_passing_layers,
)

WITH_NODES = {"one layer", "a bare layer"}


@pytest.mark.parametrize("name", ALL_MODELS)
def test_every_kind_of_model_is_recorded(name: str) -> None:
    model, data = make_model(name), make_graph()
    with GradientRecorder(model, data) as history:
        train(model, data, 4)
    assert history.num_steps == 4
    assert history.num_nodes == data.num_nodes
    by_node = "level" not in name
    assert set(history.fields) == ({"self", "training"} if by_node else {"training"})
    assert set(history.trajectories) == ({"norm", "confidence", "margin", "alignment"} if by_node else {"norm"})
    assert bool(history.field("training").any())
    assert f"num_nodes={data.num_nodes}" in repr(history)
    assert "num_steps=4" in repr(history)


def test_conflicts_need_edges_and_nothing_else_does() -> None:
    model, data = make_model("GCN"), make_graph()
    bare = data.clone()
    bare.edge_index = None
    with pytest.raises(InvalidTypeError, match="edge_index"):
        GradientRecorder(model, bare)
    with GradientRecorder(model, bare, count_conflicts=False) as history:
        train(model, data, 3)
    assert set(history.trajectories) == {"norm", "confidence", "margin"}
    assert history.conflict_count is None


def test_snapshots_are_not_the_record() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data, snapshots=[2]) as history:
        train(model, data, 3)
    before = history.fields["training"].last.clone()
    history.snapshots["training", 2].zero_()
    assert bool(before.any())
    assert torch.equal(history.fields["training"].last, before)


def test_start_and_stop_are_the_context_manager() -> None:
    first, second, data = make_model("GCN"), make_model("GCN"), make_graph()
    with GradientRecorder(first, data) as expected:
        train(first, data, 5)
    recorder = GradientRecorder(second, data)
    assert recorder.start() is recorder.history
    train(second, data, 5)
    assert recorder.stop() is recorder.history
    assert torch.equal(recorder.history.field("training"), expected.field("training"))
    assert list(recorder.history.weights) == list(expected.weights)


def test_starting_and_stopping_twice_is_once() -> None:
    model, data = make_model("GCN"), make_graph()
    recorder = GradientRecorder(model, data)
    recorder.start()
    recorder.start()
    train(model, data, 3)
    recorder.stop()
    recorder.stop()
    train(model, data, 3)
    assert recorder.history.num_steps == 3
    assert count_hooks(model) == 0


def test_a_recording_can_go_on() -> None:
    whole, parts, data = make_model("GIN"), make_model("GIN"), make_graph()
    with GradientRecorder(whole, data) as expected:
        train(whole, data, 3)
        train(whole, data, 4, seed=1)
    recorder = GradientRecorder(parts, data)
    for epochs, seed in ((3, 0), (4, 1)):
        with recorder:
            train(parts, data, epochs, seed)
    assert recorder.history.num_steps == 7
    for name in ("self", "training"):
        assert torch.equal(recorder.history.field(name), expected.field(name))
    assert list(recorder.history.weights) == list(expected.weights)


def test_passes_that_do_not_train_do_not_count() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data) as history:
        model.eval()
        model(data.x, data.edge_index).sum().backward()
        model.train()
        with torch.no_grad():
            model(data.x, data.edge_index)
    assert history.num_steps == 0
    assert history.num_nodes == 0
    assert find_history(model) is None


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Tensor) -> Tensor:
        return self.model(*args)


@pytest.mark.parametrize("recorded", ["model", "wrapper"])
def test_a_history_is_found_on_the_model_a_wrapper_and_copies(recorded: str) -> None:
    model, data = make_model("GCN"), make_graph()
    wrapper = Wrapper(model)
    on = model if recorded == "model" else wrapper
    with GradientRecorder(on, data) as history:
        train(wrapper, data, 2)
    assert find_history(on) is history
    assert find_history(Wrapper(wrapper)) is history
    assert history.num_steps == 2
    for other in (copy.deepcopy(on), pickle.loads(pickle.dumps(on))):
        found = find_history(other)
        assert found is not None
        assert found is not history
        assert torch.equal(found.field("training"), history.field("training"))
    assert "gradient_history" not in str(on.state_dict().keys())


def test_a_model_without_history_has_none() -> None:
    model = make_model("GCN")
    assert find_history(model) is None
    GradientHistory().attach(model)
    assert find_history(model) is None


def test_a_new_recording_replaces_the_old() -> None:
    model, data = make_model("GCN"), make_graph()
    for epochs in (2, 3):
        with GradientRecorder(model, data):
            train(model, data, epochs)
    assert find_history(model).num_steps == 3


class Branches(nn.Module):
    """The last but one layer has no say in the output."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.used = Averaging(CHANNELS, HIDDEN), Averaging(CHANNELS, 3)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.unused(x, edge_index)
        return self.used(x, edge_index)


def test_a_layer_that_has_no_say_does_not_stop_the_training() -> None:
    model, data = Branches(), make_graph()
    with GradientRecorder(model, data) as history:
        train(model, data, 3)
    assert not bool(history.field("self").any())


@pytest.mark.parametrize("start", [0, 1, 5], ids=["first step", "second step", "step of the self field"])
@pytest.mark.parametrize("name", ["GCN", "one layer", "graph level"])
def test_another_graph_in_the_middle_is_named(name: str, start: int) -> None:
    model, data, other = make_model(name), make_graph(24), make_graph(17)
    with GradientRecorder(model, data if start == 0 else None) as history:
        train(model, data, start)
        with pytest.raises(HistoryMismatchError, match="whole graph of 24 nodes, got one of 17 nodes"):
            train(model, other, 1)
    assert history.num_steps == start


class Stacked(nn.Module):
    """A layer's output of shape ``[num_nodes, heads, channels]``."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = GCN(CHANNELS, HIDDEN, 1).convs[0]
        self.layer.register_forward_hook(lambda _m, _a, output: output.view(-1, 2, HIDDEN // 2))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.layer(x, edge_index).flatten(1)


class Pair(Averaging):
    """A model that returns more than its scores."""

    def forward(self, x: Tensor, edge_index: Tensor) -> tuple[Tensor, Tensor]:
        return super().forward(x, edge_index), x


MISFITS = {
    "no message passing": (lambda data: (nn.Linear(5, 3), {}), UnsupportedModelError, "Linear has none"),
    "no module": (lambda data: (len, {}), UnsupportedModelError, "builtin_function_or_method"),
    "self_field_every 0": (
        lambda data: (make_model("GCN"), {"self_field_every": 0}),
        InvalidArgumentError,
        "at least 1, got 0",
    ),
    "no data": (
        lambda data: (make_model("GCN"), {"data": data.x}),
        InvalidTypeError,
        "expected a torch_geometric.data.Data or None, got Tensor",
    ),
    "several outputs": (lambda data: (Pair(CHANNELS, 3), {}), UnsupportedModelError, "one tensor, got tuple"),
    "layer too high": (
        lambda data: (make_model("GCN"), {"layer": 3}),
        UnsupportedModelError,
        "the model's 3, got layer 3",
    ),
    "layer too low": (lambda data: (make_model("GCN"), {"layer": -4}), UnsupportedModelError, "got layer -4"),
    "three dimensions": (lambda data: (Stacked(), {}), UnsupportedModelError, r"got \[24, 2, 4\]"),
    "too few labels": (
        lambda data: (make_model("GCN"), {"data": data.update({"y": data.y[:20]})}),
        InvalidGraphError,
        r"labels y of shape \[24\], got \[20\]",
    ),
    "several labels a node": (
        lambda data: (make_model("GCN"), {"data": data.update({"y": torch.ones(24, 3).long()})}),
        InvalidGraphError,
        r"labels y of shape \[24\], got \[24, 3\]",
    ),
    "numbers that do not fit": (
        lambda data: (make_model("GCN"), {"data": data.update({"y": torch.ones(24)})}),
        InvalidGraphError,
        r"labels y of shape \[24, 3\], got \[24\]",
    ),
    "several splits": (
        lambda data: (make_model("GCN"), {"data": data.update({"train_mask": torch.ones(24, 10).bool()})}),
        InvalidGraphError,
        r"train_mask of shape \[24\], got \[24, 10\]",
    ),
    "several splits to validate on": (
        lambda data: (make_model("GCN"), {"data": data.update({"val_mask": torch.ones(24, 10).bool()})}),
        InvalidGraphError,
        r"val_mask of shape \[24\], got \[24, 10\], choose one of its splits",
    ),
}


def test_a_step_that_overflows_does_not_spoil_the_history() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model, data) as history:
        for scale in (1.0, float("inf"), float("nan"), 1.0):
            (model(data.x, data.edge_index).square().sum() * scale).backward()
    assert history.num_steps == 2
    assert history.field("training").isfinite().all()
    assert history.field("self").isfinite().all()
    assert history.conflict_count is not None


@pytest.mark.parametrize("name", MISFITS)
def test_what_does_not_fit_is_named_at_the_first_step(name: str) -> None:
    make, error, message = MISFITS[name]
    data = make_graph()
    model, arguments = make(data.clone())
    with pytest.raises(error, match=message), GradientRecorder(model, **arguments):
        train(model, data, 1)


def test_a_field_that_was_not_recorded_is_named() -> None:
    model, data = make_model("graph level"), make_graph()
    with GradientRecorder(model) as history:
        train(model, data, 1)
    with pytest.raises(HistoryError, match=r"\['training'\], got 'self'"):
        history.field("self")


@pytest.mark.parametrize("name", ALL_MODELS)
def test_the_hidden_representation_of_an_explanation_is_the_recorded_one(name: str) -> None:
    model, data = make_model(name).eval(), make_graph()
    before = count_hooks(model)
    hidden, output = hidden_representation(model, data.x, data.edge_index)
    assert torch.equal(output, model(data.x, data.edge_index))
    layers = message_passing_layers(model)
    last = len(layers) == 1 or "level" in name
    if last and name in WITH_NODES:
        assert torch.equal(hidden, output)
    kept = []
    handle = layers[-1 if last else -2].register_forward_hook(lambda _m, _a, output: kept.append(output))
    model(data.x, data.edge_index)
    handle.remove()
    if name != "hand-written":  # its activation in place changes the tensor afterwards
        assert torch.equal(hidden, kept[0])
    assert count_hooks(model) == before


def test_a_model_that_returns_no_tensor_cannot_be_looked_into() -> None:
    data = make_graph()
    with pytest.raises(UnsupportedModelError, match="got tuple"):
        hidden_representation(Pair(CHANNELS, 3), data.x, data.edge_index)


def test_the_graph_may_be_moved_after_the_recorder_was_made() -> None:
    """As ``data.to(device)`` moves it, in place."""
    histories = []
    for moved in (False, True):
        model, data = make_model("GCN"), make_graph()
        recorder, before = GradientRecorder(model, data), (data.y, data.train_mask)
        if moved:
            data.apply(lambda tensor: tensor.clone())
            for tensor in before:
                tensor.zero_()  # what is left behind is gone
        with recorder as history:
            train(model, data, 4)
        histories.append(history)
    assert torch.equal(histories[0].field("self"), histories[1].field("self"))
    assert torch.equal(histories[0].trajectories["margin"].values, histories[1].trajectories["margin"].values)


@pytest.mark.parametrize("checkpointed", [1, 2])
def test_layers_that_are_computed_again_are_refused(checkpointed: int) -> None:
    class Deep(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.decoder = nn.Linear(CHANNELS, HIDDEN), nn.Linear(HIDDEN, 3)
            self.layers = nn.ModuleList(
                DeepGCNLayer(GCNConv(HIDDEN, HIDDEN), nn.LayerNorm(HIDDEN), nn.ReLU(), ckpt_grad=number < checkpointed)
                for number in range(2)
            )

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            x = self.encoder(x)
            for layer in self.layers:
                x = layer(x, edge_index)
            return self.decoder(x)

    model, data = Deep(), make_graph()
    with pytest.raises(UnsupportedModelError, match="use_reentrant"), GradientRecorder(model, data):
        train(model, data, 1)
    with pytest.raises(UnsupportedModelError, match="use_reentrant"):
        GraGR(model).fit(data, epochs=2, progress=False)
    for algorithm in (GradientContextExplainer(history=False), EdgeGradientExplainer()):
        explainer = Explainer(
            model,
            algorithm,
            explanation_type="model",
            edge_mask_type="object",
            model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
        )
        with pytest.raises(UnsupportedModelError, match="ckpt_grad=False"):
            explainer(data.x, data.edge_index, index=1)
    with torch.no_grad():
        model(data.x, data.edge_index)
    train(model, data, 1)  # as without a recorder


def test_a_part_of_the_model_may_run_without_gradients() -> None:
    class Probed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pretrained, self.own = GCNConv(CHANNELS, HIDDEN), GCN(HIDDEN, HIDDEN, 2, 3)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            with torch.no_grad():
                x = self.pretrained(x, edge_index)
            return self.own(x, edge_index)

    model, data = Probed(), make_graph()
    with GradientRecorder(model, data) as history:
        train(model, data, 3)
    assert history.num_steps == 3
    assert history.field("training").any()
