"""``gragr-explain edit``, and the page of an edit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch
from commands import gragr
from edited_models import other_class, scores
from torch_geometric.data import Data

from gragr_explain.checkpoint import load_checkpoint
from gragr_explain.cli import main
from gragr_explain.cli._edit import parse_class
from gragr_explain.datasets import load_dataset
from gragr_explain.editing import edit, render_edit, summarise_edit
from gragr_explain.errors import InvalidArgumentError, InvalidIndexError, InvalidTypeError

NAMES = ["[red]", "<b>blue</b>", "green"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a graph, on which a model has been trained into the folder `out`."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    edge_index = torch.randint(60, (2, 150))
    graph = Data(x=torch.randn(60, 6) + y.view(-1, 1), edge_index=edge_index, y=y, class_names=NAMES)
    torch.save(graph, folder / "graph.pt")
    with pytest.raises(SystemExit) as ended:
        main(["train", str(folder / "graph.pt"), "--epochs", "15", "--out", str(folder / "out")])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def run(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return (printed.out, None) if ended.value.code == 0 else (printed.out, ended.value.code)

    return call


def predictions(folder, data):
    return load_checkpoint(folder).trained(data.x, data.edge_index).argmax(-1)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_one_is_in_has_a_neighbour_too(place, run, tmp_path, monkeypatch):
    shutil.copytree(place / "out", tmp_path / "mine")
    (tmp_path / "mine" / "below").mkdir()
    target = (int(predictions(place / "out", load_dataset(place / "graph.pt").data)[7]) + 1) % 3
    for inside, folder in (("mine", "."), ("mine/below", "..")):
        monkeypatch.chdir(tmp_path / inside)
        printed, failed = run("edit", folder, 7, "--label", target)
        assert failed is None, printed
        assert (tmp_path / "mine-edited" / "edit.html").is_file()
        shutil.rmtree(tmp_path / "mine-edited")


def test_an_edit_is_written_beside_the_model(place, run, tmp_path):
    data = load_dataset(place / "graph.pt").data
    before, kept = predictions(place / "out", data), files_of(place / "out")
    target = (int(before[7]) + 1) % 3
    printed, failed = run("edit", place / "out", 7, "--label", target, "--out", tmp_path / "new")
    assert failed is None
    assert files_of(place / "out") == kept
    after = predictions(tmp_path / "new", data)
    assert int(after[7]) == target
    summary = json.loads((tmp_path / "new" / "edit.json").read_text())
    assert [row["node"] for row in summary["targets"]] == [7]
    flipped = ((before != after).nonzero().view(-1)).tolist()
    assert sorted([7, *(row["node"] for row in summary["flips"])]) == flipped
    assert ("as asked, against its label" in printed) == (target != int(data.y[7]))
    assert "corrected" in printed
    assert NAMES[target] in printed
    assert str(tmp_path / "new" / "edit.html") in printed.replace("\n", "")
    again, failed = run("explain", tmp_path / "new", 7)
    assert failed is None
    assert f"predicted {NAMES[target]}" in again


def test_the_call_that_a_card_names_works(place, run, tmp_path):
    """From a report's card to the page of the edit, each command in a process of its own."""

    def command(*arguments):
        shown = [sys.executable, "-W", "ignore", "-m", "gragr_explain", *map(str, arguments)]
        return subprocess.run(shown, capture_output=True, text=True, timeout=300, check=True, cwd=tmp_path).stdout

    command("export", place / "out", "--out", tmp_path / "report", "--format", "html", "--search-edges", 0)
    page = (tmp_path / "report" / "report.html").read_text()
    held = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    row = held["rows"]["correct"].index(False)
    node, label = held["rows"]["id"][row], held["rows"]["label"][row]
    assert [behind is not None for behind in held["influences"]].count(True) == len(held["cards"])
    printed = command("edit", place / "out", node, "--label", held["labelOptions"][label], "--out", tmp_path / "new")
    assert "corrected" in printed
    texts = Texts()
    texts.feed((tmp_path / "new" / "edit.html").read_text())
    assert str(node) in " ".join(texts.texts)
    assert {NAMES[label], NAMES[held["rows"]["prediction"][row]]} <= set(texts.texts)
    data = load_dataset(place / "graph.pt").data
    assert int(predictions(tmp_path / "new", data)[node]) == label


