"""The slides' propositions, on small graphs, against dense eigendecompositions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from gragr_explain.field import GraphOperator, harmonic_energy, largest_frequency, rayleigh_quotient
from gragr_explain.models import GRAFFConv, flow_energy, limit_dominance


@st.composite
def graphs(draw: st.DrawFn) -> GraphOperator:
    """Connected and not bipartite: a tree, a triangle at its root, some edges more."""
    num_nodes = draw(st.integers(4, 7))
    edges = [(draw(st.integers(0, node - 1)), node) for node in range(1, num_nodes)]
    node = st.integers(0, num_nodes - 1)
    edges += [(0, 1), (1, 2), (0, 2), *draw(st.lists(st.tuples(node, node), max_size=5))]
    ends = torch.tensor(edges).t()
    return GraphOperator(torch.cat([ends, ends.flip(0)], dim=1), num_nodes)


def adjacency_of(graph: GraphOperator) -> Tensor:
    root = graph.strength.double().rsqrt()
    return root[:, None] * graph.matrix(torch.float64).to_dense() * root


def edges_of(graph: GraphOperator) -> Tensor:
    return torch.stack([graph.col, graph.row])


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def symmetric(channels: int, seed: int) -> Tensor:
    matrix = drawn(channels, channels, seed=seed)
    return matrix + matrix.t()


def limit(operator: Tensor, field: Tensor) -> Tensor:
    """Where a linear map sends the direction of a field when it is applied 2^40 times; rows of a field are stacked."""
    for _ in range(40):
        operator = operator @ operator
        operator = operator / operator.abs().max()
    return (operator @ field.reshape(-1)).view_as(field)


def step_of(graph: GraphOperator, w: Tensor, step_size: float, residual: bool) -> Tensor:
    size = graph.num_nodes * w.size(0)
    step = step_size * torch.kron(adjacency_of(graph), w)
    return step + torch.eye(size, dtype=torch.float64) if residual else step


seeds = st.integers(0, 10**6)


@given(graphs(), seeds)
def test_heat_flow_is_low_frequency_dominant(graph: GraphOperator, seed: int) -> None:
    """Heat equation: the energy falls to zero, the mean frequency too, and features become indistinguishable."""
    values, vectors = torch.linalg.eigh(torch.eye(graph.num_nodes, dtype=torch.float64) - adjacency_of(graph))
    start = drawn(graph.num_nodes, 2, seed=seed)

    def at(time: float) -> Tensor:
        return vectors @ ((-time * values).exp()[:, None] * (vectors.t() @ start))

    times = [0.0, 0.5, 1.0, 2.0, 4.0]
    energies = torch.stack([harmonic_energy(at(time), graph) for time in times])
    quotients = torch.stack([rayleigh_quotient(at(time), graph) for time in times])
    assert bool((energies.diff() < 0).all())
    assert bool((quotients.diff() < 0).all())
    far = at(40 / float(values[1]))
    assert float(rayleigh_quotient(far, graph)) < 1e-9
    scaled = far / graph.strength.double().sqrt()[:, None]
    torch.testing.assert_close(scaled, scaled[:1].expand_as(scaled))


@given(graphs(), seeds)
def test_growing_energy_may_still_be_low_frequency_dominant(graph: GraphOperator, seed: int) -> None:
    """The slides' motivating example: under dF/dt = AF energy may grow, and only that of the unit field vanishes."""
    values, vectors = torch.linalg.eigh(adjacency_of(graph))
    assume(values[-1] - values[-2] > 0.05)
    start = drawn(graph.num_nodes, 2, seed=seed)
    time = 40 / float(values[-1] - values[-2])
    field = vectors @ ((time * (values - values[-1])).exp()[:, None] * (vectors.t() @ start))
    assert float(rayleigh_quotient(field, graph)) < 1e-9
    if values[-2] > 0.1:  # a frequency below 1 that is not the lowest: its part grows
        part = vectors[:, :-1].t() @ start[:, 0]  # the lowest frequency is zero and adds nothing
        energy = [((1 - values[:-1]) * ((t * values[:-1]).exp() * part) ** 2).sum() / 2 for t in (40, 80)]
        assert energy[1] > energy[0]


