"""The model: parameters, shared layers, the energies along its flow, saving and copying."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from torch_geometric.nn.conv.gcn_conv import gcn_norm

from gragr_explain.field import harmonic_energy
from gragr_explain.models import GRAFF, MIXINGS


def count(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("depth", [1, 2, 7])
def test_the_number_of_parameters_is_that_of_the_slides(depth):
    p, d, k = 11, 6, 4
    model = GRAFF(p, d, depth, k, w="diagonally-dominant", bias=False)
    assert count(model) == p * d + d**2 + 3 * d + d * k
    for w in ("sum", "prod", "neg-prod"):
        assert count(GRAFF(p, d, depth, k, w=w, bias=False)) == p * d + d**2 + d + d * k
    heated = GRAFF(p, d, depth, k, w="diagonally-dominant", bias=False, heat=0.9)
    assert count(heated) == count(model)
    assert count(GRAFF(p, d, depth, k)) == count(GRAFF(p, d, 1, k, bias=False)) + d + k


@pytest.mark.parametrize("encoder_act", [None, "relu", torch.tanh])
@pytest.mark.parametrize("heat", [0.0, 0.9])
@pytest.mark.parametrize("w", MIXINGS)
def test_the_output_is_encoder_steps_decoder(w, heat, encoder_act, graph):
    torch.manual_seed(0)
    model = GRAFF(5, 8, 3, 4, w=w, step_size=0.5, beta=0.3, heat=heat, encoder_act=encoder_act).eval()
    for parameter in model.mixing.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    edge_index, weight = gcn_norm(graph.edge_index, None, 10, add_self_loops=False)
    adjacency = torch.zeros(10, 10).index_put((edge_index[1], edge_index[0]), weight, accumulate=True)
    functions = {None: lambda x: x, "relu": F.relu, torch.tanh: torch.tanh}
    x = x_0 = functions[encoder_act](model.encoder(graph.x))
    for _ in range(3):
        x = x + 0.5 * (-x * model.mixing.external() + adjacency @ x @ model.mixing() + 0.3 * x_0)
    torch.testing.assert_close(model(graph.x, graph.edge_index), model.decoder(x))
    torch.testing.assert_close(model.trajectory(graph.x, graph.edge_index)[-1], x)


def test_without_out_channels_it_returns_the_representations(graph):
    model = GRAFF(5, 8, 2)
    assert model.out_channels == 8
    torch.testing.assert_close(model(graph.x, graph.edge_index), model.trajectory(graph.x, graph.edge_index)[-1])


def test_edge_weights_and_self_loops_reach_the_layers(graph):
    torch.manual_seed(0)
    weight = torch.rand(graph.num_edges)
    model = GRAFF(5, 8, 2, 3)
    plain = model(graph.x, graph.edge_index)
    assert not torch.allclose(model(graph.x, graph.edge_index, weight), plain)
    torch.testing.assert_close(model(graph.x, graph.edge_index, torch.full_like(weight, 3.0)), plain)
    looped = GRAFF(5, 8, 2, 3, add_self_loops=True)
    looped.load_state_dict(model.state_dict())
    assert not torch.allclose(looped(graph.x, graph.edge_index), plain)
    raw = GRAFF(5, 8, 2, 3, normalize=False)
    raw.load_state_dict(model.state_dict())
    edge_index, normalized = gcn_norm(graph.edge_index, weight, 10, add_self_loops=False)
    torch.testing.assert_close(raw(graph.x, edge_index, normalized), model(graph.x, graph.edge_index, weight))


def test_layers_stay_shared_in_copies_and_after_loading(graph):
    model = GRAFF(5, 8, 3, 4, w="diagonally-dominant")
    for twin in (copy.deepcopy(model), GRAFF(5, 8, 3, 4, w="diagonally-dominant")):
        state = {name: value.clone() for name, value in model.state_dict().items()}
        twin.load_state_dict(load(save(state)))
        assert len({id(conv.mixing) for conv in twin.convs}) == 1
        torch.testing.assert_close(twin(graph.x, graph.edge_index), model(graph.x, graph.edge_index))
    twin.reset_parameters()
    assert not torch.allclose(twin(graph.x, graph.edge_index), model(graph.x, graph.edge_index))


def test_seeds_repeat_and_dropout_is_for_training_only(graph):
    def run(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        model = GRAFF(5, 8, 2, 3, dropout=0.5)
        return torch.stack([model(graph.x, graph.edge_index), model.eval()(graph.x, graph.edge_index)])

    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert not torch.equal(*run(0))


def test_the_number_of_features_may_be_left_open(graph):
    model = GRAFF(-1, 8, 2, 3)
    assert model(graph.x, graph.edge_index).shape == (10, 3)
    assert model.encoder.in_channels == 5


def test_it_computes_in_double_precision(graph):
    for heat in (0.0, 0.5):
        model = GRAFF(5, 8, 2, 3, w=torch.eye(8), heat=heat).double()
        assert model(graph.x.double(), graph.edge_index).dtype == torch.float64


@pytest.mark.parametrize("w", MIXINGS)
@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("heat", [0.0, 0.9])
def test_energies_fall_along_the_flow(w, beta, heat, graph):
    torch.manual_seed(0)
    model = GRAFF(5, 8, 12, w=w, step_size=0.25, beta=beta, heat=heat).double()
    for parameter in model.mixing.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    x = graph.x.double()
    edge_index, weight = gcn_norm(graph.edge_index, None, 10, add_self_loops=False, dtype=x.dtype)
    adjacency = torch.zeros(10, 10, dtype=x.dtype).index_put((edge_index[1], edge_index[0]), weight)
    hessian = torch.kron(torch.eye(10, dtype=x.dtype), model.mixing.external().diag()) - torch.kron(
        adjacency, model.mixing()
    )
    assert model.convs[0].step_size < 2 / torch.linalg.eigvalsh(hessian)[-1]  # the condition that its docstring names
    energies = model.energies(x, graph.edge_index)
    assert energies.shape == (13,)
    assert bool((energies.diff() < 0).all())


def test_repulsion_raises_and_attraction_lowers_the_dirichlet_energy_of_unit_fields(graph):
    change = {}
    for sign in (1, -1):
        torch.manual_seed(0)
        model = GRAFF(5, 8, 20, w=sign * torch.eye(8), step_size=0.5)
        flow = model.trajectory(graph.x, graph.edge_index)
        energy = [float(harmonic_energy(step / step.norm(), graph.edge_index)) for step in flow]
        change[sign] = energy[-1] - energy[0]
    assert change[1] < 0 < change[-1]


def test_it_learns_what_a_smoothing_model_cannot():
    """Labels that alternate along a ring, with features that say little: W learns to repel."""
    torch.manual_seed(0)
    num_nodes = 60
    ring = torch.stack([torch.arange(num_nodes), (torch.arange(num_nodes) + 1) % num_nodes])
    edge_index = torch.cat([ring, ring.flip(0)], dim=1)
    y = torch.arange(num_nodes) % 2
    x = torch.randn(num_nodes, 4)
    x[:, 0] += 2.0 * y - 1
    model = GRAFF(4, 16, 4, 2, w="sum", step_size=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    train = torch.arange(num_nodes) < 30
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(x, edge_index)[train], y[train]).backward()
        optimizer.step()
    hit = (model(x, edge_index).argmax(-1) == y)[~train].double().mean()
    assert hit > 0.9
    spectrum = torch.linalg.eigvalsh(model.mixing())
    assert -spectrum[0] > spectrum[-1]


def test_a_model_says_what_it_is():
    assert str(GRAFF(16, 8, 3, 4)) == "GRAFF(16, 4, num_layers=3)"
