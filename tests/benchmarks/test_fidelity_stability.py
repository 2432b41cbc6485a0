from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GraphSAGE
from torch_geometric.utils import k_hop_subgraph, to_undirected

from benchmarks.fidelity import _stability
from benchmarks.fidelity._instance import Instance, Problem, probabilities
from benchmarks.fidelity._perturbed import NOISE, REWIRED, noisy, rewired, with_noise
from benchmarks.fidelity._stability import BETTER, cosine, jaccard, measure
from benchmarks.fidelity._tables import REFINED, UNTRAINED
from benchmarks.stability import means_of, ranks_of, stability_jobs, uses_verdict
from gragr_explain import GraGR

NODE = 7
masks = st.lists(st.integers(0, 4), min_size=1, max_size=12)


def graph(seed: int = 0) -> Data:
    generator = torch.Generator().manual_seed(seed)
    edge_index = to_undirected(torch.randint(40, (2, 90), generator=generator), num_nodes=40)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]]
    x = (torch.rand(40, 30, generator=generator) < 0.3).float()
    train = torch.arange(40) % 2 == 0
    return Data(x=x, edge_index=edge_index, y=torch.arange(40) % 3, train_mask=train, val_mask=~train)


def case(data: Data, model: torch.nn.Module, backbone: str = "GraphSAGE") -> Problem:
    """A node's part of a graph for two layers that do not look at degrees."""
    model.eval()
    nodes, edge_index, index, inside = k_hop_subgraph(NODE, 2, data.edge_index, relabel_nodes=True)
    near = torch.zeros(len(nodes), dtype=torch.bool)
    near[index] = True
    near[edge_index[0, near[edge_index[1]]]] = True
    with torch.no_grad():
        predicted = int(model(data.x, data.edge_index)[NODE].argmax())
    instance = Instance(
        name=NODE,
        x=data.x[nodes],
        edge_index=edge_index,
        index=int(index),
        predicted=predicted,
        label=int(data.y[NODE]),
        heard=near[edge_index[1]],
        origin=inside.nonzero().view(-1),
        nodes=nodes,
    )
    return Problem("random", backbone, "node", model, {}, [instance], [], [], [data], num_classes=3)


def untrained(seed: int, kind: type = GraphSAGE) -> Problem:
    torch.manual_seed(seed)
    return case(graph(), kind(30, 16, num_layers=2, out_channels=3))


@pytest.mark.parametrize("change", [lambda *given: with_noise(*given, 0), rewired], ids=["noise", "rewired"])
@pytest.mark.parametrize("seed", range(5))
def test_a_changed_part_is_the_part_of_the_changed_graph(change, seed):
    problem = untrained(seed)
    (instance,), (before,) = problem.instances, problem.graphs
    changed = change(problem, instance)
    (after,) = changed.problem.graphs
    assert not (torch.equal(after.x, before.x) and torch.equal(after.edge_index, before.edge_index))
    ones = torch.ones(1, instance.num_edges)
    with torch.no_grad():
        whole = problem.model(after.x, after.edge_index)[NODE].softmax(-1)
    torch.testing.assert_close(probabilities(problem, changed.instance, ones)[0], whole)
    assert int(whole.argmax()) == instance.predicted
    again = change(problem, instance)
    assert torch.equal(again.instance.x, changed.instance.x)
    assert torch.equal(again.instance.edge_index, changed.instance.edge_index)


@pytest.mark.parametrize("seed", range(5))
def test_rewiring_moves_the_senders_of_some_heard_edges(seed):
    problem = untrained(seed)
    (instance,) = problem.instances
    changed = rewired(problem, instance)
    moved = (changed.instance.edge_index != instance.edge_index).any(0)
    assert int(moved.sum()) == math.ceil(REWIRED * int(instance.heard.sum()))
    assert bool(instance.heard[moved].all())
    assert torch.equal(changed.instance.edge_index[1], instance.edge_index[1])
    assert not bool((changed.same & moved).any())
    assert bool((changed.same <= instance.heard).all())
    assert changed.instance.edge_index.unique(dim=1).size(1) == instance.edge_index.unique(dim=1).size(1)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(2, 40), st.floats(0, 1))
