"""Nodes called by their names in texts."""

from __future__ import annotations

import re

import pytest
import torch
from gnns import Net, explainer_for
from torch_geometric.data import Data

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.errors import InvalidArgumentError
from gragr_explain.rationale import TemplateWriter, check_grounding, distinct_names

NAMES = ["Ada", "Bea", "Cy", "Dan", "Eve", "Flo", "Gus", "Hal", "Ida", "Jo"]


def assert_says_the_same(one: str, other: str) -> None:
    """But for the last digit of numbers, where one and many round differently."""
    number = re.compile(r"\d+(?:\.\d+)?")
    assert number.split(one) == number.split(other)
    numbers = [[float(found) for found in number.findall(text)] for text in (one, other)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.01)


def test_texts_call_nodes_by_their_names(gcn, graph):
    explainer = explainer_for(gcn, GradientContextExplainer(node_names=NAMES))
    found = explain_many(explainer, graph, progress=False)
    for node, name in enumerate(NAMES):
        one = explainer(graph.x, graph.edge_index, index=node).rationale
        assert_says_the_same(one, found.rationales[node].text)
        assert one.startswith(f'"{name}" is predicted as')
        assert "node " not in one
    named = {source for edges in found.edges for source, _, _ in edges}
    texts = " ".join(each.text for each in found.rationales)
    assert any(f'"{NAMES[node]}" (weight' in texts for node in named)
    assert found.node_names == NAMES


def test_such_texts_are_grounded_and_a_stranger_in_them_is_not(gcn, graph):
    seen = []
    algorithm = GradientContextExplainer(
        node_names=NAMES, writer=lambda facts: seen.extend(facts) or TemplateWriter()(facts)
    )
    explain_many(explainer_for(gcn, algorithm), graph, progress=False)
    for facts, rationale in zip(seen, TemplateWriter()(seen), strict=True):
        assert check_grounding(rationale.text, facts) == ()
        assert check_grounding(rationale.text.replace(f'"{facts.subject}"', '"Zoe"'), facts)


def test_names_that_two_nodes_share_get_their_numbers(gcn, graph):
    names = ["Smith"] * 9 + ["node 3"]
    explainer = explainer_for(gcn, GradientContextExplainer(node_names=names))
    text = explain_many(explainer, graph, [1], progress=False).rationales[0].text
    assert text.startswith('"Smith (node 1)" is predicted')
    assert explain_many(explainer, graph, progress=False).node_names[9] == "node 3 (node 9)"


def test_names_are_distinct_however_they_look():
    names = ["a" * 99 + "1", "a" * 99 + "2", "A–b", "a-B", "x\ny", "x y", "", " ", "Smith (node 1)", "Smith", "Smith"]
    found = distinct_names(names)
    assert len({name.casefold() for name in found}) == len(names)
    assert all(len(name) <= 60 and "\n" not in name for name in found)
    assert distinct_names(["plain", "Straße"]) == ["plain", "Straße"]
    assert distinct_names([]) == []


def test_a_graph_or_an_edge_keeps_its_number(graph):
    names = {"node_names": NAMES}
    edge = explainer_for(
        Net("multiclass_classification", "edge", "raw"), GradientContextExplainer(**names), level="edge"
    )
    text = edge(graph.x, graph.edge_index, index=0, edge_label_index=torch.tensor([[1], [4]])).rationale
    assert text.startswith("Link 1-4 is predicted")
    assert "the graph, above all" in text
    assert any(f'"{name}" (weight' in text for name in NAMES)


def test_as_many_names_as_nodes(gcn, graph):
    explainer = explainer_for(gcn, GradientContextExplainer(node_names=NAMES[:3]))
    for explain in (lambda: explainer(graph.x, graph.edge_index, index=1), lambda: explain_many(explainer, graph)):
        with pytest.raises(InvalidArgumentError, match="expected 10 node_names, got 3"):
            explain()
    of_graphs = explainer_for(
        Net("multiclass_classification", "graph", "raw"), GradientContextExplainer(node_names=NAMES), level="graph"
    )
    with pytest.raises(InvalidArgumentError, match="expected no node_names for many graphs, got 10"):
        explain_many(of_graphs, [Data(x=graph.x, edge_index=graph.edge_index)])