@given(graphs(), seeds)
def test_the_generalised_harmonic_flow_smooths_whatever_its_mixing(graph: GraphOperator, seed: int) -> None:
    """dF/dt = -Laplacian F W'W: the energy of W falls; without a kernel, nodes of one degree end alike."""
    w = drawn(3, 3, seed=seed) + 2 * torch.eye(3, dtype=torch.float64)
    metric = w.t() @ w
    assume(torch.linalg.eigvalsh(metric)[0] > 0.05)
    laplacian = torch.eye(graph.num_nodes, dtype=torch.float64) - adjacency_of(graph)
    values, vectors = torch.linalg.eigh(torch.kron(laplacian, metric))
    start = drawn(graph.num_nodes, 3, seed=seed + 1)

    def at(time: float) -> Tensor:
        return (vectors @ ((-time * values).exp() * (vectors.t() @ start.reshape(-1)))).view_as(start)

    energies = torch.stack([harmonic_energy(at(time), graph, w) for time in (0.0, 0.1, 0.5, 2.0)])
    assert bool((energies.diff() < 0).all())
    far = at(60 / float(values[3]))
    scaled = far / graph.strength.double().sqrt()[:, None]
    torch.testing.assert_close(scaled, scaled[:1].expand_as(scaled), atol=1e-6, rtol=1e-6)


@given(graphs(), seeds, st.sampled_from([0.25, 1.0]))
def test_the_layer_is_the_linear_map_that_is_analysed(graph: GraphOperator, seed: int, step_size: float) -> None:
    w, field = symmetric(3, seed), drawn(graph.num_nodes, 3, seed=seed + 1)
    conv = GRAFFConv(3, w, step_size).double()
    expected = (step_of(graph, w, step_size, residual=True) @ field.reshape(-1)).view_as(field)
    torch.testing.assert_close(conv(field, field, edges_of(graph)), expected)


@given(graphs(), seeds, st.sampled_from([0.25, 1.0]))
def test_residual_flow_is_high_frequency_dominant_when_negative_eigenvalues_weigh_enough(
    graph: GraphOperator, seed: int, step_size: float
) -> None:
    """The theorem's two conditions on the spectrum of W, and low-frequency dominance where the first fails."""
    w = symmetric(3, seed)
    spectrum = torch.linalg.eigvalsh(w)
    negative, positive = -min(float(spectrum[0]), 0.0), max(float(spectrum[-1]), 0.0)
    largest = largest_frequency(graph)
    bounded = negative < 2 / (step_size * (2 - largest))
    assume(bounded and abs(negative * (largest - 1) - positive) > 0.05)
    high = negative * (largest - 1) > positive
    assert limit_dominance(w, largest, step_size=step_size) == ("high" if high else "low")

    operator = step_of(graph, w, step_size, residual=True)
    sizes = torch.linalg.eigvalsh(operator).abs().sort(descending=True).values
    assume(sizes[1] < (1 - 1e-6) * sizes[0])
    end = limit(operator, drawn(graph.num_nodes, 3, seed=seed + 1))
    quotient = float(rayleigh_quotient(end, graph))
    assert quotient == pytest.approx(largest if high else 0.0, abs=1e-6)


@settings(max_examples=15)
@given(graphs(), seeds, st.sampled_from([0.25, 1.0]))
def test_the_energy_grows_at_the_rate_of_the_theorem(graph: GraphOperator, seed: int, step_size: float) -> None:
    """E(F(m tau)) / (1 + tau rho)^2m tends to half the largest frequency times the dominant part of the start."""
    w = -symmetric(2, seed).matrix_power(2)  # repulsion only: the first condition holds
    largest = largest_frequency(graph)
    lowest = float(torch.linalg.eigvalsh(w)[0])
    assume(0.1 < -lowest < 1.9 / (step_size * (2 - largest)))
    rate = 1 + step_size * -lowest * (largest - 1)
    operator = step_of(graph, w, step_size, residual=True)
    values, vectors = torch.linalg.eigh(operator)
    dominant = (values - rate).abs() < 1e-9
    rest = values[~dominant].abs().max()
    assume(bool(dominant.any()) and rest < 0.995 * rate)
    start = drawn(graph.num_nodes, 2, seed=seed + 1)
    part = vectors[:, dominant].t() @ start.reshape(-1)
    expected = largest / 2 * part.square().sum()

    conv, field = GRAFFConv(2, w, step_size).double(), start
    errors = []
    for layer in range(1, 161):
        field = conv(field, field, edges_of(graph)).detach() / rate
        if layer in (40, 160):
            errors.append(abs(float(harmonic_energy(field, graph) - expected)))
    decay = float(rest / rate) ** 80
    assert errors[0] <= start.square().sum() * largest * decay + 1e-9
    assert errors[1] <= start.square().sum() * largest * decay**4 + 1e-9


