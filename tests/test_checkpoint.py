"""A trained model as a folder."""

import json

import pytest
import torch
from torch_geometric.data import Data
from torch_geometric.nn import GCN

from gragr_explain import GraGR
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
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


def test_a_folder_that_is_a_file(graph, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="taken"):
        save_checkpoint(train(graph), tmp_path / "taken", dataset="Cora")


def test_an_interrupted_save_is_recognised(graph, tmp_path, monkeypatch):
    trained = train(graph)
    save_checkpoint(trained, tmp_path, dataset="Cora")

    def interrupt(self, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(GradientHistory, "save", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(trained, tmp_path, dataset="Cora")
    with pytest.raises(CheckpointError, match=r"has no model\.json, so that it is .* not complete"):
        load_checkpoint(tmp_path)


def test_a_missing_folder(tmp_path):
    with pytest.raises(CheckpointError, match=r"'.*nowhere' does not exist"):
        load_checkpoint(tmp_path / "nowhere")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(path, **entries):
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda folder: cut(folder / "model.safetensors"), CheckpointError, "is damaged: model.safetensors"),
        (lambda folder: (folder / "model.safetensors").unlink(), CheckpointError, "cannot read"),
        (lambda folder: (folder / "model.json").write_text("{"), CheckpointError, "model.json is not JSON"),
        (lambda folder: (folder / "model.json").write_text("{}"), CheckpointError, "got another model.json"),
        (lambda folder: change(folder / "model.json", version=2), CheckpointError, "version 2.*please upgrade"),
        (lambda folder: change(folder / "model.json", model={}), CheckpointError, "does not fit"),
        (
            lambda folder: change(folder / "model.json", model={"name": "GCN", "in_channels": 5, "out_channels": 3}),
            CheckpointError,
            "does not fit",
        ),
        (lambda folder: (folder / "history" / "history.json").unlink(), HistoryError, "history"),
        (lambda folder: cut(folder / "history" / "history.safetensors"), HistoryError, "damaged"),
    ],
)
def test_damaged_foreign_and_newer_folders(graph, tmp_path, damage, error, message):
    save_checkpoint(train(graph), tmp_path, dataset="Cora")
    damage(tmp_path)
    with pytest.raises(error, match=message):
        load_checkpoint(tmp_path)
