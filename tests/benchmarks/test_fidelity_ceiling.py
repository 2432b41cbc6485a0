from __future__ import annotations

from itertools import combinations

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE, global_mean_pool
from torch_geometric.utils import to_undirected

from benchmarks.ceiling import compared, shares
from benchmarks.fidelity._ceiling import ceiling, search
from benchmarks.fidelity._instance import Instance, Problem, probabilities
from gragr_explain.explain import input_gradients

BACKBONES = (GCN, GAT, GIN, GraphSAGE)
NUM_FEATURES = 40  # more than nodes, so that features are compressed


class GraphModel(nn.Module):
    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, x, edge_index, batch):
        return global_mean_pool(self.encoder(x, edge_index), batch)


def case(backbone, seed: int, num_edges: int, level: str = "node") -> tuple[Problem, Instance]:
    """A model of random weights on a graph where the edges into nodes far from node 0 cannot be heard."""
    torch.manual_seed(seed)
    model = backbone(NUM_FEATURES, 16, num_layers=2, out_channels=3).eval()
    for weight in model.parameters():
        weight.data *= 2  # so that probabilities are not all alike
    if level == "graph":
        model = GraphModel(model)
    num_nodes = 8
    edge_index = to_undirected(torch.randint(num_nodes, (2, num_edges)), num_nodes=num_nodes)
    edge_index = edge_index[:, edge_index[0] != edge_index[1]][:, :num_edges]
    heard = torch.ones(edge_index.size(1), dtype=torch.bool)
    if level == "node":
        near = torch.zeros(num_nodes, dtype=torch.bool)
        near[0] = near[edge_index[0, edge_index[1] == 0]] = True
        heard = near[edge_index[1]]
    x = torch.randn(num_nodes, NUM_FEATURES)
    instance = Instance(0, x, edge_index, index=0, predicted=0, label=0, heard=heard)
    problem = Problem("random", backbone.__name__, level, model, {}, [instance], [], [], [], num_classes=3)
    return problem, instance


def gaps(problem: Problem, instance: Instance, target: int, subsets: list[tuple[int, ...]]) -> torch.Tensor:
    masks = torch.zeros(len(subsets), instance.num_edges)
    for row, subset in enumerate(subsets):
        masks[row, list(subset)] = 1
    found = [probabilities(problem, instance, part)[:, target] for part in (masks, 1 - masks)]
    return found[0] - found[1]


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("level", ["node", "graph"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_finds_what_trying_all_subsets_finds(backbone, level, seed):
    problem, instance = case(backbone, seed, num_edges=9, level=level)
    heard = instance.heard.nonzero().view(-1).tolist()
    rows = ceiling(problem, instance, target=1, sizes=[0, 1, 3, 5, 20])
    for row in rows:
        subsets = [s for k in range(min(int(row["mask"]), len(heard)) + 1) for s in combinations(heard, k)]
        best = float(gaps(problem, instance, 1, subsets).max())
        assert row["num_edges"] <= int(row["mask"])
        assert row["p_kept"] - row["p_removed"] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("seed", [3, 4])
def test_is_never_below_the_signed_gradients_choice(backbone, seed):
    problem, instance = case(backbone, seed, num_edges=24)
    evidence, _ = input_gradients(
        problem.model, lambda output: output[0].softmax(-1)[2], instance.x, instance.edge_index
    )
    heard = instance.heard.nonzero().view(-1)
    for row in ceiling(problem, instance, target=2, sizes=[3, 5, 10]):
        chosen = heard[evidence[heard].topk(min(int(row["mask"]), len(heard))).indices]
        gradients = float(gaps(problem, instance, 2, [tuple(chosen.tolist())]))
        assert row["p_kept"] - row["p_removed"] >= gradients - 1e-5


def test_more_edges_are_never_worse_and_a_second_search_finds_the_same():
    problem, instance = case(GIN, 5, num_edges=24)
    rows = ceiling(problem, instance, target=0, sizes=[1, 2, 3, 5, 10])
    best = [row["p_kept"] - row["p_removed"] for row in rows]
    assert best == sorted(best)
    assert rows == ceiling(problem, instance, target=0, sizes=[1, 2, 3, 5, 10])


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 7))
def test_subsets_of_any_set_function_are_as_good_as_swaps_can_make_them(seed, num_edges):
    """No swap, drop or addition helps, and where edges do not interact the best is found."""
    generator = torch.Generator().manual_seed(seed)
    worth = torch.randn(num_edges, generator=generator)
    pairs = torch.randn(num_edges, num_edges, generator=generator).triu(1)

    def alone(subsets):
        return subsets.float() @ worth

    def together(subsets):
        return alone(subsets) + ((subsets.float() @ pairs) * subsets).sum(1)

    slopes = torch.randn(2, num_edges, generator=generator)
    for size, subset in search(alone, num_edges, [2, 4], slopes).items():
        assert float(alone(subset.unsqueeze(0))) == pytest.approx(
            float(worth.clamp(min=0).sort(descending=True).values[:size].sum()), abs=1e-5
        )
    for size, subset in search(together, num_edges, [2, 4], slopes).items():
        value = float(together(subset.unsqueeze(0)))
        members = set(subset.nonzero().view(-1).tolist())
        for k in range(size + 1):
            for other in combinations(range(num_edges), k):
                other_mask = torch.zeros(1, num_edges, dtype=torch.bool)
                other_mask[0, list(other)] = True
                if len(members - set(other)) <= 1 and len(set(other) - members) <= 1:
                    assert float(together(other_mask)) <= value + 1e-5


def test_a_share_is_of_instances_that_an_explanation_is_possible_of():
    about = {"dataset": "Texas", "backbone": "GCN", "mask": "3"}
    best = pd.DataFrame(
        [
            {**about, "instance": 1, "p_kept": 0.9, "p_removed": 0.1},
            {**about, "instance": 2, "p_kept": 0.5, "p_removed": 0.3},
            {**about, "instance": 3, "p_kept": 0.2, "p_removed": 0.4},
        ]
    )
    scores = pd.DataFrame(
        [
            {**row, "explainer": "ours", "focus": focus, "p_full": 0.9, "p_kept": row["p_kept"] - 0.25}
            for row in best.to_dict("records")
            for focus in ("model", "phenomenon")
        ]
    )
    found = compared(best, scores)
    assert len(found) == 3
    assert shares(found, ["backbone", "edges", "explainer"]).to_dict() == {("GCN", 3, "ours"): pytest.approx(0.5)}


def test_a_better_subset_of_an_explainer_is_the_ceiling() -> None:
    about = {"dataset": "Cora", "backbone": "GCN", "mask": "3", "instance": 1}
    best = pd.DataFrame([{**about, "p_kept": 0.6, "p_removed": 0.2}])
    scores = pd.DataFrame(
        [
            {**about, "explainer": name, "focus": "model", "p_full": 0.9, "p_kept": kept, "p_removed": 0.1}
            for name, kept in (("ours", 0.6), ("Saliency", 0.3))
        ]
    )
    found = compared(best, scores).set_index("explainer")
    assert found.above.to_dict() == {"ours": pytest.approx(0.1), "Saliency": pytest.approx(-0.2)}
    assert found.gap_best.tolist() == pytest.approx([0.5, 0.5])
    assert found[["p_kept_best", "p_removed_best"]].drop_duplicates().to_numpy().tolist() == [[0.6, 0.1]]
