import base64
import json
import os
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from made_explanations import make_data, make_explanations
from torch_geometric.explain import Explanation
from torch_geometric.nn import GCN

from gragr_explain.cli._edit import parse_class
from gragr_explain.context import Influences
from gragr_explain.errors import (
    GragrError,
    HistoryMismatchError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    OutputError,
)
from gragr_explain.files import check_writable
from gragr_explain.history import GradientRecorder
from gragr_explain.report import _export, export
from gragr_explain.report._payload import label_option

ALL = {"explanations.jsonl", "explanations.parquet", "report.html"}


def names(folder):
    return {path.name for path in Path(folder).iterdir()}


def test_everything_is_written(explanations, data, history, tmp_path):
    paths = export(explanations, tmp_path / "a" / "b", data=data, history=history)
    assert names(tmp_path / "a" / "b") == ALL
    assert set(paths) == {"parquet", "jsonl", "html"}
    assert len(pd.read_parquet(paths["parquet"])) == 40
    assert len(paths["jsonl"].read_text().splitlines()) == 40


def test_only_what_was_asked_for(explanations, data, tmp_path):
    export(explanations, tmp_path, data=data, formats=["jsonl"])
    assert names(tmp_path) == {"explanations.jsonl"}


def test_influences_of_another_graph(explanations, data, tmp_path):
    index, train = torch.tensor([3]), torch.tensor([0, 40])
    found = Influences(index, index, train, torch.zeros(2, dtype=torch.long), torch.rand(1, 2))
    with pytest.raises(InvalidIndexError, match="graph's 40 nodes, got one of node 40"):
        export(explanations, tmp_path, data=data, influences=found)
    assert names(tmp_path) == set()


def test_influences_on_what_is_not_predicted(explanations, data, tmp_path):
    """The page says of them what makes the model surer of its prediction."""
    index, train = torch.tensor([3, 5]), torch.tensor([0, 1])
    predicted = explanations.all_predictions[index]
    for target, refused in ((predicted, False), (predicted + torch.tensor([0, 1]), True)):
        found = Influences(index, target, train, torch.zeros(2, dtype=torch.long), torch.rand(2, 2))
        if refused:
            with pytest.raises(InvalidArgumentError, match="another class for node 5; ask for them without a target"):
                export(explanations, tmp_path / "refused", data=data, influences=found)
        else:
            export(explanations, tmp_path / "taken", data=data, influences=found)


def test_a_history_of_another_graph(explanations, data, tmp_path):
    model = GCN(data.num_features, 4, num_layers=2, out_channels=3)
    with GradientRecorder(model, data) as history:
        model(data.x, data.edge_index).sum().backward()
    export(explanations, tmp_path / "its own", data=data, history=history, formats=["jsonl"])
    other = data.clone()
    other.x = data.x + 1
    with pytest.raises(HistoryMismatchError, match="with other features or edges"):
        export(explanations, tmp_path / "another", data=other, history=history)
    assert not (tmp_path / "another").exists()


def test_a_label_is_named_as_the_command_line_reads_it():
    for classes in (["Agents", "Theory"], ["9", "1"], ["2", "1", "a b"], ["1", "b's", "0"]):
        for label, _ in enumerate(classes):
            [text] = shlex.split(label_option(classes, label))
            assert parse_class(text, classes) == label


def test_the_same_explanations_give_the_same_page(explanations, data, history, tmp_path):
    pages = [export(explanations, tmp_path / f, data=data, history=history)["html"].read_bytes() for f in "ab"]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("place", ["file", "file/below", "file/below/it"])
