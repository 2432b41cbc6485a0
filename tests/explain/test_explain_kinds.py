"""The two kinds of evidence, and the search for supporting edges, in explanations of real models."""

from __future__ import annotations

import pytest
import torch
from gnns import BACKBONES, explainer_for
from hypothesis import given
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.nn import GCN
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError
from gragr_explain.explain._usage import use_mask
from gragr_explain.explain.search._worth import SUFFICIENCY
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


def walked(magnitude, messages, num_nodes):
    """What :func:`use_mask` says, by a dense solve."""
    sender, receiver = messages
    arriving = torch.zeros(num_nodes, num_nodes, dtype=torch.double)
    arriving.index_put_((receiver, sender), magnitude.double(), accumulate=True)
    total = arriving.sum(1, keepdim=True)
    own = total.squeeze(1) / torch.bincount(receiver, minlength=num_nodes).clamp(min=1)
    steps = torch.where(total > 0, arriving / total, 0)
    counts = torch.linalg.solve(torch.eye(num_nodes, dtype=torch.double) - steps.t() / 2, own)
    found = torch.minimum(counts[sender], counts[receiver]) * (magnitude > 0)
    return found / found.max().clamp(min=1e-30)


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
def test_refining_finds_better_edges(backbone, graph):
    worth = {False: [], True: []}
    for seed in range(3):
        model = trained(backbone, graph, seed)
        for refine, found in worth.items():
            explain = explainer_for(model, GradientContextExplainer(refine=refine))
            for node in range(graph.num_nodes):
                mask = explain(graph.x, graph.edge_index, index=node).edge_mask
                found.append(value(model, graph, node, mask > 0.5))
    assert sum(worth[True]) > sum(worth[False])
    assert min(after - before for after, before in zip(worth[True], worth[False], strict=True)) > -0.01


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_set_of_a_known_size_is_no_worse_than_a_ranking_of_that_length(backbone, graph):
    worth = {True: [], False: []}
    model = trained(backbone, graph, 1)
    target = model(graph.x, graph.edge_index).argmax(-1)
    for ranked, found in worth.items():
        explain = explainer_for(model, GradientContextExplainer(search_edges=3, refine=True, ranked=ranked))
        for node in range(graph.num_nodes):
            kept = explain(graph.x, graph.edge_index, index=node).edge_mask > 0.5
            assert int(kept.sum()) <= 3
            p_kept, p_removed = (
                float(masked_output(model, mask.float(), graph.x, graph.edge_index)[node].softmax(-1)[target[node]])
                for mask in (kept, ~kept)
            )
            found.append(p_kept - p_removed)
    assert min(known - ranking for known, ranking in zip(worth[False], worth[True], strict=True)) > -0.01
    assert sum(worth[False]) >= sum(worth[True])


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_a_set_has_no_edge_from_which_no_message_reaches_the_node(backbone):
    torch.manual_seed(0)
    path = torch.tensor([[*range(7), *range(1, 8)], [*range(1, 8), *range(7)]])
    x, model = torch.randn(8, 3), BACKBONES[backbone](3, 16, num_layers=2, out_channels=3).eval()
    explain = explainer_for(model, GradientContextExplainer(search_edges=5, ranked=False))
    for node in range(8):
        heard = torch.isin(path[1], k_hop_subgraph(node, 1, path)[0])
        assert not explain(x, path, index=node).edge_mask[~heard].any()


def test_a_set_of_a_node_without_edges_and_of_no_edges(gcn, graph):
    graph.edge_index = graph.edge_index[:, (graph.edge_index != 4).all(0)]
    found = explainer_for(gcn, GradientContextExplainer(ranked=False))(graph.x, graph.edge_index, index=4)
    assert not found.edge_mask.any()
    plain, none = (
        explainer_for(gcn, GradientContextExplainer(search_edges=0, ranked=ranked))(graph.x, graph.edge_index, index=0)
        for ranked in (True, False)
    )
    assert torch.equal(plain.edge_mask, none.edge_mask)


