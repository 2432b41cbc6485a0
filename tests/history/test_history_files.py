from __future__ import annotations

import json
import os
from dataclasses import fields as dataclass_fields
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recorded_models import ALL_MODELS, make_graph, make_model, train
from safetensors.torch import load_file

from gragr_explain.errors import GragrError, HistoryError, HistoryMismatchError, OutputError
from gragr_explain.history import FieldRecord, GradientHistory, GradientRecorder
from gragr_explain.pairs import write_pair

FILES = ("history.safetensors", "history.json")


def record(name: str = "GCN", epochs: int = 20) -> GradientHistory:
    model, data = make_model(name), make_graph()
    with GradientRecorder(model, data, snapshots=[0, 3]) as history:
        history.curves["loss"] = train(model, data, epochs)
    history.curves["val_acc"] = [0.1, float("nan"), 1 / 3]
    return history


@pytest.fixture(scope="module")
def history() -> GradientHistory:
    return record()


@pytest.fixture
def folder(history: GradientHistory, tmp_path: Path) -> Path:
    history.save(tmp_path / "history")
    return tmp_path / "history"


def assert_same(found: GradientHistory, expected: GradientHistory) -> None:
    def same(first: torch.Tensor, second: torch.Tensor) -> bool:
        return first.dtype == second.dtype and first.numpy().tobytes() == second.numpy().tobytes()

    assert found.fields.keys() == expected.fields.keys()
    for name, stored in expected.fields.items():
        for entry in dataclass_fields(FieldRecord):
            one, other = getattr(found.fields[name], entry.name), getattr(stored, entry.name)
            assert one == other if entry.name == "count" else same(one, other), (name, entry.name)
    assert found.trajectories.keys() == expected.trajectories.keys()
    for name, trajectory in expected.trajectories.items():
        assert same(found.trajectories[name].sums, trajectory.sums)
        assert same(found.trajectories[name].known, trajectory.known)
        assert found.trajectories[name].starts == trajectory.starts
        assert same(found.trajectories[name].values, trajectory.values)
    assert found.snapshots.keys() == expected.snapshots.keys()
    assert all(same(found.snapshots[key], value) for key, value in expected.snapshots.items())
    assert list(found.weights) == list(expected.weights)
    for step, weights in expected.weights.items():
        assert found.weights[step].keys() == weights.keys()
        assert all(same(found.weights[step][key], value) for key, value in weights.items())
    assert (found.conflict_count is None) == (expected.conflict_count is None)
    if expected.conflict_count is not None:
        assert same(found.conflict_count, expected.conflict_count)
    assert repr(found.curves) == repr(expected.curves)
    assert found.graph_digest == expected.graph_digest
    assert repr(found) == repr(expected)


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_round_trip_is_bit_exact(name: str, tmp_path: Path) -> None:
    history = record(name, epochs=9)
    history.save(tmp_path)
    assert_same(GradientHistory.load(tmp_path), history)


def test_what_was_loaded_can_be_saved_and_recorded_into(history: GradientHistory, folder: Path, tmp_path: Path) -> None:
    loaded = GradientHistory.load(str(folder))
    loaded.save(str(tmp_path / "again"))
    assert_same(GradientHistory.load(tmp_path / "again"), history)
    loaded.trajectories["norm"].add(torch.ones(24))
    loaded.fields["training"].update(torch.ones(24, 8))
    assert loaded.num_steps == 21


def test_an_empty_history_can_be_saved(tmp_path: Path) -> None:
    GradientHistory().save(tmp_path)
    assert_same(GradientHistory.load(tmp_path), GradientHistory())


def test_a_folder_holds_two_files_and_no_pickle(history: GradientHistory, folder: Path) -> None:
    history.save(folder)
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(FILES)
    meta = json.loads((folder / "history.json").read_text())
    assert (meta["format"], meta["version"]) == ("gragr-explain history", 1)
    assert (meta["num_nodes"], meta["num_steps"]) == (24, 20)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(which=st.sampled_from(FILES), place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_a_flipped_byte_is_never_read_as_something_else(
    history: GradientHistory, folder: Path, which: str, place: float, flip: int
) -> None:
    path = folder / which
    whole = path.read_bytes()
    position = int(place * len(whole))
    path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1 :])
    try:
        found = GradientHistory.load(folder)
    except HistoryError:
        return
    finally:
        path.write_bytes(whole)
    assert which == "history.json"  # white space, at the most
    assert_same(found, history)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("which", FILES)
def test_a_truncated_file_is_damaged(folder: Path, which: str, share: float) -> None:
    whole = (folder / which).read_bytes()
    (folder / which).write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(HistoryError, match="damaged"):
        GradientHistory.load(folder)


@pytest.mark.parametrize("which", FILES)
def test_a_missing_file_is_named(folder: Path, which: str) -> None:
    (folder / which).unlink()
    with pytest.raises(HistoryError, match=which):
        GradientHistory.load(folder)