def test_noise_on_zeros_and_ones_moves_a_hundredth_of_the_ones(seed, rows, columns, share):
    x = (torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed)) < share).float()
    found = noisy(x, torch.Generator().manual_seed(seed))
    assert torch.equal(found.sum(1), x.sum(1))
    movable = int(x[x.sum(1) < columns].sum())
    moved = int((found < x).sum())
    assert moved <= math.ceil(NOISE * movable)
    assert (moved > 0) == (movable > 0) or movable == 1
    assert bool(((found == 0) | (found == 1)).all())


def test_noise_on_numbers_is_a_hundredth_of_their_spread():
    x = 5 * torch.randn(200, 30, generator=torch.Generator().manual_seed(0))
    change = noisy(x, torch.Generator().manual_seed(1)) - x
    assert float(change.std()) == pytest.approx(NOISE * float(x.std()), rel=0.05)
    constant = torch.full((3, 2), 7.0)
    assert torch.equal(noisy(constant, torch.Generator()), constant)


@given(masks, masks, st.integers(1, 5))
def test_jaccard_by_hand(first, second, count):
    size = min(len(first), len(second))
    one, other = torch.tensor(first[:size]).float(), torch.tensor(second[:size]).float()

    def top(mask):
        order = sorted(range(size), key=lambda edge: -mask[edge])
        return {edge for edge in order[:count] if mask[edge] > 0}

    union = top(one) | top(other)
    expected = len(top(one) & top(other)) / len(union) if union else 1.0
    assert jaccard(one, other, count) == jaccard(other, one, count) == expected
    assert jaccard(one, one, count) == 1


@given(masks)
def test_cosine_of_masks_that_may_be_empty(values):
    mask = torch.tensor(values).float()
    assert cosine(mask, 3 * mask) == pytest.approx(1)
    assert cosine(mask, torch.zeros_like(mask)) == float(not mask.any())


def test_infidelity_is_zero_for_what_adds_up(monkeypatch):
    problem = untrained(0)
    (instance,) = problem.instances
    weight = torch.rand(instance.num_edges, generator=torch.Generator().manual_seed(0)) * instance.heard
    linear = lambda case, found, masks: (masks @ weight).unsqueeze(1).expand(-1, 3)  # noqa: E731
    monkeypatch.setattr(_stability, "probabilities", linear)
    assert _stability._infidelity(problem, instance, weight) == pytest.approx(0, abs=1e-6)
    assert _stability._infidelity(problem, instance, 4 * weight) == pytest.approx(0, abs=1e-6)
    assert _stability._infidelity(problem, instance, weight.flip(0)) > 1e-2


def test_sensitivity_is_the_largest_relative_change():
    problem = untrained(0)
    (instance,) = problem.instances
    noises = [with_noise(problem, instance, draw) for draw in range(2)]
    mask = torch.rand(instance.num_edges)
    changed = [mask * 1.1, mask * 0.5]
    assert _stability._sensitivity(instance, mask, noises, changed) == pytest.approx(0.5)


@pytest.fixture
def retrained(monkeypatch):
    """Let the benchmark find these problems in place of its own."""

    def use(problems: list[Problem]) -> None:
        monkeypatch.setattr(_stability, "problem", lambda dataset, backbone, seed: problems[seed])
        _stability._retrained.cache_clear()

    yield use
    _stability._retrained.cache_clear()


def found_by(explainer: str) -> dict[str, float]:
    rows = measure({"dataset": "random", "backbone": "GraphSAGE", "explainer": explainer, "instances": 5})
    assert all(row["instance"] == NODE and not row["error"] for row in rows)
    return {row["measure"]: row["value"] for row in rows}


