"""What an edit is handed by mistake: a typed error that says what was got, and a model left as it was."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from edited_models import assert_same, other_class, state_of
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GCNConv

from gragr_explain import GraGR
from gragr_explain.editing import StitchedMLP, edit, edit_independently, edit_sequence
from gragr_explain.errors import (
    EditingError,
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    UnsupportedModelError,
)

BAD = {
    "a node out of range": ({"index": 90}, InvalidIndexError, r"\[0, 89\], got 90"),
    "a negative node": ({"index": -1}, InvalidIndexError, "got -1"),
    "no node": ({"index": []}, InvalidArgumentError, "at least one node"),
    "all nodes": ({"index": None}, InvalidArgumentError, "at least one node"),
    "a node by name": ({"index": "0"}, InvalidTypeError, "index as int"),
    "a class the model does not have": ({"target": 3}, InvalidIndexError, r"in \[0, 2\], got 3"),
    "a negative class": ({"target": -1}, InvalidIndexError, "got -1"),
    "a class by name": ({"target": "red"}, InvalidTypeError, "got 'red'"),
    "no class": ({"target": None}, InvalidTypeError, "got None"),
    "a class as a float": ({"target": torch.tensor([1.0])}, InvalidTypeError, "torch.float32"),
    "classes as a mask": ({"target": [False, True, False]}, InvalidTypeError, "got a mask"),
    "too few classes": ({"index": [0, 1, 2], "target": [0, 1]}, InvalidArgumentError, "each of 3, got 2"),
    "contradicting targets": ({"index": [4, 4], "target": [0, 1]}, InvalidArgumentError, "node 4 shall be 0 and 1"),
    "an unknown method": ({"method": "enn"}, InvalidArgumentError, "got 'enn'"),
    "no subset": ({"num_subsets": 0}, InvalidArgumentError, "num_subsets of at least 1, got 0"),
    "half a subset": ({"num_subsets": 2.5}, InvalidTypeError, "num_subsets as an integer, got 2.5"),
    "no step": ({"max_steps": 0}, InvalidArgumentError, "max_steps of at least 1"),
    "no planned step": ({"steps": 0}, InvalidArgumentError, "steps of at least 1"),
    "more subsets than training nodes": ({"num_subsets": 80}, InvalidArgumentError, "at least 80 training nodes"),
}


@pytest.mark.parametrize("function", [edit, edit_sequence, edit_independently])
@pytest.mark.parametrize("name", list(BAD))
def test_bad_requests(name, function, gcn, data):
    change, error, message = BAD[name]
    request = {"index": 0, "target": (int(data.y[0]) + 1) % 3} | change
    before = state_of(gcn)
    with pytest.raises(error, match=message) as caught:
        function(gcn, data, **request)
    assert isinstance(caught.value, GragrError)
    assert_same(before, gcn)


def drop(name):
    def apply(data: Data) -> None:
        del data[name]

    return apply


def put(name, value):
    def apply(data: Data) -> None:
        data[name] = value

    return apply


GRAPHS = {
    "no train_mask": (drop("train_mask"), "at least one training node, got none"),
    "no labels": (drop("y"), "labels y of torch.int64 .*, got NoneType"),
    "no training node": (put("train_mask", torch.zeros(90).bool()), "at least one training node, got none"),
    "many splits": (put("train_mask", torch.ones(90, 2).bool()), r"\[90, 2\]"),
    "labels as floats": (put("y", torch.zeros(90)), r"torch.float32 .*; let data.y be data.y.view\(-1\).long\(\)"),
    "labels of halves": (put("y", torch.full((90,), 0.5)), r"torch.float32 \[90\]$"),
    "labels in a column": (put("y", torch.zeros(90, 1).long()), r"\[90, 1\]; let data.y be data.y.view"),
    "labels without a class": (put("y", torch.full((90,), 7)), "got 7 to 7"),
    "NaN features": (put("x", torch.full((90, 8), torch.nan)), "NaN"),
    "another width": (put("x", torch.ones(90, 5)), r"\[90, 5\]"),
    "no features": (drop("x"), "without x"),
}


@pytest.mark.parametrize("name", list(GRAPHS))
def test_bad_graphs(name, gcn, data):
    change, message = GRAPHS[name]
    change(data)
    before = state_of(gcn)
    with pytest.raises((InvalidGraphError, InvalidArgumentError), match=message):
        edit(gcn, data, 0, 1)
    assert_same(before, gcn)


@pytest.mark.parametrize("name", ["train_mask", "y"])
def test_plain_descent_needs_no_labels(name, gcn, data):
    target = (int(data.y[0]) + 1) % 3
    del data[name]
    done = edit(gcn, data, 0, target, method="gd")
    assert done.success
    assert (done.drawdown is None) == (name == "y")


def test_no_graph(gcn):
    with pytest.raises(InvalidTypeError, match="got dict"):
        edit(gcn, {}, 0, 1)


@pytest.mark.parametrize("function", [edit, edit_sequence, edit_independently])
def test_no_model(function, data):
    with pytest.raises(InvalidTypeError, match="got function"):
        function(lambda x, edge_index: x, data, 0, 1)


def test_a_frozen_model(gcn, data):
    gcn.requires_grad_(False)
    with pytest.raises(EditingError, match="no parameter of the model requires_grad"):
        edit(gcn, data, 0, 1)


class Constant(nn.Module):
    """Scores that no trainable parameter has an effect on; the one that there is has none, or one of slope zero."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        self.weight, self.used = nn.Parameter(torch.zeros(3)), used

    def forward(self, x, edge_index):
        scores = x[:, :3]
        return scores + self.weight.clamp(max=-1) if self.used else scores


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("method", ["gre+", "gre", "gd"])
def test_a_model_without_a_path_to_change(used, method, data):
    model = Constant(used)
    target = int(model(data.x, data.edge_index)[0].argmin())
    with pytest.raises(EditingError, match="has an effect on the predictions"):
        edit(model, data, 0, target, method=method)
    assert torch.equal(model.weight, torch.zeros(3))


