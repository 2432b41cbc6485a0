"""Explanations show themselves in a notebook: complete, escaped, styled in place."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN, GCNConv, global_add_pool

from gragr_explain.context import FEATURES
from gragr_explain.explain import GradientContextExplainer, explain_many
from gragr_explain.explain._explainer import GradientExplanation
from gragr_explain.rationale import ChangeFact

HOSTILE = ["</p><script>pwned()</script>", "\"'><img src=x onerror=pwned()>", "{} {0} %s & 日本"]
VOID = {"img", "br"}


class Page(HTMLParser):
    """Text, tags and styles of HTML, which must be balanced."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.styles, self.attributes, self._open = "", [], [], set(), []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.styles += [value for name, value in attrs if name == "style"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data


def shown(value):
    """What a notebook shows of a value, where IPython is there, as its formatter finds it."""
    try:
        from IPython.core.formatters import HTMLFormatter
    except ImportError:
        return Page(value._repr_html_())
    return Page(HTMLFormatter()(value))


@pytest.fixture(scope="module")
def graph():
    generator = torch.Generator().manual_seed(0)
    source = torch.arange(11)
    edge_index = torch.stack([source, (source + 1) % 11])
    edge_index = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    return Data(
        x=torch.rand(12, 3, generator=generator),
        edge_index=edge_index,
        y=torch.randint(3, (12,), generator=generator),
    )


def make_explainer(mode="multiclass_classification", level="node", model=None, **names):
    torch.manual_seed(0)
    return Explainer(
        model=model or GCN(3, 8, num_layers=2, out_channels=1 if mode == "regression" else 3),
        algorithm=GradientContextExplainer(**names),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": mode, "task_level": level, "return_type": "raw"},
    )


