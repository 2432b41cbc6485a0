"""Explanations of graphs as files: tables, layouts, what is said of them, and what is refused."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace

import networkx as nx
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_explanations import make_data, make_explanations
from made_graphs import make_graph_explanations, make_graphs
from torch_geometric.data import Batch, Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GIN, global_add_pool

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.errors import (
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    OutputError,
)
from gragr_explain.history import GradientHistory
from gragr_explain.rationale import ChangeFact
from gragr_explain.report import choose_graphs, export, to_frame, to_table
from gragr_explain.report.graphs import _payload
from gragr_explain.report.graphs._findings import find_in_graphs
from gragr_explain.report.graphs._layout import MOST_NODES, drawn_nodes, placed
from gragr_explain.report.graphs._summary import summarise_graphs


def payload(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), re.DOTALL)[1])


def found_in(explanations, graphs):
    return find_in_graphs(explanations, {number: graphs[number] for number in explanations.index.tolist()})


def test_tables_say_what_the_explanations_say(tmp_path):
    graphs = make_graphs(9)
    explanations = make_graph_explanations(
        graphs, index=[7, 2, 5], class_names=["no", "yes"], feature_names=list("CNOF"),
        changes=lambda number: ChangeFact(2, "no", 0.75) if number == 7 else None,
    )  # fmt: skip
    paths = export(explanations, tmp_path, data=graphs)
    table = pd.read_parquet(paths["parquet"])
    lines = [json.loads(line) for line in paths["jsonl"].read_text().splitlines()]
    assert table["graph"].tolist() == [line["graph"] for line in lines] == [7, 2, 5]
    assert table["prediction_name"].tolist() == ["yes", "no", "no"]
    assert table["correct"].tolist() == [True, True, False]
    assert lines[0]["edges"][0] == {"source": 0, "target": 1, "weight": 1.0}
    assert lines[0]["features"][0] == {"feature": 3, "name": "F", "weight": 1.0}
    assert (lines[0]["change_removed"], lines[1]["change_removed"]) == (2, None)
    assert not [name for name in table if name.startswith(("psi", "node"))]
    assert to_table(to_frame(explanations)).schema == to_table(to_frame(make_graph_explanations(graphs))).schema


@pytest.mark.parametrize("backbone_graphs", [Batch.from_data_list, tuple, list])
def test_explained_graphs_are_exported(tmp_path, backbone_graphs):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.gnn = GIN(4, 8, num_layers=2, out_channels=2)

        def forward(self, x, edge_index, batch=None):
            return global_add_pool(self.gnn(x, edge_index), batch)

    torch.manual_seed(0)
    graphs = backbone_graphs(make_graphs(6))
    explainer = Explainer(
        Model(), GradientContextExplainer(feature_names=list("CNOF")), explanation_type="model",
        node_mask_type="attributes", edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )  # fmt: skip
    explanations = explain_many(explainer, graphs, progress=False)
    page = payload(export(explanations, tmp_path, data=graphs)["html"])
    assert page["rows"]["id"] == list(range(6))
    assert page["rows"]["support"][0] == [[u, v, pytest.approx(w, rel=1e-3)] for u, v, w in explanations.edges[0]]
    assert page["kinds"] == list("CNOF")
    drawing = page["rows"]["drawing"][0]
    assert len(drawing["at"]) == 2 * 8
    assert {(source, target) for source, target, *_ in drawing["links"]} == {
        (u, v) for u, v in make_graphs(1)[0].edge_index.t().tolist() if u < v
    }


def test_the_same_explanations_give_the_same_page(tmp_path):
    graphs = make_graphs()
    pages = [export(make_graph_explanations(graphs), tmp_path / f, data=graphs)["html"].read_bytes() for f in "ab"]
    assert pages[0] == pages[1]


def test_large_numbers_of_graphs_are_cut_for_the_page_only(tmp_path, monkeypatch):
    monkeypatch.setattr(_payload, "MOST_ROWS", 8)
    graphs = make_graphs()
    paths = export(make_graph_explanations(graphs), tmp_path, data=graphs, cards=[29, 7])
    assert len(pd.read_parquet(paths["parquet"])) == 30
    assert payload(paths["html"])["rows"]["id"] == [0, 5, 7, 10, 15, 20, 25, 29]
    assert "The page holds 8 of the 30 explained graphs" in paths["html"].read_text()


@settings(max_examples=25, deadline=None, derandomize=True)
@given(num_nodes=st.integers(1, 40), num_edges=st.integers(0, 60), seed=st.integers(0, 999))
def test_layouts_are_finite_apart_and_the_same_again(num_nodes, num_edges, seed):
    ends = torch.randint(num_nodes, (num_edges, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    links = [(u, v) for u, v in ends if u != v]
    places = placed(range(num_nodes), links)
    assert places == placed(range(num_nodes), links)
    assert all(math.isfinite(part) for place in places for part in place)
    assert all(math.dist(places[u], places[v]) > 0.01 for u in range(num_nodes) for v in range(u))
    parts = list(nx.connected_components(nx.Graph([*links, *((node, node) for node in range(num_nodes))])))
    part_of = {node: number for number, part in enumerate(parts) for node in part}
    apart = [math.dist(places[u], places[v]) for u in part_of for v in part_of if part_of[u] != part_of[v]]
    assert min(apart, default=9) > 1


def test_of_a_large_graph_what_is_near_its_support_is_drawn(tmp_path):
    ends = torch.arange(500)
    path = torch.stack([ends, ends + 1])
    graph = Data(x=torch.rand(501, 4), edge_index=torch.cat([path, path.flip(0)], 1), y=torch.tensor([0]))
    nodes = drawn_nodes(501, path.t().tolist(), [(300, 301, 1.0)])
    assert nodes == list(range(241, 361)) or nodes == list(range(241, 241 + MOST_NODES))
    assert len(drawn_nodes(501, [], [])) == 1
    explanations = make_graph_explanations([graph])
    explanations.edges[0][:] = [(300, 301, 1.0)]
    drawing = payload(export(explanations, tmp_path, data=[graph])["html"])["rows"]["drawing"][0]
    assert drawing["nodes"] == nodes
    assert [link for link in drawing["links"] if link[2]] == [[59, 60, 1, 2, False]]


def test_what_supports_a_class_is_found():
    """A class is supported by edges between C and N alone, which are a quarter of all edges of its graphs."""
    x = torch.eye(3)[[0, 1, 0, 0, 2]]
    edges = torch.tensor([[0, 2, 3, 4], [1, 3, 4, 0]])
    graphs = [Data(x=x, edge_index=edges, y=torch.tensor([number % 2])) for number in range(40)]
    explanations = make_graph_explanations(graphs, feature_names=["C", "N", "O"])
    for row, chosen in enumerate(explanations.edges):
        chosen[:] = [(0, 1, 1.0), (3, 4, 0.3)] if explanations.prediction[row] else [(2, 3, 1.0), (3, 4, 0.9)]
    patterns = found_in(explanations, graphs).patterns
    (only,) = patterns[1]
    assert (only.kinds, only.support, only.everywhere, only.lift) == ("C – N", 1.0, 0.25, 4.0)
    assert [item.kinds for item in patterns[0]] == ["C – C"]  # C – O is half of its support, and of its edges
    assert only.graphs == int((explanations.prediction == 1).sum())


def test_features_that_are_no_kinds_have_no_patterns():
    graphs = make_graphs(one_hot=False)
    found = found_in(make_graph_explanations(graphs), graphs)
    assert (found.kinds, found.patterns) == (None, {})


def test_the_summary_says_how_many_predictions_hang_on_how_many_edges():
    graphs = make_graphs(20)
    names = ["no", "yes"]

    def change(number):
        right = int(graphs[number].y)
        own = right if number % 5 else 1 - right
        return None if number == 4 else ChangeFact(1 if number < 12 else 3, names[1 - own if number < 15 else own], 0.8)

    explanations = make_graph_explanations(graphs, class_names=names, changes=change)
    found = found_in(explanations, graphs)
    assert (len(found.measured), int(found.measured["falls"].sum())) == (19, 14)
    summary = summarise_graphs(explanations, found)
    said = " ".join(summary.decides.sentences)
    assert "Of 19 predictions, 14 (74\N{NO-BREAK SPACE}%) would be another class" in said
    assert "Half of these fall with one edge or fewer, all of them with 3 edges." in said
    assert "The other 5 do not hang on single edges" in said
    assert "right about 16 of the 20" in " ".join(summary.trust.sentences)
    assert [pick.id for pick in summary.labels] == [15, 10, 5, 0]
    assert summary.labels[1].why.endswith("by one edge.")
    assert [pick.id for pick in summary.doubtful] == [1, 2, 3]


def test_cards_are_of_different_graphs_wrong_ones_first():
    explanations = make_graph_explanations(make_graphs())
    chosen = choose_graphs(explanations, 12)
    assert chosen[0] == 25
    assert len(set(chosen)) == 12
    assert {0, 5, 10, 15, 20, 25} <= set(choose_graphs(explanations))
    assert sorted(choose_graphs(explanations, 99)) == list(range(30))


BAD = {
    "one graph": (lambda graphs: graphs[0], InvalidTypeError, "sequence of graphs that was explained, got Data"),
    "no graphs": (lambda graphs: 5, InvalidTypeError, "got int"),
    "fewer": (lambda graphs: graphs[:5], InvalidGraphError, "expected the 6 graphs that there were, got 5"),
    "no features": (
        lambda graphs: [*graphs[:3], Data(edge_index=graphs[3].edge_index), *graphs[4:]],
        InvalidGraphError,
        "graph 3: expected a graph with x",
    ),
    "smaller": (
        lambda graphs: [*graphs[:3], Data(x=torch.ones(1, 4), edge_index=torch.zeros(2, 0).long()), *graphs[4:]],
        InvalidGraphError,
        "got graph 3 without the edge",
    ),
}


@pytest.mark.parametrize(("change", "error", "message"), BAD.values(), ids=BAD)
def test_other_graphs_than_those_that_were_explained(tmp_path, change, error, message):
    graphs = make_graphs(6)
    explanations = make_graph_explanations(graphs)
    with pytest.raises(error, match=message):
        export(explanations, tmp_path / "out", data=change(graphs))
    assert not (tmp_path / "out").exists()


def test_what_is_only_for_nodes_is_refused(tmp_path):
    graphs = make_graphs(6)
    explanations = make_graph_explanations(graphs)
    for given_too in ({"image_shape": (2, 2)}, {"history": GradientHistory(fields={})}):
        with pytest.raises(
            InvalidArgumentError, match=f"expected no {next(iter(given_too))} with explanations of graphs"
        ):
            export(explanations, tmp_path, data=graphs, **given_too)
    with pytest.raises(InvalidIndexError, match=r"cards of what was explained only, got \[9\]"):
        export(explanations, tmp_path, data=graphs, cards=[9])
    with pytest.raises(InvalidArgumentError, match="got \\['pdf'\\]"):
        export(explanations, tmp_path, data=graphs, formats=["pdf"])
    with pytest.raises(InvalidTypeError, match=r"torch_geometric\.data\.Data, got list"):
        export(make_explanations(make_data()), tmp_path, data=graphs)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError, match="file"):
        export(explanations, tmp_path / "file", data=graphs)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_graphs_may_be_explained_twice(tmp_path):
    graphs = make_graphs(9)
    explanations = make_graph_explanations(graphs, index=[7, 7, 3])
    path = export(explanations, tmp_path, data=graphs)["html"]
    assert payload(path)["rows"]["id"] == [7, 7, 3]
    assert "2 of the 9 graphs are explained here." in path.read_text()


def test_where_labels_are_explained_they_are_what_is_supported(tmp_path):
    """Edges between C and N support label 1, whatever is predicted."""
    x, edges = torch.eye(4)[[0, 1, 0, 0]], torch.tensor([[0, 2, 3], [1, 3, 2]])
    graphs = [Data(x=x, edge_index=edges, y=torch.tensor([number % 2])) for number in range(40)]
    predicted = make_graph_explanations(graphs, feature_names=list("CNOF"))
    for number, chosen in enumerate(predicted.edges):
        chosen[:] = [(0, 1, 1.0)] if number % 2 else [(2, 3, 1.0)]
    predicted.edges[0].clear()
    labelled = replace(predicted, explains_labels=True)
    (only,) = found_in(labelled, graphs).patterns[1]
    assert (only.kinds, only.support, only.graphs) == ("C – N", 1.0, 20)
    assert found_in(predicted, graphs).patterns[1][0].support < 1
    texts = [export(each, tmp_path, data=graphs)["html"].read_text() for each in (predicted, labelled)]
    for text, what, other in zip(texts, ("prediction", "label"), ("label", "prediction"), strict=True):
        assert f"For one graph no edge supports the {what}" in text
        assert f"no edge supports the {other}" not in text
        assert f"What supports its {what} is dark" in text


def test_of_a_regression_an_edge_brings_the_value_near_to_the_label():
    graphs = make_graphs(6)
    predicted = make_graph_explanations(graphs, regression=True)
    for explanations, does in (
        (predicted, "raises the magnitude of the predicted value"),
        (replace(predicted, explains_labels=True), "brings the predicted value near to the label"),
    ):
        summary = summarise_graphs(explanations, found_in(explanations, graphs))
        assert f"For one graph no edge {does}." in summary.unknown.sentences