def test_files_of_two_histories_do_not_mix(history: GradientHistory, folder: Path, tmp_path: Path) -> None:
    record("GIN").save(tmp_path / "other")
    (folder / FILES[0]).write_bytes((tmp_path / "other" / FILES[0]).read_bytes())
    with pytest.raises(HistoryError, match="does not match"):
        GradientHistory.load(folder)


@pytest.mark.parametrize("key", ["counts", "trajectories", "curves", "num_steps"])
def test_a_changed_description_is_damaged(folder: Path, key: str) -> None:
    meta = json.loads((folder / "history.json").read_text())
    changed = {"counts": {"training": 9}, "trajectories": {}, "curves": {"loss": [1.0]}, "num_steps": 21}[key]
    (folder / "history.json").write_text(json.dumps(meta | {key: changed}))
    with pytest.raises(HistoryError, match="damaged"):
        GradientHistory.load(folder)


@pytest.mark.parametrize("content", ["{}", "[]", "null", "3", '"text"', '{"format": "other", "version": 1}'])
def test_foreign_json_is_not_a_history(folder: Path, content: str) -> None:
    (folder / "history.json").write_text(content)
    with pytest.raises(HistoryError, match="expected a gragr-explain history"):
        GradientHistory.load(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"not json", b"\x89PNG\r\n"])
def test_what_is_no_json_is_damaged(folder: Path, content: bytes) -> None:
    (folder / "history.json").write_bytes(content)
    with pytest.raises(HistoryError, match="is not JSON"):
        GradientHistory.load(folder)


@pytest.mark.parametrize("version", [2, 99, "1", None, 1.5])
def test_a_newer_version_asks_for_an_upgrade(folder: Path, version: object) -> None:
    meta = json.loads((folder / "history.json").read_text())
    (folder / "history.json").write_text(json.dumps(meta | {"version": version}))
    with pytest.raises(HistoryError, match=r"reads up to 1; please upgrade"):
        GradientHistory.load(folder)


def test_a_folder_that_is_not_there_or_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(HistoryError, match="cannot read"):
            GradientHistory.load(place)


@pytest.mark.parametrize("below", ["", "deeper", "deeper/still"])
def test_a_folder_that_cannot_be_written_is_an_output_error(
    history: GradientHistory, tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="expected a folder that can be written to") as caught:
        history.save(tmp_path / "file" / below)
    assert isinstance(caught.value, OSError)
    assert isinstance(caught.value, GragrError)
    assert (tmp_path / "file").read_text() == "kept"


def test_a_file_where_a_file_should_go_cannot_be_a_folder(history: GradientHistory, tmp_path: Path) -> None:
    (tmp_path / FILES[1]).mkdir()
    with pytest.raises(OutputError):
        history.save(tmp_path)
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_broken_write_leaves_the_old_history(
    history: GradientHistory, folder: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise error

    other = record("GIN", epochs=2)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises((OutputError, KeyboardInterrupt)):
            other.save(folder)
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(FILES)
    assert_same(GradientHistory.load(folder), history)


def test_a_history_knows_its_graph_again(history: GradientHistory, folder: Path) -> None:
    data, loaded = make_graph(), GradientHistory.load(folder)
    assert loaded.graph_digest == history.graph_digest is not None
    for same in (
        data,
        data.clone(),
        data.clone().update({"x": data.x.double(), "edge_index": data.edge_index.flip(1)}),
    ):
        loaded.check_graph(24, same.x, same.edge_index)
    changed = data.x.clone()
    changed[3, 1] += 1e-3
    others = [(x, data.edge_index) for x in (changed, data.x.roll(1, 0), data.x[:, :4])]
    others += [(data.x, edge_index) for edge_index in (data.edge_index[:, 1:], make_graph(seed=1).edge_index)]
    for x, edge_index in others:
        with pytest.raises(HistoryMismatchError, match="got another one of 24 nodes, with other features or edges"):
            loaded.check_graph(24, x, edge_index)
    loaded.check_graph(24)  # of which no more is said


def test_without_a_graph_to_remember_any_of_as_many_nodes_will_do() -> None:
    model, data = make_model("GCN"), make_graph()
    with GradientRecorder(model) as history:
        train(model, data, 2)
    assert history.graph_digest is None
    history.check_graph(24, data.x + 1, data.edge_index)


def test_a_history_that_was_written_earlier_is_read(history: GradientHistory, folder: Path) -> None:
    """Neither the graph nor how many observations of a slice were defined was written."""
    tensors, meta = load_file(folder / FILES[0]), json.loads((folder / FILES[1]).read_text())
    del meta["graph_digest"]
    kept = {key: value for key, value in tensors.items() if not key.startswith("known/")}
    write_pair(folder, "history", meta.pop("format"), meta.pop("version"), kept, meta)
    loaded, data = GradientHistory.load(folder), make_graph()
    assert loaded.graph_digest is None
    loaded.check_graph(24, data.x + 1, data.edge_index)
    for name, trajectory in history.trajectories.items():
        torch.testing.assert_close(loaded.trajectories[name].values, trajectory.values, equal_nan=True)
    loaded.trajectories["norm"].add(torch.ones(24))