def test_the_shell_says_that_an_edited_model_is_not_the_one_that_was_recorded(place, tmp_path):
    before = predictions(place / "out", load_dataset(place / "graph.pt").data)
    target = (int(before[7]) + 1) % 3
    assert gragr("edit", place / "out", 7, "--label", target, "--out", tmp_path / "new").returncode == 0
    assert "warning" not in gragr("explain", place / "out", 7).stderr
    done = gragr("explain", tmp_path / "new", 7)
    assert done.returncode == 0
    assert re.fullmatch("warning: the model's weights are none that it had while .* edited since.*\n", done.stderr)


def test_several_nodes_and_a_default_folder(place, run):
    data = load_dataset(place / "graph.pt").data
    before = predictions(place / "out", data)
    nodes = [3, 12]
    names = [NAMES[(int(before[node]) + 1) % 3] for node in nodes]
    _, failed = run("edit", place / "out", "3,12", "--label", names[0], "--label", names[1].upper(), "--method", "gre")
    assert failed is None
    after = predictions(place / "out-edited", data)
    assert [NAMES[int(after[node])] for node in nodes] == names
    _, failed = run("edit", place / "out", 3, "--label", names[0])
    assert "out-edited" in failed
    assert "--overwrite" in failed
    _, failed = run("edit", place / "out-edited", 5, "--label", (int(after[5]) + 1) % 3, "--out", place / "out-edited")
    assert "--overwrite" in failed
    assert torch.equal(predictions(place / "out-edited", data), after)
    target = (int(after[5]) + 1) % 3
    _, failed = run("edit", place / "out-edited", 5, "--label", target, "--out", place / "out-edited", "--overwrite")
    assert failed is None
    assert int(predictions(place / "out-edited", data)[5]) == target


