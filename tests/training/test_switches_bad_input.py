"""Switches that contradict each other, numbers out of range, missing validation, and a loss that is lost on the way."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GraphSAGE

from gragr_explain.errors import (
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    TrainingError,
    UnsupportedModelError,
)
from gragr_explain.training import GraGR, GraGRPlusPlus

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE}
EVERYTHING = {
    "attention": "predicted",
    "meta": "node",
    "conflict_weight": 0.3,
    "pathway_threshold": 0.0,
    "pathway_epochs": 2,
    "schedule_min_epochs": 2,
    "schedule_threshold": 1e9,
    "seeds": 2,
    "seed_epochs": 2,
}


def gcn(**options) -> GCN:
    torch.manual_seed(0)
    return GCN(5, 8, num_layers=2, out_channels=3, **options)


# switches ------------------------------------------------------------------------------------------------------------

SWITCHES = {
    "unknown attention": (
        {"attention": "labels"},
        r"attention as one of None, 'training', 'predicted', got 'labels'",
    ),
    "attention as a flag": ({"attention": True}, "got True"),
    "unknown meta": ({"meta": "task"}, r"meta as one of None, 'node', 'class', got 'task'"),
    "unknown objective": (
        {"meta": "node", "meta_objective": "test"},
        r"meta_objective as one of 'validation', 'conflict', got 'test'",
    ),
    "no objective": ({"meta": "node", "meta_objective": None}, "got None"),
    "objective without meta": ({"meta_objective": "conflict"}, "contradictory.*meta_objective with meta=None"),
    "exact without a weight": ({"exact_conflict": True}, "contradictory.*exact_conflict with conflict_weight=0"),
    "seed_epochs with one seed": ({"seed_epochs": 5}, "contradictory.*seed_epochs with seeds=1"),
    "lambda_smooth without alignment": ({"alignment": False, "lambda_smooth": 0.3}, "lambda_smooth with alignment"),
    "smooth_iters without alignment": ({"alignment": False, "smooth_iters": 3}, "smooth_iters with alignment=False"),
    "alpha_smooth without alignment": ({"alignment": False, "alpha_smooth": 0.5}, "alpha_smooth with alignment=False"),
    "beta_start without attention": ({"beta_start": 1.0}, "beta_start with attention=None"),
    "beta_end without attention": ({"beta_end": 1.0}, "beta_end with attention=None"),
    "meta_lr without meta": ({"meta_lr": 0.1}, "meta_lr with meta=None"),
    "schedule_threshold without schedule": (
        {"schedule": False, "schedule_threshold": 0.5},
        "schedule_threshold with schedule=False",
    ),
    "schedule_min_epochs without schedule": (
        {"schedule": False, "schedule_min_epochs": 3},
        "schedule_min_epochs with schedule=False",
    ),
    "pathway_threshold without pathway": (
        {"pathway": False, "pathway_threshold": 0.1},
        "pathway_threshold with pathway=False",
    ),
    "pathway_epochs without pathway": ({"pathway": False, "pathway_epochs": 3}, "pathway_epochs with pathway=False"),
    "negative conflict weight": ({"conflict_weight": -0.1}, "conflict_weight of at least 0, got -0.1"),
    "infinite conflict weight": ({"conflict_weight": math.inf}, "conflict_weight.*got inf"),
    "NaN conflict weight": ({"conflict_weight": math.nan}, "conflict_weight.*got nan"),
    "negative plateau": ({"schedule_threshold": -1e-3}, "schedule_threshold of at least 0, got -0.001"),
    "NaN plateau": ({"schedule_threshold": math.nan}, "schedule_threshold.*got nan"),
    "negative warm-up": ({"schedule_min_epochs": -1}, "schedule_min_epochs of at least 0, got -1"),
    "negative pathway threshold": ({"pathway_threshold": -0.5}, "pathway_threshold of at least 0, got -0.5"),
    "no pathway epochs": ({"pathway_epochs": 0}, "pathway_epochs of at least 1, got 0"),
    "no seeds": ({"seeds": 0}, "seeds of at least 1, got 0"),
    "negative seeds": ({"seeds": -3}, "seeds of at least 1, got -3"),
    "no seed epochs": ({"seeds": 2, "seed_epochs": 0}, "seed_epochs of at least 1, got 0"),
    "negative beta_start": ({"attention": "training", "beta_start": -1.0}, r"beta_start in \[0, inf\), got -1.0"),
    "negative beta_end": ({"attention": "training", "beta_end": -1.0}, r"beta_end in \[0, inf\), got -1.0"),
    "infinite beta": ({"attention": "training", "beta_end": math.inf}, "beta_end.*got inf"),
    "negative meta_lr": ({"meta": "node", "meta_lr": -1e-3}, r"meta_lr in \[0, inf\), got -0.001"),
    "NaN meta_lr": ({"meta": "node", "meta_lr": math.nan}, "got nan"),
    "infinite smoothing": ({"lambda_smooth": math.inf}, "lambda_smooth.*got inf"),
    "negative tau_mag": ({"tau_mag": -0.1}, "tau_mag"),
}
TYPES = {
    "half a seed": ({"seeds": 2.5}, "seeds as an integer, got 2.5"),
    "seeds as text": ({"seeds": "3"}, "seeds as an integer, got '3'"),
    "seeds as a flag": ({"seeds": True}, "seeds as an integer, got True"),
    "no number of seeds": ({"seeds": None}, "seeds as an integer, got None"),
    "seed epochs as text": ({"seeds": 2, "seed_epochs": "5"}, "seed_epochs as an integer, got '5'"),
    "half a pathway epoch": ({"pathway_epochs": 1.5}, "pathway_epochs as an integer, got 1.5"),
    "half an epoch of warm-up": ({"schedule_min_epochs": 0.5}, "schedule_min_epochs as an integer, got 0.5"),
    "threshold as text": ({"pathway_threshold": "0.5"}, "pathway_threshold as a number, got '0.5'"),
    "weight as a list": ({"conflict_weight": [1.0]}, r"conflict_weight as a number, got \[1.0\]"),
    "half a Jacobi step": ({"smooth_iters": 2.5}, "smooth_iters as an integer, got 2.5"),
    "conflict as text": ({"conflict": "no"}, "expected conflict as a bool, got str"),
    "alignment as a number": ({"alignment": 1}, "expected alignment as a bool, got int"),
    "schedule as text": ({"schedule": "no"}, "expected schedule as a bool, got str"),
    "pathway as a number": ({"pathway": 1.0}, "expected pathway as a bool, got float"),
    "exact_conflict as nothing": ({"exact_conflict": None}, "expected exact_conflict as a bool, got NoneType"),
    "tau_cos as text": ({"tau_cos": "low"}, "tau_cos as a number, got 'low'"),
}


@pytest.mark.parametrize("kind", [GraGR, GraGRPlusPlus])
@pytest.mark.parametrize("case", [*SWITCHES, *TYPES])
def test_switches_that_mean_nothing_are_refused_at_once(case, kind):
    if kind is GraGRPlusPlus and case == "seed_epochs with one seed":
        pytest.skip("GraGR++ has several seeds")
    options, message = {**SWITCHES, **TYPES}[case]
    error = InvalidTypeError if case in TYPES else InvalidArgumentError
    with pytest.raises(error, match=message) as caught:
        kind(gcn(), **options)
    assert isinstance(caught.value, GragrError)


def test_an_unknown_switch_is_a_type_error_of_python():
    for kind in (GraGR, GraGRPlusPlus):
        with pytest.raises(TypeError, match="correct"):
            kind(gcn(), correct=True)


@pytest.mark.parametrize(
    "options",
    [
        {"seeds": np.int64(2), "seed_epochs": np.int64(1), "tau_cos": np.float32(-0.1)},
        {"conflict": False, "tau_mag": 0.3, "tau_cos": -0.5},  # thresholds count conflicts in any case
        {"alignment": False},
        {"conflict_weight": 0, "schedule": True, "schedule_threshold": 0, "schedule_min_epochs": 0},
        {"pathway": True, "pathway_threshold": 0},
        {"schedule_min_epochs": 10, "pathway_epochs": 10},  # what they are anyway
        {"tau_mag": math.inf},  # nothing is in conflict
        {"attention": "training", "beta_start": 0.0, "beta_end": 0.0},
        {"attention": "training", "beta_start": 3.0, "beta_end": 1.0},
        {"meta": "class", "meta_objective": "conflict", "meta_lr": 0.0},
        {"seeds": 1, "seed_epochs": None},
    ],
)
def test_unusual_switches_that_mean_something(options, data):
    trained = GraGR(gcn(), **options).fit(data, epochs=3, progress=False)
    assert bool(trained(data.x, data.edge_index).isfinite().all())


@pytest.mark.parametrize(
    "options",
    [
        {"conflict": False},
        {"alignment": False},
        {"attention": None},
        {"meta": None},
        {"pathway": False},
        {"schedule": False},
        {"seeds": 1},
    ],
)
def test_each_row_of_the_ablation_is_one_argument(options, data):
    full = {"attention": "training", "meta": "node"}
    trained = GraGRPlusPlus(gcn(), **{**full, **options}).fit(data, epochs=14, progress=False)
    (name, value), parts = next(iter(options.items())), trained.switches
    assert getattr(parts, name) == value
    assert (trained.pathway is None) == (name == "pathway")
    assert (trained.selection is None) == (name == "seeds")
    assert (trained.loss_weights is None) == (name == "meta")
    assert name != "attention" or trained.attention is None


# validation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [True, False])
@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (GraGR, {"meta": "node"}, "for meta with meta_objective='validation', got none"),
        (GraGR, {"meta": "class"}, "for meta with meta_objective='validation', got none"),
        (GraGR, {"seeds": 3}, "for seeds=3, got none"),
        (GraGRPlusPlus, {}, "for seeds=4, got none"),
    ],
)
def test_what_needs_validation_nodes_says_so_before_any_work(kind, options, message, empty, data):
    if empty:
        data.val_mask = torch.zeros(30, dtype=torch.bool)
    else:
        del data.val_mask
    model = gcn(norm="batch_norm")
    before, state = copy.deepcopy(model.state_dict()), torch.random.get_rng_state()
    with pytest.raises(InvalidArgumentError, match=f"expected a val_mask with at least one node {message}"):
        kind(model, **options).fit(data, epochs=3, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize(
    "options",
    [{"meta": "node", "meta_objective": "conflict"}, {"pathway": True, "pathway_threshold": 0.0}, {"schedule": True}],
)
def test_what_needs_no_validation_nodes_does_without(options, data):
    del data.val_mask
    trained = GraGR(gcn(), **options).fit(data, epochs=15, progress=False)
    assert "val_acc" not in trained.history.curves


@pytest.mark.parametrize("label", [-1, 3])
@pytest.mark.parametrize("options", [{"meta": "node"}, {"seeds": 2}])
def test_validation_labels_that_are_no_class(options, label, data):
    data.y = data.y.clone()
    data.y[data.val_mask.nonzero()[0]] = label
    with pytest.raises(InvalidGraphError, match=r"validation labels in \[0, 2\]"):
        GraGR(gcn(), **options).fit(data, epochs=3, progress=False)
    GraGR(gcn()).fit(data, epochs=3, progress=False)  # they are only counted, and never right


def test_bad_input_leaves_an_earlier_training_as_it_was(data):
    trained = GraGR(gcn(), meta="node", attention="training").fit(data, epochs=3, progress=False)
    history, output = trained.history, trained(data.x, data.edge_index)
    other = data.clone()
    del other.val_mask
    with pytest.raises(InvalidArgumentError):
        trained.fit(other, epochs=3, progress=False)
    assert trained.history is history
    assert torch.equal(trained(data.x, data.edge_index), output)


# a loss that is lost -------------------------------------------------------------------------------------------------


class Stumbling(nn.Module):
    """Its output is NaN from one pass of the training proper on; it remembers the weights of each."""

    def __init__(self, gnn: nn.Module, at: int, skip: int = 0):
        super().__init__()
        self.gnn = gnn
        self.at, self.skip = at, skip
        self.seen: list[dict[str, Tensor]] = []

    def reset_parameters(self) -> None:
        self.gnn.reset_parameters()

    def forward(self, x, edge_index):
        output = self.gnn(x, edge_index)
        if not (self.training and torch.is_grad_enabled()):
            return output
        if self.skip > 0:
            self.skip -= 1
            return output
        self.seen.append({name: value.clone() for name, value in self.gnn.state_dict().items()})
        return output * torch.nan if len(self.seen) > self.at else output


def hooks_left(model: nn.Module) -> bool:
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_propagate_forward_pre_hooks", "_message_forward_hooks")
    return any(getattr(module, kind, None) for module in model.modules() for kind in kinds)


@pytest.mark.parametrize("at", [1, 4, 9])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_loss_that_is_lost_in_the_middle_keeps_the_last_good_weights(backbone, at, data):
    """With everything on: the weights of the last pass whose loss was finite, with the pathway that it had."""
    torch.manual_seed(0)
    gnn = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3)
    model = Stumbling(gnn, at=at)
    trained = GraGR(model, pathway=True, schedule=True, **{**EVERYTHING, "seeds": 1, "seed_epochs": None})
    with pytest.raises(TrainingError, match=rf"the loss became nan in epoch {at}.*last good weights"):
        trained.fit(data, epochs=20, progress=False)
    for name, value in gnn.state_dict().items():
        assert torch.equal(value, model.seen[at - 1][name]), name
    assert not hooks_left(model)
    assert bool(trained.eval()(data.x, data.edge_index).isfinite().all())


def test_after_a_selection_too(data):
    """Where the passes of the selection, if there are any, come before those that are remembered."""
    many = 10**9
    model = Stumbling(gcn(), at=5, skip=many)
    trained = GraGRPlusPlus(model, **EVERYTHING)
    rehearsal = copy.deepcopy(trained).fit(data, epochs=12, progress=False)
    passes = many - rehearsal.model.skip
    model.skip = passes - 10  # ten epochs after the two of the selection
    with pytest.raises(TrainingError, match="nan in epoch 5"):
        trained.fit(data, epochs=12, progress=False)
    for name, value in model.gnn.state_dict().items():
        assert torch.equal(value, model.seen[4][name]), name
    assert bool(trained.eval()(data.x, data.edge_index).isfinite().all())


def test_a_learning_rate_that_explodes_leaves_finite_weights(data):
    for options in (EVERYTHING, {**EVERYTHING, "attention": "training", "exact_conflict": True}):
        trained = GraGRPlusPlus(gcn(), **{**options, "seeds": 1, "seed_epochs": None})
        with pytest.raises(TrainingError):
            trained.fit(data, epochs=30, lr=1e30, progress=False)
        assert all(bool(parameter.isfinite().all()) for parameter in trained.model.parameters())
        assert not hooks_left(trained.model)


def test_weights_that_are_lost_in_the_last_step_are_taken_back(data):
    """No loss is computed with them any more. The root has an infinite slope where the model is."""

    class Rooted(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.offset = GCNConv(5, 3), nn.Parameter(torch.zeros(3))

        def forward(self, x, edge_index):
            return self.conv(x, edge_index) + self.offset.sqrt()

    model = Rooted()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(TrainingError, match=r"last step made weights that are not finite.*last good weights"):
        GraGR(model, conflict=False, alignment=False).fit(data, epochs=1, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_it_can_be_trained_again_afterwards(data):
    model = Stumbling(gcn(), at=3)
    trained = GraGR(model, pathway=True, schedule=True, **{**EVERYTHING, "seeds": 1, "seed_epochs": None})
    with pytest.raises(TrainingError):
        trained.fit(data, epochs=8, progress=False)
    model.at = 10**9
    trained.fit(data, epochs=8, progress=False)
    assert trained.history.num_steps == 8
    assert bool(trained(data.x, data.edge_index).isfinite().all())


# models --------------------------------------------------------------------------------------------------------------


def test_a_part_that_a_model_cannot_have_is_refused_before_it_is_trained(data):
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 5)
            self.head = nn.Linear(5, 3)

        def forward(self, x, edge_index):
            return self.head(self.conv(self.conv(x, edge_index), edge_index))

    torch.manual_seed(0)
    model = Twice()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(UnsupportedModelError, match="called several times; use pathway=False"):
        GraGRPlusPlus(model, seeds=1).fit(data, epochs=3, progress=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    GraGRPlusPlus(model, pathway=False).fit(data, epochs=3, progress=False)


SMALL = {
    "no edges": torch.zeros(2, 0, dtype=torch.long),
    "self-loops": torch.arange(30).expand(2, -1),
    "one edge": torch.tensor([[0], [1]]),
    "duplicates": torch.tensor([[0, 0, 1, 1, 2, 2], [1, 1, 0, 0, 2, 3]]),
}


@pytest.mark.parametrize("attention", ["training", "predicted"])
@pytest.mark.parametrize("objective", ["validation", "conflict"])
@pytest.mark.parametrize("case", SMALL)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_unusual_graphs_are_trained_on_with_everything_on(backbone, case, objective, attention, data):
    data.edge_index = SMALL[case]
    torch.manual_seed(0)
    model = BACKBONES[backbone](5, 8, num_layers=2, out_channels=3)
    options = {**EVERYTHING, "meta_objective": objective, "attention": attention, "exact_conflict": True}
    trained = GraGRPlusPlus(model, **options).fit(data, epochs=12, progress=False)
    assert trained.history.num_steps == 10
    assert bool(trained(data.x, data.edge_index).isfinite().all())
    assert bool(trained.loss_weights.isfinite().all())
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_all_training_nodes_of_one_class(data):
    data.train_mask &= data.y == 0
    trained = GraGRPlusPlus(gcn(), **EVERYTHING).fit(data, epochs=8, progress=False)
    assert float(trained.pathway.beta) == 0  # no two nodes oppose each other at first
    assert bool(trained(data.x, data.edge_index).isfinite().all())


def test_one_training_node(data):
    data.train_mask = torch.arange(30) == 3
    trained = GraGRPlusPlus(gcn(), **EVERYTHING).fit(data, epochs=8, progress=False)
    assert trained.loss_weights.tolist() == [1.0]
    assert bool(trained(data.x, data.edge_index).isfinite().all())


def frozen() -> GCN:
    model = GCN(5, 8, num_layers=2, out_channels=3)
    for parameter in model.convs[0].parameters():
        parameter.requires_grad_(False)
    return model


def test_a_frozen_first_layer_can_be_trained_around(data):
    trained = GraGR(frozen()).fit(data, epochs=3, progress=False)
    assert trained.reasoner is None
    assert trained.history is None
    assert len(trained.curves["loss"]) == 3


@pytest.mark.parametrize(
    "switches",
    [{"attention": "predicted"}, {"conflict_weight": 1.0}, {"meta": "class", "meta_objective": "conflict"}],
    ids=str,
)
def test_what_needs_gradients_of_frozen_layers_says_so(switches, data):
    with pytest.raises(UnsupportedModelError, match="all layers up to it are frozen"):
        GraGR(frozen(), **switches).fit(data, epochs=3, progress=False)
