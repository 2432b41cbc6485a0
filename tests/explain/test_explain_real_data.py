"""End to end on real graphs: train, explain, and check that what the explanation shows is what the model uses."""

from __future__ import annotations

import pytest
import torch
from gnns import BACKBONES, explainer_for
from torch_geometric.data import Data
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import GraGR, explain_many


def train(backbone: str, data: Data, epochs: int) -> GraGR:
    torch.manual_seed(0)
    model = BACKBONES[backbone](data.num_features, 16, num_layers=2, out_channels=int(data.y.max()) + 1, dropout=0.5)
    return GraGR(model).fit(data, epochs=epochs, progress=False)


def some_nodes(data: Data, count: int) -> list[int]:
    """Nodes with enough edges around them for a choice of ten to matter."""
    found: list[int] = []
    for node in range(data.num_nodes):
        edges = int(k_hop_subgraph(node, 2, data.edge_index, num_nodes=data.num_nodes)[3].sum())
        if 25 <= edges <= 300:
            found.append(node)
        if len(found) == count:
            return found
    raise AssertionError("too few nodes")


def probability_fidelity(explainer, data: Data, node: int, label: int, edges: torch.Tensor) -> float:
    """How much more probable the explained class is with these edges alone than without them."""
    kept = torch.zeros(data.num_edges)
    kept[edges] = 1
    alone, without = (
        explainer.get_masked_prediction(data.x, data.edge_index, edge_mask=mask)[node].softmax(-1)[label]
        for mask in (kept, 1 - kept)
    )
    return float(alone - without)


@pytest.mark.parametrize("backbone", list(BACKBONES))
@pytest.mark.parametrize("name", ["cora", "texas"])
def test_top_edges_beat_a_random_choice(name, backbone, request):
    data = request.getfixturevalue(name)
    trained = train(backbone, data, epochs=40)
    explainer = explainer_for(trained, nodes=None)
    ours, chance = [], []
    generator = torch.Generator().manual_seed(0)
    for node in some_nodes(data, 5):
        explanation = explainer(data.x, data.edge_index, index=node)
        assert explanation.psi_source == "self"
        label = int(explanation.target[node])
        inside = k_hop_subgraph(node, 2, data.edge_index, num_nodes=data.num_nodes)[3].nonzero().view(-1)
        ours.append(probability_fidelity(explainer, data, node, label, explanation.edge_mask.topk(10).indices))
        for _ in range(3):
            choice = inside[torch.randperm(inside.numel(), generator=generator)[:10]]
            chance.append(probability_fidelity(explainer, data, node, label, choice))
    mean, random_mean = sum(ours) / len(ours), sum(chance) / len(chance)
    assert mean > random_mean + 0.05, (mean, random_mean)


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_many_equal_one_at_a_time(backbone, texas):
    trained = train(backbone, texas, epochs=10)
    explainer = explainer_for(trained)
    found = explain_many(
        explainer, texas, list(range(0, texas.num_nodes, 30)), top_edges=texas.num_edges, progress=False
    )
    for row, node in enumerate(found.index.tolist()):
        one = explainer(texas.x, texas.edge_index, index=node)
        expected = {
            (source, target): weight
            for (source, target), weight in zip(texas.edge_index.t().tolist(), one.edge_mask.tolist(), strict=True)
        }
        got = {(source, target): weight for source, target, weight in found.edges[row]}
        assert got == pytest.approx({ends: expected[ends] for ends in got}, abs=1e-4)
        assert all(weight < 1e-4 for ends, weight in expected.items() if ends not in got)
        assert torch.equal(one.psi, found.context.psi)
