"""A streamed export: what it holds, that it goes on where it was, and what is made of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from streamed_graphs import BACKBONES, make_data, make_explainer

from gragr_explain import explain_many
from gragr_explain.report import export as write_files
from gragr_explain.report import to_frame, to_table
from gragr_explain.streaming import _run, open_export, read_explanations, stream_export


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    """The same rows, up to what batches of other sizes round."""
    numbers = expected.columns[[np.issubdtype(kind, np.floating) for kind in expected.dtypes.map(np_type)]]
    assert list(found.columns) == list(expected.columns)
    np.testing.assert_allclose(found[numbers].to_numpy(float), expected[numbers].to_numpy(float), atol=1e-5)
    exact = ["node", "prediction_name", "label", "correct", "role", "psi_source", "change_removed", "rationale_writer"]
    for column in exact:
        assert found[column].astype(object).where(found[column].notna(), None).tolist() == (
            expected[column].astype(object).where(expected[column].notna(), None).tolist()
        )
    for ours, theirs in zip(found["edges"], expected["edges"], strict=True):
        assert [(edge["source"], edge["target"]) for edge in ours] == [(e["source"], e["target"]) for e in theirs]
        np.testing.assert_allclose([edge["weight"] for edge in ours], [e["weight"] for e in theirs], atol=1e-5)


def np_type(kind: object) -> type:
    return getattr(kind, "numpy_dtype", kind if isinstance(kind, np.dtype) else np.dtype(object)).type


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_table_is_that_of_explain_many(backbone, tmp_path):
    explainer, data = make_explainer(backbone), make_data()
    export = stream_export(explainer, data, tmp_path, shard_size=7, progress=False)
    assert export.complete
    assert [pq.read_metadata(shard).num_rows for shard in export.shards()] == [7, 7, 7, 7, 7, 5]
    assert_same(pd.read_parquet(tmp_path / "explanations"), to_frame(explain_many(explainer, data, progress=False)))


@pytest.mark.parametrize("options", [{"labels": False}, {"regression": True}, {"nodes": [39, 4, 0]}, {"nodes": []}])
def test_whatever_is_explained(options, tmp_path):
    nodes = options.get("nodes")
    explainer = make_explainer(regression=options.get("regression", False))
    data = make_data(labels=options.get("labels", True))
    if "regression" in options:
        data.y = None
    export = stream_export(explainer, data, tmp_path, nodes, shard_size=16, progress=False)
    explained = explain_many(explainer, data, nodes, progress=False)
    assert export.manifest.num_nodes == len(explained) == export.dataset().count_rows()
    schema = to_table(to_frame(explained)).schema
    assert export.dataset().schema.equals(schema)
    if nodes != []:
        table = pd.read_parquet(export.table)
        assert table["node"].tolist() == explained.index.tolist()
        np.testing.assert_allclose(table["prediction"], explained.prediction.view(-1), atol=1e-5)


def test_names_and_settings_are_in_the_table(tmp_path):
    names = {"class_names": ["cat", "</script>", "日本"], "feature_names": list("abcde")}
    explainer = make_explainer(**names, node_names=[f"paper {number}" for number in range(40)])
    export = stream_export(explainer, make_data(), tmp_path, top_edges=2, top_features=1, progress=False)
    table = pd.read_parquet(export.table)
    assert table["node_name"][7] == "paper 7"
    assert set(table["prediction_name"]) <= set(names["class_names"])
    assert table["edges"].map(len).max() == 2
    assert {features[0]["name"] for features in table["features"]} <= set("abcde")


def test_the_same_export_gives_the_same_bytes(tmp_path):
    for folder in "ab":
        stream_export(make_explainer(), make_data(), tmp_path / folder, shard_size=9, progress=False)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("lost", [[0], [5], [1, 2, 5], range(6)])
def test_missing_shards_alone_are_made_again(lost, tmp_path, monkeypatch):
    explainer, data = make_explainer(), make_data()
    whole = stream_export(explainer, data, tmp_path, shard_size=7, progress=False)
    before, shards = contents(tmp_path), whole.shards()
    for shard in lost:
        shards[shard].unlink()
    assert not open_export(tmp_path).complete
    written = []
    write = _run.write_shard
    monkeypatch.setattr(_run, "write_shard", lambda *arguments: (written.append(arguments[-1]), write(*arguments)))
    stream_export(explainer, data, tmp_path, shard_size=7, progress=False)
    assert written == list(lost)
    assert contents(tmp_path) == before


def test_a_complete_export_is_left_as_it_is(tmp_path, monkeypatch):
    explainer, data = make_explainer(), make_data()
    stream_export(explainer, data, tmp_path, progress=False)
    before = contents(tmp_path)
    monkeypatch.setattr(_run, "explain_parts", lambda *_, **__: pytest.fail("a node was explained again"))
    assert stream_export(explainer, data, tmp_path, progress=False).complete
    assert contents(tmp_path) == before


def test_the_memory_of_batches_may_change_between_calls(tmp_path):
    explainer, data = make_explainer(), make_data()
    export = stream_export(explainer, data, tmp_path, shard_size=20, memory_mb=64, progress=False)
    export.shards()[0].unlink()
    assert stream_export(explainer, data, tmp_path, shard_size=20, memory_mb=1, progress=False).complete


def test_overwriting_begins_anew(tmp_path):
    data = make_data()
    (tmp_path / "mine.txt").write_text("mine")
    stream_export(make_explainer(seed=1), data, tmp_path, shard_size=4, progress=False)
    stream_export(make_explainer(seed=0), data, tmp_path, shard_size=30, overwrite=True, progress=False)
    stream_export(make_explainer(seed=0), data, tmp_path / "new", shard_size=30, progress=False)
    assert contents(tmp_path / "new").items() <= contents(tmp_path).items()
    assert len(open_export(tmp_path).shards()) == 2
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_overwriting_removes_what_was_made_of_the_shards(tmp_path):
    stream_export(make_explainer(), make_data(), tmp_path, progress=False).write_jsonl()
    (tmp_path / "report.html").write_text("of the earlier export")
    stream_export(make_explainer(seed=1), make_data(), tmp_path, [3], overwrite=True, progress=False)
    assert set(contents(tmp_path)) == {"manifest.json", "explanations/part-00000.parquet"}


def test_progress_begins_where_the_export_was(tmp_path, capsys):
    explainer, data = make_explainer(), make_data()
    export = stream_export(explainer, data, tmp_path, shard_size=10, progress=False)
    assert capsys.readouterr().err == ""
    export.shards()[-1].unlink()
    stream_export(explainer, data, tmp_path, shard_size=10)
    shown = capsys.readouterr().err.split("\r")
    assert "30/40" in shown[1]
    assert "40/40" in shown[-1]


def test_json_lines_hold_the_rows_of_the_table(tmp_path):
    export = stream_export(make_explainer(), make_data(), tmp_path, shard_size=11, progress=False)
    path = export.write_jsonl()
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert rows == pq.read_table(export.table).to_pylist()
    assert rows[39]["psi_conflict"] is None


@pytest.mark.parametrize("regression", [False, True])
def test_what_is_read_back_is_what_was_explained(regression, tmp_path):
    explainer = make_explainer(regression=regression, node_names=[f"paper {number}" for number in range(40)])
    data = make_data()
    if regression:
        data.y = torch.where(data.y < 0, torch.nan, data.y + 0.5)
    nodes = list(range(39, 2, -1))
    found = read_explanations(
        stream_export(explainer, data, tmp_path, nodes, shard_size=37, progress=False), explainer, data
    )
    expected = explain_many(explainer, data, nodes, progress=False)
    pd.testing.assert_frame_equal(to_frame(found), to_frame(expected))
    for name in ("index", "prediction", "embedding", "hidden", "all_predictions"):
        assert torch.equal(getattr(found, name), getattr(expected, name)), name
    torch.testing.assert_close(found.label, expected.label, rtol=0, atol=0, equal_nan=True)
    assert list(found.rationales) == expected.rationales
    assert found.edges[-1] == expected.edges[-1]
    assert found.changes[3:9:2] == expected.changes[3:9:2]
    assert len(found.features) == 37
    with pytest.raises(IndexError):
        found.features[37]


@pytest.mark.parametrize("regression", [False, True])
def test_of_no_nodes_an_empty_table_is_read_back(regression, tmp_path):
    explainer, data = make_explainer(regression=regression), make_data()
    if regression:
        data.y = data.y.float()
    export = stream_export(explainer, data, tmp_path, [], progress=False)
    found, expected = read_explanations(export, explainer, data), explain_many(explainer, data, [], progress=False)
    pd.testing.assert_frame_equal(to_frame(found), to_frame(expected))
    for name in ("index", "prediction", "confidence", "label", "embedding", "hidden", "all_predictions"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), name
    assert to_table(to_frame(found)).equals(to_table(to_frame(expected)))
    assert export.complete
    assert export.dataset().to_table().schema.equals(to_table(to_frame(found)).schema)
    assert export.write_jsonl().read_text() == ""


@pytest.mark.parametrize("explains", ["model", "phenomenon"])
def test_a_page_is_made_of_what_is_read_back(explains, tmp_path):
    explainer, data = make_explainer(explains=explains), make_data()
    data.y = data.y.clamp(min=0)
    export = stream_export(explainer, data, tmp_path, shard_size=40, progress=False)
    back = read_explanations(export, explainer, data)
    there = write_files(back, tmp_path / "there", data=data, formats=["html"])["html"]
    here = write_files(explain_many(explainer, data, progress=False), tmp_path, data=data, formats=["html"])["html"]
    assert there.read_bytes() == here.read_bytes()


def test_a_model_in_training_mode_stays_there(tmp_path):
    explainer, data = make_explainer(), make_data()
    explainer.model.train()
    export = stream_export(explainer, data, tmp_path, progress=False)
    read_explanations(export, explainer, data)
    assert explainer.model.training