class GraphModel(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = GCN(3, 8, num_layers=2, out_channels=3)

    def forward(self, x, edge_index, batch=None):
        return global_add_pool(self.network(x, edge_index), batch)


def test_one_explanation_shows_what_it_holds(graph):
    explanation = make_explainer()(graph.x, graph.edge_index, index=4)
    page = shown(explanation)
    assert "Explanation of node 4" in page.text
    assert explanation.rationale in page.text
    found = int(explanation.prediction[4].argmax())
    assert f"predicted class {found}, {float(explanation.prediction[4].softmax(-1)[found]):.0%} sure" in page.text
    for name, value, known in zip(FEATURES, explanation.psi[4], explanation.psi_valid[4], strict=True):
        text = "not defined" if not known else None if name == "role" else f"{float(value):.3g}"
        assert re.search(rf"{name}\s*{re.escape(text or '')}", page.text)
    strongest = int(explanation.edge_mask.argmax())
    source, target = explanation.edge_index[:, strongest].tolist()
    assert f"node {source} → node {target}" in page.text
    assert page.text.count("feature ") >= 1


def test_a_change_is_told_from_none(graph):
    explanation = make_explainer(class_names=["a", "b", "c"])(graph.x, graph.edge_index, index=4)
    own = "abc"[int(explanation.prediction[4].argmax())]
    explanation["change"] = ChangeFact(1, own, 0.6)
    said = f"Without the edge that supports it most, the model still predicts “{own}”, 60% sure."
    assert said in shown(explanation).text
    explanation["change"] = ChangeFact(3, "other", 0.7)
    said = "Without the 3 edges that support it most, the model predicts “other”, 70% sure."
    assert said in shown(explanation).text


def test_a_node_alone_has_no_psi_and_no_edges(graph):
    page = shown(make_explainer()(graph.x, graph.edge_index, index=11))
    assert "not defined" in page.text
    assert "No edge supports it" in page.text


@pytest.mark.parametrize("index", [None, torch.tensor([1, 2, 3])])
def test_several_outputs_show_their_texts_and_the_mask_they_share(graph, index):
    explanation = make_explainer()(graph.x, graph.edge_index, index=index)
    page = shown(explanation)
    assert ("every node" if index is None else "3 nodes") in page.text
    assert all(text in page.text for text in explanation.rationale[:3])
    assert ("and 4 more" in page.text) == (index is None)
    assert "psi" not in page.text


def test_many_explanations_show_a_summary_and_the_first_rows(graph):
    explanations = explain_many(make_explainer(class_names=["a", "b", "c"]), graph, progress=False)
    page = shown(explanations)
    right = int((explanations.prediction == graph.y).sum())
    assert "12 nodes explained · of a graph of 12" in page.text
    assert f"{right} of 12 predictions whose label is known are right" in page.text
    assert "The first 8 of 12" in page.text
    assert page.tags.count("tr") == 9
    assert "not defined" in shown(explain_many(make_explainer(), graph, [11], progress=False)).text


def test_regression_has_no_classes(graph):
    explainer = make_explainer("regression")
    explanation = explainer(graph.x, graph.edge_index, index=4)
    assert f"predicted {float(explanation.prediction[4]):.4g}" in shown(explanation).text
    page = shown(explain_many(explainer, graph, progress=False))
    assert "confidence" not in page.text.split("rationale")[0]


def test_graphs_show_themselves(graph):
    explainer = make_explainer(level="graph", model=GraphModel())
    page = shown(explain_many(explainer, [graph.clone() for _ in range(3)], progress=False))
    assert "3 graphs explained · of 3" in page.text
    assert "All of them" in page.text
    alone = shown(explainer(graph.x, graph.edge_index))
    assert "Explanation of the graph" in alone.text
    assert "psi" not in alone.tags


def test_no_node_is_no_error(graph):
    page = shown(explain_many(make_explainer(), graph, torch.empty(0, dtype=torch.long), progress=False))
    assert "0 nodes explained" in page.text


@pytest.mark.parametrize("index", [4, None])
def test_names_are_shown_and_not_run(graph, index):
    names = {
        "class_names": HOSTILE,
        "feature_names": HOSTILE,
        "node_names": [f"{HOSTILE[i % 3]} {i}" for i in range(12)],
    }
    explainer = make_explainer(**names)
    pages = [
        shown(explainer(graph.x, graph.edge_index, index=index)),
        shown(explain_many(explainer, graph, progress=False)),
    ]
    for page in pages:
        assert not {"script", "img"} & set(page.tags)
        assert not any(name.startswith("on") for name in page.attributes)
    assert any(name in pages[1].text for name in HOSTILE)


def test_it_needs_nothing_but_itself_on_light_and_dark_ground(graph):
    for value in (
        make_explainer()(graph.x, graph.edge_index, index=4),
        explain_many(make_explainer(), graph, progress=False),
    ):
        html = value._repr_html_()
        page = Page(html)
        assert not {"style", "link", "script", "iframe"} & set(page.tags)
        assert not {"class", "id", "href", "src"} & page.attributes
        for style in page.styles:  # texts keep the notebook's colour; only bars have one of their own
            assert re.findall(r"(?<![-\w])color:\s*([^;]+)", style) in ([], ["inherit"])


def test_an_explanation_made_without_pygs_explainer_shows_its_text():
    assert "why" in shown(GradientExplanation(rationale="why")).text


def test_a_subgraph_speaks_of_the_same_node_in_the_same_numbers():
    torch.manual_seed(0)
    ends = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
    data = Data(x=torch.rand(12, 3), edge_index=torch.cat([ends, ends.flip(0)], 1))
    explainer = Explainer(
        GCN(3, 8, num_layers=2, out_channels=3),
        GradientContextExplainer(),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    whole = explainer(data.x, data.edge_index, index=7)
    part = whole.get_explanation_subgraph()
    assert part.num_nodes < whole.num_nodes
    place = int(part.index)
    assert torch.equal(part.x[place], whole.x[7])
    assert part._repr_html_() == whole._repr_html_()
    elsewhere = whole.subgraph(torch.tensor([0, 1]))
    assert "node 7" not in Page(elsewhere._repr_html_()).text.split("·")[0].split("7 is")[0]
    assert elsewhere.index.numel() == 0


@pytest.mark.parametrize("index", [torch.tensor([2, 5]), torch.arange(11, -1, -1), None])
def test_texts_go_with_the_nodes_of_a_subgraph(graph, index):
    whole = make_explainer()(graph.x, graph.edge_index, index=index)
    kept = torch.tensor([1, 3, 4, 5, 6])
    part = whole.subgraph(kept)
    outputs = list(range(12)) if index is None else index.tolist()
    expected = [node for node in outputs if node in kept.tolist()]
    assert part.rationale == [whole.rationale[outputs.index(node)] for node in expected]
    assert part.reliability == [whole.reliability[outputs.index(node)] for node in expected]
    assert len(part.rationale_replaced) == len(expected)
    if index is not None:
        assert kept[part.index].tolist() == expected


@pytest.mark.parametrize("index", [torch.empty(0, dtype=torch.long), torch.zeros(12, dtype=torch.bool)])
def test_a_subgraph_of_no_explained_node(graph, index):
    part = make_explainer()(graph.x, graph.edge_index, index=index).get_explanation_subgraph()
    assert part.index.dtype == torch.long
    assert part.index.numel() == 0


@pytest.mark.parametrize("index", [[4], np.int64(4), np.array([4]), torch.arange(12) == 4])
def test_an_index_in_another_form_is_shown_alike(graph, index):
    explainer = make_explainer()
    expected = explainer(graph.x, graph.edge_index, index=4)._repr_html_()
    assert explainer(graph.x, graph.edge_index, index=index)._repr_html_() == expected


def test_nodes_that_are_all_alike_are_above_none():
    ends = torch.stack([torch.arange(12), (torch.arange(12) + 1) % 12])
    data = Data(x=torch.ones(12, 3), edge_index=torch.cat([ends, ends.flip(0)], 1))
    explainer = make_explainer()
    for value in (explainer(data.x, data.edge_index, index=3), explain_many(explainer, data, progress=False)):
        text = shown(value).text
        assert "above none" in text
        assert "above 50%" not in text


class Backwards(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = GCNConv(3, 8, flow="target_to_source")
        self.second = GCNConv(8, 3, flow="target_to_source")

    def forward(self, x, edge_index):
        return self.second(self.first(x, edge_index).relu(), edge_index)


def test_edges_are_shown_as_messages_travel(graph):
    one_way = graph.edge_index[:, :11]
    explainer = make_explainer(model=Backwards())
    found = re.findall(r"node (\d+) → node (\d+)<", explainer(graph.x, one_way, index=4)._repr_html_())
    many = explain_many(explainer, Data(x=graph.x, edge_index=one_way), [4], progress=False)
    assert found
    assert found == [(str(source), str(target)) for source, target, _ in many.edges[0]]