@given(graphs(), seeds)
def test_without_the_residual_the_flow_is_low_frequency_dominant(graph: GraphOperator, seed: int) -> None:
    """F <- tau A F W, on a graph that is not bipartite, whatever the spectrum of W."""
    w = symmetric(3, seed)
    sizes = torch.linalg.eigvalsh(w).abs().sort(descending=True).values
    inside = torch.linalg.eigvalsh(adjacency_of(graph)).abs().sort(descending=True).values
    assume(sizes[1] < 0.999 * sizes[0] and inside[1] < 1 - 1e-6)
    end = limit(step_of(graph, w, 0.5, residual=False), drawn(graph.num_nodes, 3, seed=seed + 1))
    assert float(rayleigh_quotient(end, graph)) == pytest.approx(0, abs=1e-6)


@given(graphs(), seeds)
def test_the_same_mixing_is_high_with_and_low_without_the_residual(graph: GraphOperator, seed: int) -> None:
    w = -torch.eye(2, dtype=torch.float64)
    start = drawn(graph.num_nodes, 2, seed=seed)
    largest = largest_frequency(graph)
    ends = [limit(step_of(graph, w, 0.5, residual=residual), start) for residual in (True, False)]
    found = [float(rayleigh_quotient(end, graph)) for end in ends]
    assert found == pytest.approx([largest, 0.0], abs=1e-4)


@given(graphs(), seeds)
def test_an_external_field_shifts_the_limit_as_the_spectrum_says(graph: GraphOperator, seed: int) -> None:
    w, omega, largest = symmetric(2, seed), symmetric(2, seed + 2), largest_frequency(graph)
    external = torch.kron(torch.eye(graph.num_nodes, dtype=torch.float64), omega)
    operator = step_of(graph, w, 0.5, residual=True) - 0.5 * external
    sizes = torch.linalg.eigvalsh(operator).abs().sort(descending=True).values
    assume(sizes[1] < 0.999 * sizes[0])
    end = limit(operator, drawn(graph.num_nodes, 2, seed=seed + 1))
    expected = {"low": 0.0, "high": largest}[limit_dominance(w, largest, omega, 0.5)]
    assert float(rayleigh_quotient(end, graph)) == pytest.approx(expected, abs=1e-5)


@given(graphs(), seeds)
def test_cgnn_is_never_high_frequency_dominant(graph: GraphOperator, seed: int) -> None:
    """dF/dt = -Laplacian F + F Omega, without source: the limit is as smooth as can be."""
    laplacian = torch.eye(graph.num_nodes, dtype=torch.float64) - adjacency_of(graph)
    generator = torch.kron(torch.eye(graph.num_nodes, dtype=torch.float64), symmetric(2, seed))
    generator = generator - torch.kron(laplacian, torch.eye(2, dtype=torch.float64))
    gaps = torch.linalg.eigvalsh(generator)
    assume(gaps[-1] - gaps[-2] > 1e-3)
    values, vectors = torch.linalg.eigh(generator)
    grown = ((values - values[-1]) * 40 / float(gaps[-1] - gaps[-2])).exp()
    start = drawn(graph.num_nodes, 2, seed=seed + 1)
    end = (vectors @ (grown * (vectors.t() @ start.reshape(-1)))).view_as(start)
    assert float(rayleigh_quotient(end, graph)) < 1e-9


@given(graphs(), seeds)
def test_the_energy_is_attraction_and_repulsion_along_edges(graph: GraphOperator, seed: int) -> None:
    """E_tot = 1/2 sum <f, (Omega - W) f> + E of the positive part of W - E of its negative part."""
    w, omega, field = symmetric(3, seed), symmetric(3, seed + 1), drawn(graph.num_nodes, 3, seed=seed + 2)
    values, vectors = torch.linalg.eigh(w)
    attract, repel = (part.clamp(min=0).sqrt()[:, None] * vectors.t() for part in (values, -values))
    expected = (
        torch.sum(field * (field @ (omega - w))) / 2
        + harmonic_energy(field, graph, attract)
        - harmonic_energy(field, graph, repel)
    )
    torch.testing.assert_close(flow_energy(field, adjacency_of(graph) @ field, w, omega), expected)
