"""What a page says of the model as a whole: the frequencies of its layers, and prototypes."""

from __future__ import annotations

from html import unescape
from typing import Any

import pandas as pd
import pytest
import torch
from made_explanations import make_data, make_explanations
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain.condensation import condense
from gragr_explain.condensation import prototypes as prototypes_of
from gragr_explain.errors import GragrError, InvalidArgumentError, InvalidTypeError
from gragr_explain.models import FrequencyProfile, frequency_profile
from gragr_explain.report import export
from gragr_explain.report._frequencies import describe_layers
from gragr_explain.report._prototypes import MOST, describe_prototypes

NAN = float("nan")


def profile_of(*values: float, largest: float = 1.9) -> FrequencyProfile:
    """Layers that each begin where the last one ended."""
    names = tuple(f"convs.{place}" for place in range(len(values) - 1))
    return FrequencyProfile(names, torch.tensor(values[:-1]), torch.tensor(values[1:]), largest)


def table_of(count: int = 3, **columns: Any) -> pd.DataFrame:
    table = {
        "node": range(count),
        "label": [place % 2 for place in range(count)],
        "class": [("cat", "dog")[place % 2] for place in range(count)],
        "nearest": [[place, 39] for place in range(count)],
        "stands_for": [count - place for place in range(count)],
        "purity": [1.0, 0.5, NAN][:count] + [0.25] * (count - 3),
        "features": [["fur", f"tail {place}"] for place in range(count)],
    }
    return pd.DataFrame({**table, **columns})


def page_of(tmp_path, **arguments):
    data = make_data()
    explanations = make_explanations(data, class_names=["cat", "dog", "eel"], nodes=list(range(39)))
    path = export(explanations, tmp_path, data=data, formats=["html"], **arguments)["html"]
    return " ".join(unescape(path.read_text(encoding="utf-8")).split())


@pytest.mark.parametrize(
    ("values", "does", "verdict"),
    [
        ((1.0, 0.6, 0.3), ["makes neighbours more alike"] * 2, "from 1.00 to 0.30: low frequencies dominate"),
        ((0.9, 1.2, 1.8), ["tells neighbours apart"] * 2, "from 0.90 to 1.80: high frequencies dominate"),
        ((1.0, 0.5, 1.0), ["makes neighbours more alike", "tells neighbours apart"], "neither low nor high"),
        ((1.0, 1.0), ["changes little"], "about as alike as they were"),
        ((NAN, NAN, 0.3), ["not defined"] * 2, "no mean frequency is defined"),
    ],
)
def test_each_layer_and_the_model_are_judged(values, does, verdict):
    layers = describe_layers(profile_of(*values))
    assert [row.does for row in layers.rows] == does
    assert [row.name for row in layers.rows] == [f"convs.{place}" for place in range(len(does))]
    assert verdict in layers.sentences[1]
    assert "1.90 as rough" in layers.sentences[0]
    assert layers.svg.startswith("<svg")


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_any_model_has_its_section(kind, tmp_path):
    torch.manual_seed(0)
    found = frequency_profile(kind(6, 8, 2, 3), make_data())
    page = page_of(tmp_path, frequencies=found)
    for place in range(2):
        cells = f"<td>{found.before[place]:.2f}</td><td>{found.after[place]:.2f}</td>"
        assert f'<th scope="row">convs.{place}</th>{cells}' in page
    assert 'href="#layers"' in page
    assert f"Dominant frequencies: {found.overall}" in page


def test_without_edges_there_is_no_frequency():
    profile = frequency_profile(GCN(5, 8, 2, 3), Data(x=torch.rand(4, 5), edge_index=torch.empty(2, 0).long()))
    assert describe_layers(profile).sentences == ["No mean frequency is defined: the graph has no edges."]


def test_what_is_not_given_is_not_there(tmp_path):
    page = page_of(tmp_path)
    assert 'id="layers"' not in page
    assert 'id="prototypes"' not in page


def test_prototypes_stand_with_their_class_and_link_to_cards(tmp_path):
    page = page_of(tmp_path, prototypes=table_of())
    assert page.index("tail 0") < page.index("tail 2") < page.index("tail 1")  # two cats, then the dog
    assert '<a href="#node-1">node 1</a>, node 39</td>' in page  # of which there is no explanation
    assert "<td>50 %</td>" in page
    assert "<td>none</td>" in page
    assert "fur, tail 1" in page
    assert "stand for most" not in page


def test_only_the_prototypes_that_stand_for_most_are_shown(explanations, tmp_path):
    table = table_of(MOST + 7)
    found = describe_prototypes(table, explanations, [])
    assert {row.node for row in found.rows} == set(range(MOST))
    assert max(row.share for row in found.rows) == 1
    assert f"These are the {MOST} of {MOST + 7} that stand for most." in page_of(tmp_path, prototypes=table)


def test_real_nodes_go_by_their_names():
    data = make_data()
    named = make_explanations(data, node_names=[f"page {node}" for node in range(40)])
    found = describe_prototypes(table_of(), named, [2])
    assert [(real.name, real.linked) for real in found.rows[1].nearest] == [("page 2", True), ("page 39", False)]


def test_a_condensed_graph_is_drawn(tmp_path):
    data = make_data()
    data.y, data.train_mask = torch.arange(40) % 2, torch.ones(40, dtype=torch.bool)
    table = prototypes_of(condense(data, 0.2, epochs=1, progress=False), data, nearest=2)
    page = page_of(tmp_path, prototypes=table)
    assert page.count("--share:") >= len(table)
    for row in table.itertuples():
        assert ", ".join(row.features) in page


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"frequencies": {}}, InvalidTypeError, "FrequencyProfile, got dict"),
        ({"prototypes": [1]}, InvalidTypeError, "DataFrame, got list"),
        ({"prototypes": pd.DataFrame({"node": [1]})}, InvalidArgumentError, "got none of .*'nearest'"),
        ({"prototypes": table_of().head(0)}, InvalidArgumentError, "at least one prototype"),
        ({"prototypes": table_of(nearest=[[0], [40], [1]])}, InvalidArgumentError, "40 nodes, got one like node 40"),
    ],
)
def test_bad_arguments_are_known_before_anything_is_written(arguments, error, message, explanations, data, tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(error, match=message) as caught:
        export(explanations, folder, data=data, **arguments)
    assert isinstance(caught.value, GragrError)
    assert not folder.exists()
