"""Which frequencies the layers of any model favour."""

from __future__ import annotations

import os

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GCNConv, GINConv, GraphSAGE
from torch_geometric.transforms import ToUndirected

from gragr_explain import GradientRecorder, GraGR
from gragr_explain.datasets import load_dataset
from gragr_explain.errors import (
    HistoryError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidTypeError,
    UnsupportedModelError,
)
from gragr_explain.field import rayleigh_quotient
from gragr_explain.models import (
    GRAFF,
    FrequencyProfile,
    frequency_history,
    frequency_profile,
    plot_frequencies,
    plot_frequency_history,
)

BACKBONES = {"GCN": GCN, "GAT": GAT, "GIN": GIN, "GraphSAGE": GraphSAGE, "GRAFF": GRAFF}


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


@pytest.mark.parametrize("name", BACKBONES)
def test_frequencies_are_those_of_the_representations(name, graph):
    torch.manual_seed(0)
    model = BACKBONES[name](5, 8, 3, 4, dropout=0.5)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    profile = frequency_profile(model, graph)
    assert profile.layers == ("convs.0", "convs.1", "convs.2")
    assert model.training
    assert hooks(model) == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())

    seen = []
    handle = model.convs[1].register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    model.eval()(graph.x, graph.edge_index)
    handle.remove()
    expected = [float(rayleigh_quotient(field, graph.edge_index)) for field in seen[0]]
    assert [float(profile.before[1]), float(profile.after[1])] == pytest.approx(expected, abs=1e-5)
    assert 0 <= float(profile.after.min()) <= float(profile.after.max()) <= profile.largest + 1e-5


def test_attraction_is_low_and_repulsion_high(graph):
    for sign, expected in ((1.0, "low"), (-1.0, "high")):
        torch.manual_seed(0)
        profile = frequency_profile(GRAFF(5, 8, 3, 4, w=sign * torch.eye(8), step_size=0.5), graph)
        assert profile.dominance == (expected,) * 3
        assert profile.overall == expected


def test_a_deep_gcn_smooths(graph):
    torch.manual_seed(0)
    profile = frequency_profile(GCN(5, 8, 6, act=None), graph)
    assert profile.overall == "low"
    assert float(profile.after[-1]) < 0.5 * float(profile.before[0])


def test_what_changes_nothing_favours_neither(graph):
    profile = frequency_profile(GRAFF(5, 8, 2, 4, w=torch.zeros(8, 8)), graph)
    assert profile.dominance == ("neither", "neither")
    unlinked = Data(x=graph.x, edge_index=graph.edge_index[:, :0])
    profile = frequency_profile(GRAFF(5, 8, 2, 4), unlinked)
    assert profile.overall == "neither"
    assert profile.largest == 0
    assert profile.after.isnan().all()