def test_what_is_drawn_by_chance_is_unstable_and_what_is_not_is_the_same_in_all_runs(retrained):
    retrained([untrained(seed) for seed in range(3)])
    chance, gradient, ranks = (found_by(name) for name in ("random", "EdgeGradient", "PageRank"))
    assert gradient["identical"] == gradient["seeds"] == 1
    assert chance["identical"] == 0
    assert chance["seeds"] < 1
    assert chance["noise"] < gradient["noise"] <= 1
    assert 0 < gradient["sensitivity"] < chance["sensitivity"]
    assert gradient["retraining"] < 1
    assert ranks["retraining"] == 1  # it does not look at the model
    assert ranks["noise"] == pytest.approx(1)
    assert ranks["sensitivity"] == 0
    assert set(_stability.BETTER) <= set(gradient)


def test_ours_with_a_history_explains_the_changed_graph(retrained):
    data, problems = graph(), []
    for seed in range(3):
        torch.manual_seed(seed)
        model = GraGR(GCN(30, 16, num_layers=2, out_channels=3)).fit(data, epochs=5, progress=False)
        problems.append(case(data, model, "GCN"))
    retrained(problems)
    assert problems[0].model.history is not None
    found = found_by("ours")
    assert found["identical"] == 1
    assert found["sensitivity"] > 0
    assert set(found_by("ours, shuffled history")) == {"retraining"}


def test_an_explainer_that_fails_is_told_not_hidden(retrained):
    retrained([untrained(seed) for seed in range(3)])
    rows = measure({"dataset": "random", "backbone": "GraphSAGE", "explainer": "AttentionExplainer", "instances": 5})
    assert [row["measure"] for row in rows] == ["error"]
    assert "attention" in rows[0]["error"]


def test_instances_with_too_few_edges_are_left_out():
    problem = untrained(0)
    (instance,) = problem.instances
    few = replace(instance, heard=instance.heard & (instance.heard.cumsum(0) <= _stability.TOP))
    both = replace(problem, instances=[few, instance, instance])
    assert _stability.instances_of(both, 1) == [1]
    assert _stability.instances_of(both, 5) == [1, 2]


def test_explainers_are_compared_on_the_instances_that_all_of_a_case_have():
    def rows(explainer, backbone, values):
        about = {"dataset": "random", "backbone": backbone, "explainer": explainer}
        return [
            {**about, "instance": instance, "measure": name, "value": value if better == "higher" else 1 - value}
            for instance, value in values.items()
            for name, better in BETTER.items()
        ]

    found = pd.DataFrame(
        [
            *rows("ours", "GCN", {1: 0.9, 2: 0.1, 3: 0.1}),
            *rows("Saliency", "GCN", {1: 0.8, 2: 0.8, 3: 0.8}),
            *rows("GNNExplainer", "GCN", {1: 0.7}),
            *rows("PageRank", "GCN", {1: 1.0, 2: 1.0, 3: 1.0}),
            *rows("ours", "GIN", {1: 0.2, 2: 0.4}),
            *rows("Saliency", "GIN", {1: 0.6, 2: 0.6}),
        ]
    )
    means = means_of(found)
    assert means.loc[("random", "GCN", "ours"), "noise"] == pytest.approx(0.9)
    assert means.loc[("random", "GIN", "ours"), "noise"] == pytest.approx(0.3)
    assert ranks_of(means)["all"].to_dict() == {"Saliency": 1.5, "ours": 1.5, "GNNExplainer": 3}


def test_what_supports_and_what_is_used_is_asked_but_not_how_much_is_refined():
    jobs = [job for group in stability_jobs(["Cora", "MUTAG"], ["GCN"], 5, 1) for job in group]
    asked = {(job["dataset"], job["explainer"]) for job in jobs}
    assert {(dataset, "ours, uses") for dataset in ("Cora", "MUTAG")} <= asked
    assert not {name for _, name in asked} & {*REFINED, UNTRAINED}
    assert {job["instances"] for job in jobs if job["explainer"] == "GNNExplainer"} == {1}


def test_the_page_says_who_is_more_stable_than_what_is_used():
    ranks = pd.DataFrame({"all": {"Saliency": 1.5, "ours, uses": 2.25, "ours": 3.0}})
    assert "has 2.25, better: Saliency. " in uses_verdict(ranks)
    assert "has 2.25, the best of all. " in uses_verdict(ranks.drop(index="Saliency"))
    assert uses_verdict(ranks.drop(index="ours, uses")) == ""
