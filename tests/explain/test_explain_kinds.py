"""The two kinds of evidence, and the search for supporting edges, in explanations of real models."""

from __future__ import annotations

import pytest
import torch
from gnns import BACKBONES, explainer_for
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import GradientContextExplainer
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._worth import SUFFICIENCY
from gragr_explain.messages import masked_output

LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 2, 0])


def trained(backbone, graph, seed=0):
    torch.manual_seed(seed)
    model = BACKBONES[backbone](3, 16, num_layers=2, out_channels=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(graph.x, graph.edge_index), LABELS).backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def value(model, graph, node, kept):
    """¾ p(kept) − p(removed) of the prediction."""
    target = int(model(graph.x, graph.edge_index)[node].argmax())
    found = [
        masked_output(model, mask.float(), graph.x, graph.edge_index)[node].softmax(-1)[target]
        for mask in (kept, ~kept)
    ]
    return float(SUFFICIENCY * found[0] - found[1])


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_searched_edges_are_better_than_those_of_the_gradients(backbone, graph):
    searched, by_gradient = [], []
    for seed in range(3):
        model = trained(backbone, graph, seed)
        for node in range(graph.num_nodes):
            found = explainer_for(model)(graph.x, graph.edge_index, index=node)
            searched.append(value(model, graph, node, found.edge_mask > 0.5))
            by_gradient.append(value(model, graph, node, found.edge_evidence > 0))
    assert sum(searched) > sum(by_gradient)
    assert min(ours - other for ours, other in zip(searched, by_gradient, strict=True)) > -0.3


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_wider_search_finds_better_edges(backbone, graph):
    worth = {1: [], 8: []}
    for seed in range(3):
        model = trained(backbone, graph, seed)
        for width, found in worth.items():
            explain = explainer_for(model, GradientContextExplainer(search_width=width))
            for node in range(graph.num_nodes):
                mask = explain(graph.x, graph.edge_index, index=node).edge_mask
                found.append(value(model, graph, node, mask > 0.5))
    assert sum(worth[8]) > sum(worth[1])
    assert min(wide - narrow for wide, narrow in zip(worth[8], worth[1], strict=True)) > -0.01


@pytest.mark.parametrize("search_edges", [1, 3])
def test_no_more_edges_are_searched_for_than_asked(search_edges, gcn, graph):
    algorithm = GradientContextExplainer(search_edges=search_edges)
    for node in range(graph.num_nodes):
        mask = explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=node).edge_mask
        assert mask.min() >= 0
        assert mask.max() <= 1
        assert int((mask > 0.5).sum()) <= search_edges


def test_what_is_used_is_the_larger_magnitude_of_both_directions_along_the_way(gcn, graph):
    algorithm = GradientContextExplainer(evidence="uses")
    found = explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=1)
    edges = graph.edge_index.t().tolist()
    heard = k_hop_subgraph(1, 1, graph.edge_index)[0]  # into these, messages of two layers reach node 1
    gcn.eval()
    target, magnitude = int(gcn(graph.x, graph.edge_index)[1].argmax()), torch.zeros(len(edges))
    for growth in (0.2, 0.4, 0.6, 0.8, 1.0):
        mask = torch.full((len(edges),), growth, requires_grad=True)
        p = masked_output(gcn, mask, graph.x, graph.edge_index)[1].softmax(-1)[target]
        magnitude += torch.autograd.grad(p.log() - (1 - p).log(), mask)[0].abs()
    largest = {}
    for (source, target), amount in zip(edges, magnitude.tolist(), strict=True):
        pair = frozenset((source, target))
        largest[pair] = max(largest.get(pair, 0.0), amount)
    expected = torch.tensor([largest[frozenset(edge)] * (edge[1] in heard) for edge in edges])
    torch.testing.assert_close(found.edge_mask, expected / expected.max())


def test_several_outputs_at_once_are_explained_by_gradients(gcn, graph):
    found = explainer_for(gcn)(graph.x, graph.edge_index, index=torch.tensor([1, 2]))
    torch.testing.assert_close(found.edge_mask, found.edge_evidence.clamp(min=0) / found.edge_evidence.max())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"evidence": "both"}, InvalidArgumentError, "expected evidence 'supports' or 'uses', got 'both'"),
        ({"search_edges": -1}, InvalidArgumentError, "expected search_edges of at least 0, got -1"),
        ({"search_edges": 1.5}, InvalidTypeError, "expected search_edges as an integer, got 1.5"),
        ({"search_edges": True}, InvalidTypeError, "expected search_edges as an integer, got True"),
        ({"search_width": 0}, InvalidArgumentError, "expected search_width of at least 1, got 0"),
        ({"search_width": 2.0}, InvalidTypeError, "expected search_width as an integer, got 2.0"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        GradientContextExplainer(**arguments)
