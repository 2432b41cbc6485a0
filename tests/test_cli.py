"""The command line, as it is typed and as it answers."""

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from commands import gragr
from torch_geometric.data import Data

import gragr_explain
from gragr_explain.cli import main
from gragr_explain.cli._nodes import parse_nodes
from gragr_explain.cli._terminal import suggest
from gragr_explain.datasets import load_dataset
from gragr_explain.errors import InvalidArgumentError, InvalidIndexError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a graph, on which a model has been trained into the folder `out`."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    y = torch.arange(40) % 2
    ends = torch.randint(20, (2, 80)) * 2
    edge_index = torch.cat([ends, ends + 1, torch.tensor([[0], [1]])], dim=1)
    graph = Data(x=torch.randn(40, 5) + y.view(-1, 1), edge_index=edge_index, y=y, class_names=["[red]", "<b>blue"])
    torch.save(graph, folder / "graph.pt")
    run = gragr("train", "graph.pt", "--model", "gcn", "--epochs", 20, folder=folder)
    assert run.returncode == 0, run.stderr
    assert "40 nodes" in run.stdout
    assert "test accuracy" in run.stdout
    return folder


@pytest.fixture
def fails(capsys):
    """Run the command in this process; it must fail in one line, which is returned."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        message = caught.value.code
        assert isinstance(message, str), capsys.readouterr()
        assert message.startswith("error: ")
        assert "\n" not in message
        return message

    return run


@pytest.fixture
def answers(capsys):
    """Run the command in this process; it must succeed, and what it printed is returned."""

    def run(*arguments):
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        assert caught.value.code == 0, printed.err
        return printed.out

    return run


@pytest.mark.parametrize("command", ["train", "explain", "export", "demo"])
def test_help_teaches_by_example(answers, command):
    assert f"gragr-explain {command}" in answers(command, "--help").split("Examples:")[1]
    assert command in answers("--help")


def test_version(answers):
    assert answers("--version") == f"gragr-explain {gragr_explain.__version__}\n"


def test_explain_shows_psi_support_and_rationale(place):
    run = gragr("explain", "out", "17", "3-4", "--top", 2, folder=place)
    assert run.returncode == 0, run.stderr
    assert run.stderr == ""
    for word in ("node 17", "node 3", "node 4", "conflict", "receptiveness", "feature", "predicted [red]", "<b>blue"):
        assert word in run.stdout
    assert "node 5 " not in run.stdout


def test_explain_searches_as_it_is_told(place, answers):
    command = ["explain", place / "out", "17"]
    assert answers(*command, "--search-edges", 10, "--no-refine") == answers(*command)
    assert answers(*command, "--search-edges", 1) != answers(*command)
    assert "node 17" in answers(*command, "--refine")
    told = [*command, "--search-edges", 3, "--top", 1]
    assert answers(*told, "--best-set").count("→") > answers(*told).count("→")  # a set is shown whole


def test_a_best_set_that_is_not_to_be_refined_is_refused(place, fails):
    assert "expected refine to be True or None" in fails("explain", place / "out", "17", "--best-set", "--no-refine")


def test_export_writes_all_formats(place, answers):
    printed = answers("export", place / "out", "--cards", 3)
    report = place / "out" / "report"
    assert str(report / "report.html") in printed
    table = pd.read_parquet(report / "explanations")
    lines = [json.loads(line) for line in (report / "explanations.jsonl").read_text().splitlines()]
    assert table["node"].tolist() == [line["node"] for line in lines] == list(range(40))
    assert table["rationale"].str.len().gt(0).all()
    page = (report / "report.html").read_text()
    assert "<b>blue" not in page
    assert "GCN on graph.pt" in page


def test_export_writes_only_what_is_asked_for(place, answers, tmp_path):
    answers("export", place / "out", "--nodes", "5,0-2", "--format", "jsonl", "--out", tmp_path, "--shard-size", 3)
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.name.startswith(".")}
    shards = {f"explanations/part-0000{shard}.parquet" for shard in (0, 1)}
    assert written == {"manifest.json", "explanations", *shards, "explanations.jsonl"}
    lines = (tmp_path / "explanations.jsonl").read_text().splitlines()
    assert [json.loads(line)["node"] for line in lines] == [5, 0, 1, 2]


def test_an_export_that_is_killed_goes_on_where_it_was(place, answers, tmp_path):
    """Twice killed as soon as a few shards more are there, then finished."""
    there = tmp_path / "report" / "explanations"
    command = ["export", place / "out", "--shard-size", "1", "--format", "jsonl", "--out", tmp_path / "report"]
    for enough in (3, 12):
        run = subprocess.Popen(
            [sys.executable, "-m", "gragr_explain", *map(str, command)],
            env=os.environ | {"PYTHONPATH": str(Path(gragr_explain.__file__).parents[1])},
        )
        while run.poll() is None and len(list(there.glob("*.parquet"))) < enough:
            time.sleep(0.001)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "the export was over before it could be killed"
        assert pd.read_parquet(there)["node"].tolist() == list(range(len(list(there.glob("*.parquet")))))
    finished = {path: path.stat().st_mtime_ns for path in there.glob("*.parquet")}
    answers(*command)
    assert pd.read_parquet(there)["node"].tolist() == list(range(40))
    assert finished.items() <= {path: path.stat().st_mtime_ns for path in there.glob("*.parquet")}.items()
    assert len((tmp_path / "report" / "explanations.jsonl").read_text().splitlines()) == 40
    assert [path.name for path in (tmp_path / "report").rglob(".*")] == [".lock"]


def test_an_export_of_something_else_is_replaced_only_on_demand(place, answers, fails, tmp_path):
    command = ["export", place / "out", "--format", "parquet", "--out", tmp_path]
    answers(*command, "--nodes", "0-4")
    before = (tmp_path / "explanations" / "part-00000.parquet").read_bytes()
    assert "another run, which differs in: nodes" in fails(*command, "--nodes", "0-5")
    assert "differs in: search edges" in fails(*command, "--nodes", "0-4", "--search-edges", 0)
    assert "differs in: refine" in fails(*command, "--nodes", "0-4", "--refine")
    assert "differs in: ranked" in fails(*command, "--nodes", "0-4", "--best-set")
    assert (tmp_path / "explanations" / "part-00000.parquet").read_bytes() == before
    answers(*command, "--nodes", "0-5", "--overwrite")
    assert len(pd.read_parquet(tmp_path / "explanations")) == 6


def test_nodes_that_do_not_exist_are_known_before_anything_is_written(place, fails, tmp_path):
    assert "expected nodes in [0, 39], got 40" in fails(
        "export", place / "out", "--nodes", "0-40", "--out", tmp_path / "new"
    )
    assert not (tmp_path / "new").exists()


def test_an_address_without_workers(place, fails, tmp_path):
    assert "--workers" in fails("export", place / "out", "--address", "auto", "--out", tmp_path / "new")


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the package ray is not installed")
def test_an_export_by_workers_is_that_of_one_process(place, answers, tmp_path):
    answers("export", place / "out", "--format", "parquet", "--out", tmp_path / "one")
    many = ["--workers", 2, "--shard-size", 20, "--format", "parquet", "--out", tmp_path / "many"]
    run = gragr("export", "out", *many, folder=place)
    assert run.returncode == 0, run.stderr
    one, many = (pd.read_parquet(tmp_path / folder / "explanations") for folder in ("one", "many"))
    assert one["node"].tolist() == many["node"].tolist()
    assert one["rationale"].tolist() == many["rationale"].tolist()
    assert sorted(path.name for path in (tmp_path / "many").rglob("*.parquet")) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]


def test_a_mistake_is_one_line_on_standard_error(tmp_path):
    run = gragr("train", "coora", folder=tmp_path)
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("error: unknown data set 'coora'")
    assert "did you mean Cora?" in run.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_exist(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["trian"])
    assert caught.value.code == 2
    assert "trian" in capsys.readouterr().err


def test_bad_input_to_train(place, fails, tmp_path):
    graph = place / "graph.pt"
    taken = tmp_path / "taken"
    taken.write_text("")
    assert "unknown model 'GNC'" in fails("train", graph, "--model", "GNC")
    assert "taken" in fails("train", graph, "--out", taken / "out")
    assert "there is no file" in fails("train", tmp_path / "missing.pt")
    assert taken.read_text() == ""


@pytest.mark.parametrize(("option", "value"), [("--epochs", 0), ("--epochs", -1), ("--split", -1), ("--seed", -1)])
def test_a_number_out_of_range_leaves_nothing_behind(option, value, place, capsys, tmp_path):
    with pytest.raises(SystemExit) as caught:
        main(["train", str(place / "graph.pt"), option, str(value), "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert option in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_is_replaced_only_on_demand(place, fails, answers, tmp_path):
    command = ["train", place / "graph.pt", "--epochs", 2, "--out", tmp_path]
    answers(*command, "--seed", 1)
    before = (tmp_path / "model.json").read_bytes()
    message = fails(*command, "--seed", 2)
    assert str(tmp_path) in message
    assert "--overwrite" in message
    assert (tmp_path / "model.json").read_bytes() == before
    answers(*command, "--seed", 2, "--overwrite")
    assert (tmp_path / "model.json").read_bytes() != before


def test_only_labelled_test_nodes_count_for_the_accuracy(answers, tmp_path):
    """Half of the test nodes have no label, then all; the features give away the class."""
    y = torch.arange(60) % 2
    part = torch.arange(60) // 20
    graph = Data(x=torch.eye(2)[y], edge_index=torch.stack([torch.arange(60)] * 2), y=y.clone())
    graph.update({name: part == number for number, name in enumerate(("train_mask", "val_mask", "test_mask"))})
    printed = []
    for unknown in (slice(50, 60), slice(40, 60)):
        graph.y[unknown] = -1
        torch.save(graph, tmp_path / "graph.pt")
        printed.append(answers("train", tmp_path / "graph.pt", "--out", tmp_path / "out", "--overwrite"))
    assert "test accuracy 100.0%" in printed[0]
    assert "test accuracy not known, for want of test nodes with labels" in printed[1]


def test_bad_nodes(place, fails):
    out = place / "out"
    assert "expected nodes in [0, 39], got 40" in fails("explain", out, "40")
    assert "got 'seventeen'" in fails("explain", out, "seventeen")
    assert "got '1.5'" in fails("export", out, "--nodes", "0,1.5")


def test_bad_folders(place, fails, tmp_path):
    half = tmp_path / "half"
    half.mkdir()
    (half / "model.safetensors").write_bytes(next((place / "out").glob("model-*/model.safetensors")).read_bytes())
    (tmp_path / "taken").write_text("")
    assert "does not exist" in fails("explain", tmp_path / "nowhere", "0")
    assert "has no model.json" in fails("export", half)
    assert "taken" in fails("export", place / "out", "--out", tmp_path / "taken")


def test_bad_language_models(place, fails, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    assert str(broken) in fails("export", place / "out", "--llm", broken, "--out", tmp_path / "report")
    assert "missing" in fails("explain", place / "out", "0", "--llm", tmp_path / "missing")


def test_a_graph_that_is_not_the_one_trained_on(place, fails, tmp_path):
    graph = tmp_path / "graph.pt"
    small = load_dataset(place / "graph.pt").data
    torch.save(small, graph)
    with pytest.raises(SystemExit):
        main(["train", str(graph), "--epochs", "1", "--out", str(tmp_path / "out")])
    small.x = torch.rand(40, 6)
    torch.save(small, graph)
    assert "takes 5 features" in fails("explain", tmp_path / "out", "0")
    small.x, small.y = torch.rand(41, 5), torch.arange(41) % 2
    for mask in ("train_mask", "val_mask", "test_mask"):
        del small[mask]
    torch.save(small, graph)
    assert "40 nodes" in fails("explain", tmp_path / "out", "0")


def test_the_same_seed_gives_the_same_model_and_explanations(answers, tmp_path):
    printed = []
    for seed, out in (3, "first"), (3, "again"), (4, "other"):
        answers("train", "digits", "--epochs", 4, "--seed", seed, "--out", tmp_path / out)
        printed.append(answers("explain", tmp_path / out, "0,794"))
    assert printed[0] == printed[1] != printed[2]


def test_nodes_as_people_write_them():
    assert parse_nodes("0, 5,10-12,5", num_nodes=13) == [0, 5, 10, 11, 12]
    assert parse_nodes(" 10 - 12 ,7 ", num_nodes=13) == [10, 11, 12, 7]


@pytest.mark.parametrize("text", ["", "x", "-1", "1-", "3-1", "1,,2", "1.0", "1 2", "1-2 3", "\N{SUPERSCRIPT TWO}"])
def test_what_is_no_list_of_nodes(text):
    with pytest.raises(InvalidArgumentError):
        parse_nodes(text, num_nodes=10)


def test_a_huge_range_is_refused_before_it_is_made():
    with pytest.raises(InvalidIndexError, match=r"\[0, 9\]"):
        parse_nodes("0-999999999999", num_nodes=10)


def test_cards_of_pictures_show_what_the_export_found(answers, tmp_path):
    answers("train", "digits", "--epochs", 2, "--out", tmp_path / "out")
    for settings in (["--search-edges", 0], ["--search-edges", 2, "--refine"]):
        report = tmp_path / f"{len(settings)}"
        answers("export", tmp_path / "out", "--nodes", "0-5", "--cards", 3, "--out", report, *settings)
        table = pd.read_parquet(report / "explanations").set_index("node")
        held = re.search(r'id="data">(.*?)</script>', (report / "report.html").read_text(), re.DOTALL)
        page = json.loads(held[1])
        assert len(page["cards"]) == 3
        for node in page["cards"]:
            graph = page["rows"]["graph"][page["rows"]["id"].index(node)]
            shown = [[graph["nodes"][end] for end in edge[:2]] for edge in graph["edges"]]
            found = [[edge["source"], edge["target"]] for edge in table.loc[node, "edges"]]
            assert shown[: len(found)] == found


def test_what_to_run_next_can_be_pasted(capsys):
    suggest(["explain", Path("a run"), 0], ["export", Path("a run")])
    assert capsys.readouterr().out == "\nnext:  gragr-explain explain 'a run' 0\n       gragr-explain export 'a run'\n"