def test_a_layer_that_is_called_twice_is_there_twice(graph):
    class Again(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = GCNConv(5, 5)

        def forward(self, x, edge_index):
            return self.conv(x=self.conv(x, edge_index), edge_index=edge_index)

    assert frequency_profile(Again(), graph).layers == ("conv", "conv")


def test_directions_do_not_matter(graph):
    torch.manual_seed(0)
    model = GIN(5, 8, 1)
    half = Data(x=graph.x, edge_index=graph.edge_index[:, :10])
    whole, directed = frequency_profile(model, graph), frequency_profile(model, half)
    torch.testing.assert_close(directed.before, whole.before)
    assert directed.largest == pytest.approx(whole.largest)


def test_edge_weights_are_those_that_the_model_takes(graph):
    torch.manual_seed(0)
    graph.edge_weight = torch.linspace(0.1, 2, 10).repeat(2)
    expected = float(rayleigh_quotient(graph.x, graph.edge_index, graph.edge_weight))
    assert float(frequency_profile(GCN(5, 8, 1), graph).before[0]) == pytest.approx(expected, abs=1e-6)
    expected = float(rayleigh_quotient(graph.x, graph.edge_index))
    assert float(frequency_profile(GIN(5, 8, 1), graph).before[0]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_recorded_run_is_followed(wrapped, graph):
    torch.manual_seed(0)
    model = GRAFF(5, 8, 2, 3, dropout=0.5)
    trained = GraGR(model).fit(graph, epochs=12, progress=False)
    trained = trained if wrapped else trained.model
    before = {key: value.clone() for key, value in trained.state_dict().items()}
    profiles = frequency_history(trained, graph)
    assert list(profiles) == list(model.gradient_history.weights)
    assert len({float(profile.after[-1]) for profile in profiles.values()}) > 1
    assert all(torch.equal(value, before[key]) for key, value in trained.state_dict().items())
    last = model.gradient_history.weights[max(profiles)]
    model.load_state_dict(last)
    torch.testing.assert_close(profiles[max(profiles)].after, frequency_profile(model, graph).after)
    ax = plot_frequency_history(profiles)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert [label.removeprefix("model.") for label in labels] == ["convs.0", "convs.1"]


def test_what_was_around_the_model_is_as_it_was(graph):
    """The pathway is closed at the first step, whatever it is at the end."""
    torch.manual_seed(0)
    options = {"pathway": True, "pathway_threshold": 0.0, "pathway_epochs": 2}
    trained = GraGR(GCN(5, 8, 2, 3), **options).fit(graph.clone().update({"val_mask": None}), 30, progress=False)
    assert float(trained.pathway.beta) == 1
    profiles = frequency_history(trained, graph)
    torch.testing.assert_close(profiles[30].after, frequency_profile(trained, graph).after)
    trained.model.load_state_dict(trained.history.weights[0])
    trained.pathway.beta.fill_(0)
    torch.testing.assert_close(profiles[0].after, frequency_profile(trained, graph).after)


def test_a_history_of_another_model_is_refused(graph):
    model = GCN(5, 8, 2, 3)
    with pytest.raises(HistoryError, match="without a gradient history"):
        frequency_history(model, graph)
    with GradientRecorder(model, graph) as history:
        model(graph.x, graph.edge_index).sum().backward()
    other = GCN(5, 4, 2, 3)
    before = {key: value.clone() for key, value in other.state_dict().items()}
    history.attach(other)
    with pytest.raises(HistoryError, match="do not fit"):
        frequency_history(other, graph)
    assert all(torch.equal(value, before[key]) for key, value in other.state_dict().items())


class Broken(nn.Module):
    def __init__(self, how: str):
        super().__init__()
        self.how, self.conv = how, GINConv(nn.Identity(), node_dim=0)

    def forward(self, x, edge_index):
        return x if self.how == "unused" else self.conv(x[:, None].expand(-1, 2, -1), edge_index)


@pytest.mark.parametrize("how", ["unused", "three dimensions"])
def test_models_without_such_representations_are_refused(how, graph):
    model = Broken(how)
    with pytest.raises(UnsupportedModelError, match=r"did not call any|of shape \[10, channels\], got \[10, 2, 5\]"):
        frequency_profile(model, graph)
    assert hooks(model) == 0
    assert model.training


def test_bad_graphs_are_refused(graph):
    model = GRAFF(5, 8, 2, 3)
    with pytest.raises(UnsupportedModelError, match="MessagePassing"):
        frequency_profile(nn.Linear(5, 3), graph)
    with pytest.raises(InvalidTypeError, match="Data"):
        frequency_profile(model, graph.x)
    with pytest.raises(InvalidGraphError, match="NaN"):
        frequency_profile(model, Data(x=graph.x * torch.nan, edge_index=graph.edge_index))
    with pytest.raises(InvalidGraphError, match="at least one node"):
        frequency_profile(model, Data(x=graph.x[:0], edge_index=graph.edge_index[:, :0]))
    with pytest.raises(InvalidGraphError, match=r"\[num_nodes, 5\], got \[10, 3\]"):
        frequency_profile(model, Data(x=graph.x[:, :3], edge_index=graph.edge_index))


def test_plots_show_every_layer(graph):
    profile = FrequencyProfile(("a", "b"), torch.tensor([1.0, 0.8]), torch.tensor([0.5, 1.2]), 1.9)
    ax = plot_frequencies(profile)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a", "b"]
    assert ax.get_title(loc="left") == "Dominant frequencies: high"
    colours = [text.arrow_patch.get_edgecolor()[:3] for text in ax.texts if text.arrow_patch is not None]
    assert len(colours) == 2
    assert colours[0][2] > colours[0][0]
    assert colours[1][0] > colours[1][2]
    assert plot_frequencies(profile, ax) is ax
    ax.figure.canvas.draw()
    with pytest.raises(InvalidArgumentError, match="at least one profile"):
        plot_frequency_history({})
    with pytest.raises(InvalidTypeError, match="profile as a FrequencyProfile, got NoneType"):
        plot_frequencies(None)
    with pytest.raises(InvalidTypeError, match="profiles as a Mapping, got FrequencyProfile"):
        plot_frequency_history(profile)


@pytest.mark.parametrize(("w", "expected"), [("prod", "low"), ("neg-prod", "high")])
def test_a_model_trained_on_a_web_graph_moves_as_its_mixing_says(w, expected):
    if "GRAGR_DATA" not in os.environ:
        pytest.skip("GRAGR_DATA names no folder of data sets")
    data = ToUndirected()(load_dataset("Texas").data)
    torch.manual_seed(0)
    model = GRAFF(data.num_features, 16, 2, 5, dropout=0.5, w=w, step_size=0.5)
    trained = GraGR(model).fit(data, epochs=20, progress=False)
    assert frequency_profile(trained, data).overall == expected


def test_a_model_that_is_not_finite_is_refused(graph):
    model = GCN(5, 8, 2, 3)
    torch.nn.init.constant_(model.convs[0].lin.weight, torch.nan)
    with pytest.raises(UnsupportedModelError, match="finite numbers"):
        frequency_profile(model, graph)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_graph_that_the_history_was_not_recorded_on_is_refused(wrapped, graph):
    trained = GraGR(GCN(5, 8, 2, 3)).fit(graph, epochs=2, progress=False)
    model = trained if wrapped else trained.model
    fewer = Data(x=graph.x, edge_index=graph.edge_index[:, :4])
    with pytest.raises(HistoryMismatchError, match="with other features or edges"):
        frequency_history(model, fewer)
    more = Data(x=torch.cat([graph.x, graph.x]), edge_index=graph.edge_index)
    with pytest.raises(HistoryMismatchError, match=f"expected the graph of {len(graph.x)} nodes"):
        frequency_history(model, more)
    assert len(frequency_history(model, graph)) > 1