@pytest.mark.parametrize("search_edges", [1, 3])
def test_no_more_edges_are_searched_for_than_asked(search_edges, gcn, graph):
    algorithm = GradientContextExplainer(search_edges=search_edges)
    for node in range(graph.num_nodes):
        mask = explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=node).edge_mask
        assert mask.min() >= 0
        assert mask.max() <= 1
        assert int((mask > 0.5).sum()) <= search_edges


@pytest.mark.parametrize("backbone", list(BACKBONES))
def test_what_is_used_is_where_walks_along_the_gradients_of_the_whole_graph_are(backbone, graph):
    torch.manual_seed(0)
    model = BACKBONES[backbone](3, 16, num_layers=2, out_channels=3).eval()
    found = explainer_for(model, GradientContextExplainer(evidence="uses"))(graph.x, graph.edge_index, index=4)
    target, magnitude = int(model(graph.x, graph.edge_index)[4].argmax()), torch.zeros(graph.num_edges)
    for growth in (0.2, 0.4, 0.6, 0.8, 1.0):
        mask = torch.full((graph.num_edges,), growth, requires_grad=True)
        p = masked_output(model, mask, graph.x, graph.edge_index)[4].softmax(-1)[target]
        magnitude += torch.autograd.grad(p.logit(), mask)[0].abs()
    expected = walked(magnitude, graph.edge_index, graph.num_nodes)
    torch.testing.assert_close(found.edge_mask.double(), expected, rtol=0, atol=1e-4)
    heard = torch.isin(graph.edge_index[1], k_hop_subgraph(4, 1, graph.edge_index)[0])
    assert found.edge_mask.max() == 1
    assert not found.edge_mask[~heard].any()


def test_what_is_used_is_called_support_only_where_it_speaks_for_the_output():
    torch.manual_seed(5)
    path, x = torch.tensor([[0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2]]), torch.randn(4, 3)
    explainer = explainer_for(GCN(3, 8, num_layers=2, out_channels=2), GradientContextExplainer(evidence="uses"))
    found = explainer(x, path, index=0)
    assert found.edge_mask.max() == 1
    assert found.edge_evidence.max() <= 0
    assert found.change is None
    assert "above all node" not in found.rationale
    [many] = explain_many(explainer, Data(x=x, edge_index=path), [0], progress=False).edges
    assert many == []


def test_rounding_errors_are_no_use():
    messages = torch.tensor([[1, 2, 2], [0, 0, 1]])
    exact = use_mask(torch.tensor([1.0, 1.0, 0.0]), messages)
    torch.testing.assert_close(use_mask(torch.tensor([1.0, 1.0, 1e-9]), messages), exact, rtol=0, atol=0)
    torch.testing.assert_close(use_mask(torch.tensor([1.0, 1.0, torch.nan]), messages), exact, rtol=0, atol=0)
    apart = use_mask(torch.tensor([1.0, 1.0, 1e-9]), torch.tensor([[1, 2, 4], [0, 0, 3]]), torch.tensor([0, 0, 1]))
    assert apart.tolist() == [1, 1, 1]  # each part by its own largest


def test_what_several_outputs_use_is_one_mask(gcn, graph):
    algorithm = GradientContextExplainer(evidence="uses")
    found = explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=torch.tensor([1, 2]))
    expected = walked(found.edge_evidence.abs(), graph.edge_index, graph.num_nodes)
    torch.testing.assert_close(found.edge_mask, expected.float())


@given(
    edges=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 4)), max_size=16),
    parts=st.integers(1, 3),
)
def test_walks_of_disjoint_parts_are_those_of_each_alone(edges, parts):
    messages = torch.tensor([edge[:2] for edge in edges], dtype=torch.long).view(-1, 2).t()
    magnitude = torch.tensor([float(edge[2]) for edge in edges])
    expected = walked(magnitude, messages, 6).float() if edges else magnitude
    together = torch.cat([messages + 6 * part for part in range(parts)], dim=1)
    scale = torch.arange(1.0, parts + 1).repeat_interleave(len(edges))  # the unit does not matter
    part = torch.arange(parts).repeat_interleave(len(edges))
    found = use_mask(magnitude.repeat(parts) * scale, together, part)
    torch.testing.assert_close(found, expected.repeat(parts))


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
        ({"refine": 1}, InvalidTypeError, "expected refine as a bool, got int"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        GradientContextExplainer(**arguments)
