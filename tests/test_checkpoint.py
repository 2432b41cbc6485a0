"""A trained model as a folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GraphSAGE

import gragr_explain
from gragr_explain import GraGR
from gragr_explain.checkpoint import _folder, build_model, load_checkpoint, save_checkpoint
from gragr_explain.errors import CheckpointError, HistoryError, InvalidArgumentError, OutputError, UnsupportedModelError
from gragr_explain.history import GradientHistory
from gragr_explain.training import TABLE_5


@pytest.fixture(scope="module")
def graph():
    torch.manual_seed(0)
    edge_index = torch.randint(20, (2, 60))
    data = Data(x=torch.rand(20, 4), edge_index=edge_index, y=torch.arange(20) % 3)
    data.train_mask = torch.arange(20) < 12
    return data


HERE = Path(__file__).parent
ROOT = Path(gragr_explain.__file__).parents[1]
REPLACE = os.replace


def train(graph, name="GCN", **options):
    return GraGR(build_model(name, 4, 3), **options).fit(graph, epochs=3, progress=False)


@pytest.mark.parametrize("name", TABLE_5)
def test_build_model_follows_table_5(name):
    model = build_model(name.lower(), 4, 3)
    assert type(model).__name__ == name
    assert (model.in_channels, model.out_channels) == (4, 3)
    assert (model.hidden_channels, model.num_layers) == (TABLE_5[name].hidden_channels, TABLE_5[name].num_layers)
    assert model.dropout.p == TABLE_5[name].dropout


def test_an_unknown_model_gets_the_known_ones_and_the_closest():
    with pytest.raises(InvalidArgumentError, match="GCN, GAT, GIN, GraphSAGE; did you mean GraphSAGE"):
        build_model("grapsage", 4, 3)


@pytest.mark.parametrize("name", TABLE_5)
def test_what_is_saved_is_what_is_loaded(graph, tmp_path, name):
    trained = train(graph, name, conflict=name != "GAT", tau_mag=0.7, smooth_iters=1)
    save_checkpoint(trained, tmp_path / "new" / "folder", dataset="Cora", split=4)
    loaded = load_checkpoint(tmp_path / "new" / "folder")
    assert (loaded.dataset, loaded.split) == ("Cora", 4)
    assert loaded.trained.switches == trained.switches
    assert loaded.trained.settings == trained.settings
    assert not loaded.trained.training
    assert torch.equal(loaded.trained(graph.x, graph.edge_index), trained(graph.x, graph.edge_index))
    assert torch.equal(loaded.trained.history.field("self"), trained.history.field("self"))
    assert loaded.trained.history.curves == trained.history.curves


def test_a_model_without_history_stays_without(graph, tmp_path):
    trained = GraGR(build_model("GCN", 4, 3)).fit(graph, epochs=1, record=False, progress=False)
    save_checkpoint(train(graph), tmp_path, dataset="Cora")
    save_checkpoint(trained, tmp_path, dataset="Cora")
    assert load_checkpoint(tmp_path).trained.history is None


def test_only_models_that_can_be_built_again_are_saved(graph, tmp_path):
    trained = GraGR(GCN(4, 8, num_layers=2, out_channels=3, jk="cat")).fit(graph, epochs=1, progress=False)
    with pytest.raises(UnsupportedModelError, match="expected a model that build_model makes, got GCN"):
        save_checkpoint(trained, tmp_path, dataset="Cora")


@pytest.mark.parametrize(
    ("model", "differs"),
    [
        (lambda: GraphSAGE(4, 8, num_layers=2, out_channels=3, aggr="max"), r"convs\.0\.aggr is 'max', not 'mean'"),
        (lambda: GCN(4, 8, num_layers=2, out_channels=3, act="tanh"), r"act is torch.*Tanh, not torch.*ReLU"),
        (lambda: GCN(4, 8, num_layers=2, out_channels=3, act=torch.tanh), r"act is torch.*tanh, not torch.*ReLU"),
        (
            lambda: GCN(4, 8, num_layers=2, out_channels=3, normalize=False),
            r"convs\.0\.add_self_loops is False, not True",
        ),
        (lambda: type("GCN", (GCN,), {})(4, 8, num_layers=2, out_channels=3), "whose class is test_checkpoint"),
    ],
)
def test_a_model_of_the_same_shapes_that_computes_something_else_is_not_saved(graph, tmp_path, model, differs):
    trained = GraGR(model()).fit(graph, epochs=1, progress=False)
    with pytest.raises(UnsupportedModelError, match=differs):
        save_checkpoint(trained, tmp_path, dataset="Cora")
    assert list(tmp_path.iterdir()) == []


def test_layers_that_keep_their_normalised_edges_change_no_score(graph, tmp_path):
    trained = GraGR(GCN(4, 8, num_layers=2, out_channels=3, cached=True)).fit(graph, epochs=2, progress=False)
    save_checkpoint(trained, tmp_path, dataset="Cora")
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(graph.x, graph.edge_index), trained(graph.x, graph.edge_index))


@pytest.mark.parametrize("name", TABLE_5)
def test_numbers_keep_their_type(graph, tmp_path, name):
    double = graph.clone()
    double.x = graph.x.double()
    trained = GraGR(build_model(name, 4, 3).double()).fit(double, epochs=2, progress=False)
    save_checkpoint(trained, tmp_path, dataset="Cora")
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(double.x, double.edge_index), trained(double.x, double.edge_index))
    assert {each: value.dtype for each, value in loaded.state_dict().items()} == {
        each: value.dtype for each, value in trained.state_dict().items()
    }


def test_a_folder_that_is_a_file(graph, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        save_checkpoint(train(graph), tmp_path / "taken", dataset="Cora")


def files(folder):
    """All files in a folder but the one by which processes wait for each other."""
    there = (path for path in folder.rglob("*") if path.is_file() and path.name != ".model.lock")
    return sorted(path.relative_to(folder).as_posix() for path in there)


def interrupted(*_):
    raise KeyboardInterrupt


def on_a_full_disk(*_, **__):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("owner", "step", "fails", "error"),
    [
        (GradientHistory, "save", interrupted, KeyboardInterrupt),
        (Path, "write_bytes", on_a_full_disk, OutputError),
        (Path, "write_text", on_a_full_disk, OutputError),
        (os, "replace", on_a_full_disk, OutputError),
    ],
)
def test_a_save_that_fails_leaves_the_model_that_was_there(graph, tmp_path, monkeypatch, owner, step, fails, error):
    earlier, trained = train(graph), train(graph)
    for there in (False, True):
        if there:
            save_checkpoint(earlier, tmp_path, dataset="Cora")
        before = files(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, fails)
            with pytest.raises(error):
                save_checkpoint(trained, tmp_path, dataset="CiteSeer")
        assert files(tmp_path) == before
        if not there:
            with pytest.raises(CheckpointError, match=r"has no model\.json, so that it is .* not complete"):
                load_checkpoint(tmp_path)
    loaded = load_checkpoint(tmp_path)
    assert loaded.dataset == "Cora"
    assert torch.equal(loaded.trained(graph.x, graph.edge_index), earlier(graph.x, graph.edge_index))


def test_a_save_that_is_killed_before_its_last_step_leaves_the_model_that_was_there(graph, tmp_path, monkeypatch):
    """As a process that is killed, it cleans nothing up; the next save does."""
    earlier, trained = train(graph), train(graph)
    save_checkpoint(earlier, tmp_path, dataset="Cora")
    replaced = []

    def killed(source, target):
        if Path(target).name == "model.json":
            raise KeyboardInterrupt
        replaced.append(REPLACE(source, target))

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        patched.setattr("shutil.rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(trained, tmp_path, dataset="CiteSeer")
    assert len(replaced) == 3
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(graph.x, graph.edge_index), earlier(graph.x, graph.edge_index))
    save_checkpoint(trained, tmp_path, dataset="CiteSeer")
    assert len(files(tmp_path)) == 4
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(graph.x, graph.edge_index), trained(graph.x, graph.edge_index))


def test_two_processes_that_save_into_one_folder_beside_one_that_loads_lose_nothing(graph, tmp_path):
    save_checkpoint(train(graph), tmp_path, dataset="first")
    savers = [
        subprocess.Popen(
            [sys.executable, HERE / "saved_models.py", tmp_path, name, "30"],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        )
        for name in ("second", "third")
    ]
    seen = set()
    try:
        while any(saver.poll() is None for saver in savers):
            seen.add(load_checkpoint(tmp_path).dataset)
    finally:
        errors = [saver.communicate(timeout=300)[1] for saver in savers]
    assert [saver.returncode for saver in savers] == [0, 0], errors
    assert seen == {"first", "second", "third"}
    assert load_checkpoint(tmp_path).trained.history.num_steps == 2
    assert len(files(tmp_path)) == 4


def test_a_save_waits_for_another_but_not_for_ever(graph, tmp_path, monkeypatch):
    earlier = train(graph)
    save_checkpoint(earlier, tmp_path, dataset="Cora")
    before = files(tmp_path)
    monkeypatch.setattr(_folder, "_PATIENCE", 0.1)
    with (
        FileLock(tmp_path / ".model.lock"),
        pytest.raises(OutputError, match=r"another model is being written to '.*'; wait for it"),
    ):
        save_checkpoint(train(graph), tmp_path, dataset="CiteSeer")
    assert files(tmp_path) == before
    assert load_checkpoint(tmp_path).dataset == "Cora"


def test_loading_waits_for_nobody_and_writes_nothing(graph, tmp_path):
    save_checkpoint(train(graph), tmp_path, dataset="Cora")
    (tmp_path / ".model.lock").unlink()
    tmp_path.chmod(0o500)
    try:
        assert load_checkpoint(tmp_path).dataset == "Cora"
    finally:
        tmp_path.chmod(0o700)
    assert not (tmp_path / ".model.lock").exists()


@pytest.mark.parametrize("gone", ["model.safetensors", "history/history.safetensors"])
def test_a_model_that_is_replaced_while_it_is_loaded(graph, tmp_path, monkeypatch, gone):
    """What is being read is gone; the manifest names what took its place."""
    save_checkpoint(train(graph), tmp_path, dataset="Cora")
    first, read = inside(tmp_path) / gone, Path.read_bytes

    def replaced(path):
        if path == first and first.exists():
            save_checkpoint(train(graph), tmp_path, dataset="CiteSeer")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", replaced)
    assert load_checkpoint(tmp_path).dataset == "CiteSeer"


def as_version_1(folder):
    """Turn what a folder holds into what the first version wrote."""
    manifest = json.loads((folder / "model.json").read_text())
    place = folder / manifest.pop("place")
    for path in place.iterdir():
        path.rename(folder / path.name)
    place.rmdir()
    (folder / "model.json").write_text(json.dumps(manifest | {"version": 1}))


def test_what_the_first_version_wrote_is_read_and_replaced(graph, tmp_path):
    earlier, trained = train(graph), train(graph, conflict=False)
    save_checkpoint(earlier, tmp_path, dataset="Cora")
    as_version_1(tmp_path)
    assert files(tmp_path) == ["history/history.json", "history/history.safetensors", "model.json", "model.safetensors"]
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(graph.x, graph.edge_index), earlier(graph.x, graph.edge_index))
    assert torch.equal(loaded.history.field("self"), earlier.history.field("self"))
    save_checkpoint(trained, tmp_path, dataset="Cora")
    assert len(files(tmp_path)) == 4
    assert not (tmp_path / "model.safetensors").exists()
    loaded = load_checkpoint(tmp_path).trained
    assert torch.equal(loaded(graph.x, graph.edge_index), trained(graph.x, graph.edge_index))


def test_other_files_in_the_folder_stay(graph, tmp_path):
    trained = train(graph)
    trained.history.save(tmp_path / "history")
    (tmp_path / "model-notes").mkdir()
    (tmp_path / "model-notes" / "notes.txt").write_text("mine")
    before = files(tmp_path)
    for _ in range(2):
        save_checkpoint(trained, tmp_path, dataset="Cora")
    assert set(before) < set(files(tmp_path))
    assert len(files(tmp_path)) == len(before) + 4


def test_a_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"'.*nowhere' does not exist"):
        load_checkpoint(tmp_path / "nowhere")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def inside(folder):
    return folder / json.loads((folder / "model.json").read_text())["place"]


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: cut(inside(folder) / "model.safetensors"), CheckpointError, "is damaged: model.safetensors"),
        (lambda folder: (inside(folder) / "model.safetensors").unlink(), CheckpointError, "cannot read"),
        (lambda folder: (folder / "model.json").write_text("{"), CheckpointError, "model.json is not JSON"),
        (lambda folder: (folder / "model.json").write_text("{}"), CheckpointError, "got another model.json"),
        (lambda folder: change(folder / "model.json", version=3), CheckpointError, "version 3.*please upgrade"),
        (
            lambda folder: change(folder / "model.json", place="../.."),
            CheckpointError,
            r"names '\.\./\.\.' as its place",
        ),
        (lambda folder: change(folder / "model.json", model={}), CheckpointError, "does not fit"),
        (
            lambda folder: change(folder / "model.json", model={"name": "GCN", "in_channels": 5, "out_channels": 3}),
            CheckpointError,
            "does not fit",
        ),
        (lambda folder: (inside(folder) / "history" / "history.json").unlink(), HistoryError, "history"),
        (lambda folder: cut(inside(folder) / "history" / "history.safetensors"), HistoryError, "damaged"),
    ],
)
def test_damaged_foreign_and_newer_folders(graph, tmp_path, damage, error, message):
    save_checkpoint(train(graph), tmp_path, dataset="Cora")
    damage(tmp_path)
    with pytest.raises(error, match=message):
        load_checkpoint(tmp_path)
