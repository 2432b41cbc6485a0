import json
from dataclasses import replace

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from made_explanations import make_data, make_explanations

from gragr_explain.context import FEATURES
from gragr_explain.errors import OutputError, UnsupportedModelError
from gragr_explain.rationale import ChangeFact
from gragr_explain.report import json_lines, table_schema, to_frame, to_table, write_jsonl, write_parquet


def strict(line):
    def refuse(literal):
        raise AssertionError(f"{literal} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_rows_say_what_the_explanations_say(data):
    explanations = make_explanations(
        data, nodes=[5, 2, 9], class_names=["cat", "dog", "eel"], feature_names=list("abcdef")
    )
    frame = to_frame(explanations)
    assert frame["node"].tolist() == [5, 2, 9]
    assert frame["prediction_name"].tolist() == [["cat", "dog", "eel"][p] for p in explanations.prediction]
    torch.testing.assert_close(torch.tensor(frame["confidence"].to_numpy()).float(), explanations.confidence)
    row = frame.iloc[0]
    assert row["edges"][0] == dict(zip(("source", "target", "weight"), explanations.edges[0][0], strict=True))
    assert row["features"] == [{"feature": 5, "name": "f", "weight": 1.0}, {"feature": 0, "name": "a", "weight": 0.25}]
    assert (row["rationale"], row["rationale_writer"], row["rationale_replaced"]) == (
        "Node 5 is what it is.",
        "template",
        False,
    )
    assert frame["rationale_problems"][2] == ["the number 12 is not in the context"]
    assert frame["psi_source"].unique().tolist() == ["self"]


def test_psi_is_missing_exactly_where_it_is_not_valid(explanations):
    frame = to_frame(explanations)
    isolated = frame.iloc[-1]
    assert not isolated["valid_conflict"]
    assert pd.isna(isolated["psi_conflict"])
    for column, feature in enumerate(FEATURES):
        assert (frame[f"psi_{feature}"].isna() == ~frame[f"valid_{feature}"]).all()
        known = frame[f"valid_{feature}"].to_numpy(copy=True)
        expected = explanations.context.psi[:, column][torch.from_numpy(known)]
        assert torch.equal(torch.tensor(frame.loc[known, f"psi_{feature}"].to_numpy()).float(), expected)
    assert pd.isna(isolated["role"]) == (explanations.context.role(39) is None)


def test_correct_is_missing_where_the_label_is(explanations):
    frame = to_frame(explanations)
    assert frame["label"].isna().tolist() == (explanations.label < 0).tolist()
    assert frame["correct"].isna().equals(frame["label"].isna())
    known = frame.dropna(subset="label")
    assert (known["correct"] == (known["label"] == known["prediction"])).all()


def test_what_would_change_a_prediction_is_in_the_table(data):
    change = ChangeFact(2, "dog", 0.625)
    explanations = make_explanations(data, nodes=[5, 2, 9], changes={2: change}.get)
    frame = to_frame(explanations)
    columns = ["change_removed", "change_prediction", "change_confidence"]
    assert frame.loc[1, columns].tolist() == [2, "dog", 0.625]
    assert frame.loc[[0, 2], columns].isna().all(axis=None)
    rows = to_table(frame).to_pylist()
    assert [rows[1][name] for name in columns] == [2, "dog", 0.625]
    assert [rows[0][name] for name in columns] == [None] * 3


def test_nodes_are_named_where_they_have_names(data):
    explanations = make_explanations(data, nodes=[5, 2], node_names=[f"paper {node}" for node in range(40)])
    assert to_frame(explanations)["node_name"].tolist() == ["paper 5", "paper 2"]
    assert to_frame(make_explanations(data))["node_name"].isna().all()


@pytest.mark.parametrize("options", [{}, {"regression": True}, {"labels": False}, {"nodes": []}])
def test_the_schema_is_known_before_there_is_a_table(data, options):
    table = to_table(to_frame(make_explanations(data, **options)))
    assert table.schema.equals(table_schema(classes="regression" not in options))
    assert [strict(line) for line in json_lines(table)] == table.to_pylist()


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_round_trip(explanations, tmp_path, kind):
    frame, path = to_frame(explanations), tmp_path / f"table.{kind}"
    if kind == "parquet":
        write_parquet(frame, path)
        rows = pq.read_table(path).to_pylist()
        assert pd.read_parquet(path).shape == frame.shape
    else:
        write_jsonl(frame, path)
        rows = [strict(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(frame)
    for row, (_, expected) in zip(rows, frame.iterrows(), strict=True):
        assert list(row) == list(frame.columns)
        for column, value in row.items():
            if value is None:
                assert pd.isna(expected[column])
            else:
                assert value == expected[column]
    assert rows[-1]["psi_conflict"] is None
    assert rows[7]["label"] is None


@pytest.mark.parametrize(
    "options", [{"regression": True}, {"labels": False}, {"flat": True}, {"nodes": []}, {"class_names": None}]
)
def test_types_do_not_depend_on_what_is_known(explanations, tmp_path, options):
    other = make_explanations(make_data(edges="flat" not in options), **options)
    write_parquet(to_frame(explanations), tmp_path / "a.parquet")
    write_parquet(to_frame(other), tmp_path / "b.parquet")
    write_jsonl(to_frame(other), tmp_path / "b.jsonl")
    a, b = pq.read_schema(tmp_path / "a.parquet"), pq.read_schema(tmp_path / "b.parquet")
    changing = {"prediction", "label"} if "regression" in options else set()
    assert {name for name in a.names if a.field(name).type != b.field(name).type} == changing
    lines = (tmp_path / "b.jsonl").read_text().splitlines()
    assert len(lines) == len(other)
    assert all(strict(line) for line in lines)


def test_regression_has_values_and_no_names(data):
    explanations = make_explanations(data, regression=True)
    frame = to_frame(explanations)
    torch.testing.assert_close(torch.tensor(frame["prediction"].to_numpy()), explanations.prediction)
    assert frame[["prediction_name", "confidence", "correct", "psi_confidence"]].isna().all(axis=None)


def test_several_numbers_for_one_prediction_have_no_table(data):
    explanations = make_explanations(data, regression=True)
    several = replace(explanations, prediction=explanations.prediction.view(-1, 1).repeat(1, 3))
    with pytest.raises(UnsupportedModelError, match=rf"one class or number .* got .* \[{len(several)}, 3\]"):
        to_frame(several)


def test_strange_names_survive(data, tmp_path):
    names = ["</script>", 'quote " \\ \n line', "日本 🦊"]
    frame = to_frame(make_explanations(data, class_names=names))
    write_jsonl(frame, tmp_path / "t.jsonl")
    write_parquet(frame, tmp_path / "t.parquet")
    lines = (tmp_path / "t.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert [json.loads(line)["prediction_name"] for line in lines] == frame["prediction_name"].tolist()
    assert pd.read_parquet(tmp_path / "t.parquet")["prediction_name"].tolist() == frame["prediction_name"].tolist()


@pytest.mark.parametrize("write", [write_parquet, write_jsonl])
def test_a_place_that_cannot_be_written_to(explanations, tmp_path, write):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        write(to_frame(explanations), tmp_path / "file" / "table")