def test_a_target_that_a_training_node_contradicts(data):
    """Node 0 looks exactly like all other nodes, which are of another class: no step corrects it and keeps those."""
    torch.manual_seed(0)
    model = nn.Linear(8, 2)
    y = data.y.clamp(max=1)
    contradicting = copy.copy(data)
    contradicting.y, contradicting.train_mask = y.clone(), torch.zeros(90).bool()
    contradicting.x = data.x[:1].expand(90, -1)
    was = int(model(contradicting.x)[0].argmax())
    contradicting.y[1], contradicting.train_mask[1] = was, True
    before = state_of(model)
    for method in ("gre", "gre+"):
        with pytest.raises(EditingError, match="no step corrects the targets and keeps"):
            edit(model, contradicting, 0, 1 - was, method=method, num_subsets=1)
        (tried,) = edit_independently(model, contradicting, 0, 1 - was, method=method, num_subsets=1)
        assert not tried.success
        assert "no step corrects" in tried.reason
        (tried,) = edit_sequence(model, contradicting, 0, 1 - was, method=method, num_subsets=1)
        assert not tried.success
        assert_same(before, model)
    assert edit(model, contradicting, 0, 1 - was, method="gd").success


def test_a_model_of_nan(gcn, data):
    with torch.no_grad():
        gcn.convs[1].bias.fill_(torch.nan)
    with pytest.raises(EditingError, match="NaN or infinite before any edit"):
        edit(gcn, data, 0, 1)


def test_models_that_cannot_be_edited(data):
    class Odd(nn.Module):
        def __init__(self, result):
            super().__init__()
            self.weight, self.result = nn.Parameter(torch.ones(1)), result

        def forward(self, x, edge_index):
            return self.result

    class Strange(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x, edge_index, another):
            return x

    for result in (torch.ones(1, 3), torch.ones(90, 2, 3), (torch.ones(90, 3),)):
        with pytest.raises(UnsupportedModelError):
            edit(Odd(result), data, 0, 1)
    with pytest.raises(UnsupportedModelError, match="another"):
        edit(Strange(), data, 0, 1)


def test_bad_input_to_stitch(gcn, data):
    with pytest.raises(InvalidTypeError):
        StitchedMLP(gcn, {})
    with pytest.raises(UnsupportedModelError, match=r"got \[90, 1\]"):
        StitchedMLP(GCN(8, 8, num_layers=1, out_channels=1), data)
    with pytest.raises(UnsupportedModelError, match="returns probabilities"):
        StitchedMLP(Probable(gcn), data)
    whole = data.clone()
    whole.x = whole.x.long()
    with pytest.raises(InvalidTypeError, match=r"floating-point numbers, got torch\.int64"):
        StitchedMLP(Embedded(), whole)
    StitchedMLP(gcn, data, seed=np.int64(3))
    stitched = StitchedMLP(gcn, data)
    data.train_mask = torch.zeros(90).bool()
    with pytest.raises(InvalidGraphError, match="at least one training node"):
        stitched.fit(data)
    data.train_mask = torch.ones(90).bool()
    del data.y
    with pytest.raises(InvalidGraphError, match="labels y"):
        stitched.fit(data)


class Probable(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, edge_index):
        return self.model(x, edge_index).softmax(-1)


class Embedded(nn.Module):
    """Takes features that are numbers of words."""

    def __init__(self):
        super().__init__()
        self.words, self.conv = nn.Embedding(99, 4), GCNConv(4, 3)

    def forward(self, x, edge_index):
        return self.conv(self.words(x.abs()).sum(1), edge_index)


class Needy(nn.Module):
    """Needs what the graph does not have."""

    def __init__(self, error):
        super().__init__()
        self.conv, self.error = GCNConv(8, 3), error

    def forward(self, x, edge_index, edge_attr=None):
        if self.error is KeyError:
            return {}["edge_attr"]
        return self.conv(x, edge_index, edge_attr.float())


@pytest.mark.parametrize("error", [AttributeError, KeyError])
def test_a_model_that_fails_is_said_to_fail(error, data):
    for call in (
        lambda: edit(Needy(error), data, 0, 1),
        lambda: GraGR(Needy(error), conflict=False, alignment=False).fit(data, epochs=2, progress=False),
    ):
        with pytest.raises(UnsupportedModelError, match=rf"one that fails with {error.__name__}: .*"):
            call()


def test_a_model_that_returns_no_tensor(data):
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(8, 3)

        def forward(self, x, edge_index):
            return self.conv(x, edge_index), None

    with pytest.raises(UnsupportedModelError, match="class scores as a tensor, got tuple"):
        edit(Pair(), data, 0, 1)


def test_layers_without_weights_yet(data):
    with pytest.raises(UnsupportedModelError, match="lazy layers"):
        edit(GCN(-1, 8, num_layers=2, out_channels=3), data, 0, 1)


def test_a_test_mask_of_many_splits_is_refused_and_nothing_is_changed(gcn, data):
    before = {name: value.clone() for name, value in gcn.state_dict().items()}
    data.test_mask = data.test_mask.view(-1, 1).repeat(1, 10)
    with pytest.raises(InvalidGraphError, match=r"test_mask of shape \[90\], got \[90, 10\], choose one"):
        edit(gcn, data, 0, other_class(gcn, data, 0))
    assert all(torch.equal(value, before[name]) for name, value in gcn.state_dict().items())