def test_nothing_to_correct(place, run, tmp_path):
    data = load_dataset(place / "graph.pt").data
    right = int(predictions(place / "out", data)[0])
    printed, failed = run("edit", place / "out", 0, "--label", right, "--out", tmp_path / "new")
    assert failed is None
    assert printed == f"nothing to correct: the model predicts {NAMES[right]} for node 0 already\n"
    assert not (tmp_path / "new").exists()
    (tmp_path / "mine").mkdir()
    run("edit", place / "out", 0, "--label", right, "--out", tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["60", "--label", "0"], r"nodes in \[0, 59\], got 60"),
        (["7", "--label", "3"], r"class in \[0, 2\], got 3"),
        (["7", "--label", "gren"], "did you mean green"),
        (["7", "8", "9", "--label", "0", "--label", "1"], "each of 3, got 2"),
        (["x", "--label", "0"], "node numbers"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(place, run, tmp_path, arguments, message):
    _, failed = run("edit", place / "out", *arguments, "--out", tmp_path / "new")
    assert isinstance(failed, str)
    assert "\n" not in failed
    assert re.search(message, failed)
    assert not (tmp_path / "new").exists()


def test_a_class_by_name_or_number():
    assert [parse_class(text, ["A", "b", "1"]) for text in ("a", "b", "1", "0")] == [0, 1, 2, 0]
    with pytest.raises(InvalidArgumentError, match="2 have"):
        parse_class("x", ["X", "X"])
    with pytest.raises(InvalidIndexError):
        parse_class("3", ["A", "B"])


class Texts(HTMLParser):
    """The tags of a page, and its texts."""

    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_says_what_the_summary_says_and_loads_nothing(gcn, data, wrong):
    names = ["<script>alert(1)</script>", "A & B", '"quoted"']
    done = edit(gcn, data, wrong[:2], data.y[wrong[:2]], method="gd")
    summary = summarise_edit(done, data, names)
    page = Texts()
    page.feed(render_edit(done, data, names, title="<i>title</i>"))
    text = " ".join(page.texts)
    assert "<script>alert(1)</script>" in text
    assert "<i>title</i>" in text
    assert not {"script", "i title", "img", "iframe", "form"} & {tag for tag, _ in page.tags}
    assert not [attrs for _, attrs in page.tags if {"src", "onclick"} & attrs.keys()]
    assert [attrs["href"] for tag, attrs in page.tags if tag == "link"] == ["data:,"]
    for row in summary["flips"]:
        assert str(row["node"]) in page.texts
    after = scores(gcn, data).softmax(-1)
    for target, node in zip(summary["targets"], wrong[:2], strict=True):
        assert target["label"] == names[int(data.y[node])]
        for share, number in zip(target["classes"], after[node].tolist(), strict=True):
            assert share["after"] == pytest.approx(number, abs=1e-6)
    json.dumps(summary, allow_nan=False)


def test_verdicts_and_accuracies_against_counting(gcn, data, wrong):
    done = edit(gcn, data, wrong[:1], data.y[wrong[:1]], method="gd")
    data.y = data.y.clone()
    data.y[:10] = -1  # not known
    summary = summarise_edit(done, data)
    before, after = done.prediction_before, done.prediction_after
    for row in summary["flips"]:
        label = int(data.y[row["node"]])
        expected = {
            label: "" if label < 0 else "still wrong",
            int(before[row["node"]]): "wrong now",
            int(after[row["node"]]): "right now",
        }[label]
        assert row["verdict"] == expected
        assert (row["label"] is None) == (label < 0)
    assert {row["node"] for row in summary["flips"]} == {flip.node for flip in done.flips} - set(wrong[:1])
    test = next(row for row in summary["accuracies"] if row["name"] == "test")
    nodes = [v for v in range(90) if data.test_mask[v] and data.y[v] >= 0 and v not in wrong[:1]]
    assert test["count"] == len(nodes)
    assert test["after"] == pytest.approx(100 * sum(int(after[v] == data.y[v]) for v in nodes) / len(nodes))


@pytest.mark.parametrize("y", [torch.rand(90), torch.arange(3), None])
def test_labels_that_are_no_classes_of_nodes_make_no_accuracy(gcn, data, y):
    labelled = data.clone()
    data.y = y
    done = edit(gcn, data, 0, other_class(gcn, data, 0), method="gd")
    assert (done.accuracy_before, done.accuracy_after, done.drawdown) == (None, None, None)
    assert summarise_edit(done, data)["accuracies"] == []
    assert len(summarise_edit(done, labelled)["accuracies"]) == 3


def test_an_edit_without_success_has_a_page_too(gcn, data):
    done = edit(gcn, data, 0, other_class(gcn, data, 0), max_steps=1, steps=5)
    assert not done.success
    assert "The model is as it was" in render_edit(done, data, title="none")


def test_where_all_is_right_already_the_page_says_that_nothing_was_corrected(gcn, data):
    done = edit(gcn, data, 0, int(scores(gcn, data)[0].argmax()))
    page = render_edit(done, data, title="none")
    assert "Nothing was to be corrected" in page
    assert "corrected the prediction in" not in page


@pytest.mark.parametrize(("names", "error"), [(["a", "b"], InvalidArgumentError), ("abc", InvalidTypeError)])
def test_names_of_classes_are_checked(gcn, data, names, error):
    done = edit(gcn, data, 0, other_class(gcn, data, 0), method="gd")
    with pytest.raises(error, match="class_names"):
        summarise_edit(done, data, names)
    with pytest.raises(error, match="class_names"):
        render_edit(done, data, names, title="none")


def test_a_new_model_has_no_page_of_an_old_edit(place, run, tmp_path):
    target = (int(predictions(place / "out", load_dataset(place / "graph.pt").data)[7]) + 1) % 3
    assert run("edit", place / "out", 7, "--label", target, "--out", tmp_path / "new")[1] is None
    assert (tmp_path / "new" / "edit.html").is_file()
    command = ["train", place / "graph.pt", "--epochs", 2, "--out", tmp_path / "new", "--overwrite"]
    assert run(*command)[1] is None
    assert not [path.name for path in (tmp_path / "new").glob("edit.*")]
