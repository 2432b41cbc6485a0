"""``gragr-explain audit``, as it is typed and as it answers."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from audited_models import three_classes
from commands import gragr

from gragr_explain.cli import main

NAMES = ["[red]", "<b>green</b>", "blue, light"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a graph, on which a model has been trained into the folder `out`."""
    folder = tmp_path_factory.mktemp("place")
    graph = three_classes()
    graph.class_names = NAMES
    torch.save(graph, folder / "graph.pt")
    with pytest.raises(SystemExit) as ended:
        main(["train", str(folder / "graph.pt"), "--epochs", "20", "--out", str(folder / "out")])
    assert ended.value.code == 0
    return folder


@pytest.fixture(scope="module")
def run(place):
    return gragr("audit", "out", "--top", 5, "--out", "doubts.csv", folder=place, COLUMNS="200")


def test_two_lists_and_what_to_do_next(place, run):
    assert run.returncode == 0, run.stderr
    assert "training labels, of which about" in run.stdout
    assert "predictions for other nodes" in run.stdout
    for heading in ("node", "wrong", "label", "predicted", "rather", "because"):
        assert heading in run.stdout
    assert any(name in run.stdout for name in NAMES)
    table = pd.read_csv(place / "doubts.csv")
    first = int(table["node"].iloc[0])
    assert f"next:  gragr-explain explain out {first}\n" in run.stdout
    doubtful = table[(table["about"] == "prediction") & (table["probability"] > 0.5)]
    if len(doubtful):
        node, rather = doubtful["node"].iloc[0], doubtful["suggested"].iloc[0]
        assert f"gragr-explain edit out {node} --label {rather}\n" in run.stdout
    else:
        assert "gragr-explain edit" not in run.stdout
    rows = [line for line in run.stdout.splitlines() if line.strip().split()[:1] and line.split()[0].isdigit()]
    assert [int(line.split()[0]) for line in rows if "%" in line.split()[1]][:5] == table["node"].head(5).tolist()


def test_the_table_has_all_nodes(place, run):
    table = pd.read_csv(place / "doubts.csv")
    assert sorted(table["node"]) == list(range(150))
    assert set(table["about"]) == {"label", "prediction"}
    assert set(table["label_name"]) <= set(NAMES)
    data = torch.load(place / "graph.pt", weights_only=False)
    labels = table[table["about"] == "label"]
    wrong = (data.y != data.clean)[torch.tensor(labels["node"].to_numpy())].numpy()
    assert wrong[:5].mean() >= 0.6


def test_a_parquet_table_and_the_same_again(place, run, capsys):
    path = place / "new" / "doubts.parquet"
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(place / "out"), "--out", str(path)])
    assert ended.value.code == 0, capsys.readouterr()
    found, before = pd.read_parquet(path), pd.read_csv(place / "doubts.csv")
    assert found["node"].tolist() == before["node"].tolist()
    assert found["probability"].tolist() == pytest.approx(before["probability"].tolist())
    assert ["; ".join(reasons) for reasons in found["reasons"]] == before["reasons"].fillna("").tolist()


def failure(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    message = ended.value.code
    assert isinstance(message, str), capsys.readouterr()
    assert message.startswith("error: ")
    assert "\n" not in message
    return message


def test_mistakes_are_one_line(place, capsys, tmp_path):
    assert "doubts.txt" in failure(capsys, "audit", place / "out", "--out", tmp_path / "doubts.txt")
    assert "nowhere" in failure(capsys, "audit", tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    message = failure(capsys, "audit", place / "out", "--out", tmp_path / "file" / "doubts.csv")
    assert "expected a folder that can be written to" in message
    (tmp_path / "doubts.csv").mkdir()
    assert "doubts.csv" in failure(capsys, "audit", place / "out", "--out", tmp_path / "doubts.csv")
    assert list((tmp_path / "doubts.csv").iterdir()) == []


def test_where_nothing_can_be_written_a_process_says_so_before_it_trains(place):
    run = gragr("audit", "out", "--out", "/proc/nowhere/doubts.csv", folder=place, COLUMNS="200")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("error: expected a folder that can be written to")
    assert "Traceback" not in run.stderr


def test_usage(place, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(place / "out"), "--top", "0"])
    assert ended.value.code == 2
    assert "--top" in capsys.readouterr().err