def test_a_file_in_place_of_the_folder(explanations, data, tmp_path, monkeypatch, place):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(_export, "to_frame", lambda _: pytest.fail("work was done before the folder was checked"))
    with pytest.raises(OutputError, match=f"got '.*{place}'"):
        export(explanations, tmp_path / place, data=data)
    with pytest.raises(OutputError, match=place):
        check_writable(tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_read_only_file_system(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(OutputError, match="Read-only file system"):
        check_writable(tmp_path)


def test_checking_leaves_nothing_behind(tmp_path):
    assert check_writable(str(tmp_path / "new")) == tmp_path / "new"
    assert names(tmp_path / "new") == set()


def test_a_folder_in_place_of_a_file(explanations, data, tmp_path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(OutputError, match=r"report\.html"):
        export(explanations, tmp_path, data=data)
    assert names(tmp_path) == {"report.html"}


@pytest.mark.parametrize("step", ["save_parquet", "save_jsonl", "render_page", "replace"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_half_written_is_left(explanations, data, tmp_path, monkeypatch, step, error):
    old = {name: f"old {name}" for name in ALL}
    for name, text in old.items():
        (tmp_path / name).write_text(text)

    def fail(*arguments, **_):
        for path in arguments:
            if isinstance(path, Path) and step != "replace":
                path.write_text("half a file")
        raise error

    monkeypatch.setattr(os if step == "replace" else _export, step, fail)
    expected = OutputError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected, match="No space left" if expected is OutputError else None):
        export(explanations, tmp_path, data=data)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == old


def test_bad_arguments_are_known_before_anything_is_written(explanations, data, tmp_path):
    folder = tmp_path / "out"
    for error, arguments in [
        (InvalidArgumentError, {"formats": ["html", "pdf"]}),
        (InvalidArgumentError, {"image_shape": (4, 4)}),
        (InvalidIndexError, {"cards": {99: Explanation()}}),
    ]:
        with pytest.raises(error) as caught:
            export(explanations, folder, data=data, **arguments)
        assert isinstance(caught.value, GragrError)
    other = data.clone()
    ends = next(edges for edges in explanations.edges if edges)[0][:2]
    dropped = [data.edge_index.flip(0).eq(torch.tensor(pair).view(2, 1)).all(0) for pair in (ends, ends[::-1])]
    other.edge_index = data.edge_index[:, ~(dropped[0] | dropped[1])]
    for error, wrong in [
        (InvalidGraphError, other),
        (InvalidGraphError, make_data(edges=False)),
        (InvalidTypeError, 3),
    ]:
        with pytest.raises(error):
            export(explanations, folder, data=wrong)
    assert not folder.exists()


def payload(path):
    text = path.read_text(encoding="utf-8")
    start = text.index('id="data">') + len('id="data">')
    return json.loads(text[start : text.index("</script>", start)])


def test_full_explanations_take_the_place_of_the_batch(explanations, data, tmp_path):
    edge_mask = torch.zeros(data.num_edges)
    edge_mask[[4, 7]] = torch.tensor([0.2, 0.8])
    node_mask = torch.zeros(40, 6)
    node_mask[3, 2] = 0.5
    card = Explanation(x=data.x, edge_index=data.edge_index, edge_mask=edge_mask, node_mask=node_mask)
    page = payload(
        export(explanations, tmp_path, data=data, cards={3: card}, image_shape=(2, 3), formats=["html"])["html"]
    )
    assert page["cards"] == [3]
    assert page["rows"]["features"][3] == [[2, 1]]
    graph = page["rows"]["graph"][3]
    drawn = [(graph["nodes"][source], graph["nodes"][target], weight) for source, target, weight in graph["edges"]]
    ends = [tuple(data.edge_index[:, edge].tolist()) for edge in (7, 4)]
    assert drawn == [(*ends[0], 1), (*ends[1], 0.25)]
    assert list(page["evidence"]) == ["3"]
    assert page["rows"]["features"][4] == [[4, 1], [5, 0.25]]


def test_cards_by_choice_by_list_and_none(explanations, data, tmp_path):
    def cards(**arguments):
        return payload(export(explanations, tmp_path, data=data, formats=["html"], **arguments)["html"])["cards"]

    assert len(cards()) == 24
    assert cards(cards=[7, 1]) == [7, 1]
    assert cards(cards=()) == cards(cards={}) == []


@pytest.mark.parametrize(
    "options", [{"labels": False}, {"regression": True}, {"flat": True}, {"nodes": [3]}, {"nodes": []}]
)
@pytest.mark.parametrize("edges", [True, False])
def test_whatever_is_missing(options, edges, tmp_path):
    data = make_data(edges=edges)
    explanations = make_explanations(data, **options)
    paths = export(explanations, tmp_path, data=data, image_shape=(2, 3))
    assert len(payload(paths["html"])["rows"]["id"]) == len(explanations)


def test_why_a_psi_is_not_defined(data, tmp_path):
    star = data.clone()
    star.edge_index = torch.tensor([[0, 1, 2, 3, 4, 0], [1, 0, 3, 2, 0, 4]])
    explanations = make_explanations(star, nodes=[0, 1, 9])
    explanations.context.norm[1] = 0
    page = payload(export(explanations, tmp_path, data=star, formats=["html"])["html"])
    stability = [page["reasons"][row[1]] if row[1] >= 0 else None for row in page["rows"]["reason"]]
    assert stability == [None, "it has only one neighbour", "it has no neighbours"]


def test_a_page_holds_no_more_rows_than_it_can(explanations, data, tmp_path, monkeypatch):
    from gragr_explain.report import _payload

    monkeypatch.setattr(_payload, "MOST_ROWS", 10)
    monkeypatch.setattr(_payload, "MOST_POINTS", 15)
    path = export(explanations, tmp_path, data=data, cards=[39, 8], formats=["html"])["html"]
    page = payload(path)
    assert len(page["rows"]["id"]) == 10
    assert {39, 8} <= set(page["rows"]["id"])
    assert len(page["map"]["node"]) == 15
    assert set(page["rows"]["id"]) <= set(page["map"]["node"])
    assert "holds 10 of the 40 explained nodes" in " ".join(path.read_text().split())


@pytest.mark.parametrize("index", [7, torch.tensor([3, 7])])
def test_a_card_shows_the_explanation_of_its_own_node(explanations, data, tmp_path, index):
    got = torch.as_tensor(index).view(-1).tolist()
    with pytest.raises(InvalidArgumentError) as caught:
        export(explanations, tmp_path, data=data, cards={3: Explanation(edge_index=data.edge_index, index=index)})
    assert str(caught.value) == f"expected the explanation of node 3 on its card, got that of {got}"
    own = Explanation(edge_index=data.edge_index, index=torch.tensor([3]))
    assert payload(export(explanations, tmp_path, data=data, cards={3: own})["html"])["cards"] == [3]


def test_edges_of_a_full_explanation_go_the_way_of_the_messages(explanations, data, tmp_path):
    edge_mask = torch.zeros(data.num_edges)
    edge_mask[7] = 1.0
    card = Explanation(edge_index=data.edge_index, edge_mask=edge_mask)
    back = replace(explanations, flow="target_to_source")
    for shown, ends in ((explanations, data.edge_index[:, 7]), (back, data.edge_index[:, 7].flip(0))):
        graph = payload(export(shown, tmp_path, data=data, cards={3: card})["html"])["rows"]["graph"][3]
        [(source, target, _)] = graph["edges"]
        assert [graph["nodes"][source], graph["nodes"][target]] == ends.tolist()


def test_a_rank_on_the_page_is_the_share_of_nodes_that_have_less(explanations, data, tmp_path):
    """Where all are the same, none has less."""
    context = replace(explanations.context, psi=torch.ones(40, 6), valid=torch.ones(40, 6, dtype=torch.bool))
    context.psi[:10, 0] = torch.linspace(2, 3, 10)
    page = payload(export(replace(explanations, context=context), tmp_path, data=data)["html"])
    for held in (page["rows"]["rank"], page["map"]["rank"]):
        ranks = np.frombuffer(base64.b64decode(held), dtype=np.uint8).reshape(40, 6)
        assert ranks[:, 0].tolist() == [round(254 * (30 + node) / 40) for node in range(10)] + [0] * 30
        assert not ranks[:, 1:].any()
