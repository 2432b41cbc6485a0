"""What cannot be exported, and folders that cannot be exported to: known early, and nothing is overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from streamed_graphs import make_data, make_explainer
from test_stream import contents
from torch_geometric.explain import DummyExplainer, Explainer
from torch_geometric.explain.config import ModelReturnType
from torch_geometric.nn import GCN, FastRGCNConv, GCNConv

import gragr_explain
from gragr_explain import GradientHistory, GraGR
from gragr_explain.errors import (
    ExportError,
    GragrError,
    InvalidArgumentError,
    InvalidGraphError,
    InvalidIndexError,
    InvalidTypeError,
    OutputError,
    UnsupportedModelError,
)
from gragr_explain.files import remove_leftovers
from gragr_explain.history import FieldRecord
from gragr_explain.rationale import TemplateWriter
from gragr_explain.streaming import _fingerprint, _manifest, _run, open_export, read_explanations, stream_export

HERE = Path(__file__).parent
ROOT = Path(gragr_explain.__file__).parents[1]


@pytest.fixture
def data():
    return make_data()


@pytest.fixture
def exported(data, tmp_path):
    """An export of 40 nodes in shards of 16."""
    return stream_export(make_explainer(), data, tmp_path, shard_size=16, progress=False)


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (InvalidIndexError, {"index": [0, 40]}),
        (InvalidIndexError, {"index": [3, 5, 3]}),
        (InvalidTypeError, {"index": ["a"]}),
        (InvalidArgumentError, {"shard_size": 0}),
        (InvalidArgumentError, {"top_edges": 0}),
        (InvalidArgumentError, {"memory_mb": 0}),
    ],
)
def test_mistakes_are_known_before_the_folder_is_made(error, arguments, data, tmp_path):
    with pytest.raises(error) as caught:
        stream_export(make_explainer(), data, tmp_path / "new", progress=False, **arguments)
    assert isinstance(caught.value, GragrError)
    assert not (tmp_path / "new").exists()


def test_what_is_no_explainer_of_ours_or_no_graph(data, tmp_path):
    explainer = make_explainer()
    other = Explainer(
        explainer.model,
        DummyExplainer(),
        explanation_type="model",
        edge_mask_type="object",
        model_config=explainer.model_config,
    )
    with pytest.raises(InvalidTypeError, match="GradientContextExplainer"):
        stream_export(other, data, tmp_path / "new", progress=False)
    data.edge_index = data.edge_index + 2
    with pytest.raises(InvalidGraphError):
        stream_export(explainer, data, tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def changed(data, name, place, value):
    data[name][place] = value
    return data


@pytest.mark.parametrize(
    ("differs", "explainer", "other", "arguments"),
    [
        ("model", {"seed": 1}, {}, {}),
        ("model", {"backbone": "GraphSAGE"}, {}, {}),
        ("graph", {}, {"x": (3, 1.0)}, {}),
        ("graph", {}, {"edge_index": ((0, 0), 7)}, {}),
        ("graph", {}, {"y": (0, 2)}, {}),
        ("nodes", {}, {}, {"index": [*range(39), 39][::-1]}),
        ("nodes", {}, {}, {"index": range(39)}),
        ("search edges", {"search_edges": 3}, {}, {}),
        ("refine", {"refine": True}, {}, {}),
        ("ranked", {"ranked": False}, {}, {}),
        ("evidence", {"evidence": "uses"}, {}, {}),
        ("history weight", {"history_weight": 0.5}, {}, {}),
        ("scope", {"scope": "graph"}, {}, {}),
        ("explains", {"explains": "phenomenon"}, {}, {}),
        ("feature names", {"feature_names": list("abcde")}, {}, {}),
        ("node names", {"node_names": [f"paper {number}" for number in range(40)]}, {}, {}),
        ("top edges", {}, {}, {"top_edges": 3}),
        ("class names", {"class_names": ["a", "b", "c"]}, {}, {}),
        ("top features", {}, {}, {"top_features": 3}),
        ("shard size", {}, {}, {"shard_size": 15}),
        ("writer", {"writer": lambda facts: []}, {}, {}),
        ("history", {"history": True}, {}, {}),
    ],
)
def test_another_run_in_the_folder_is_refused(differs, explainer, other, arguments, data, exported):
    before = contents(exported.folder)
    if "history" in explainer:
        explainer = {"history": recorded()}
    for name, (place, value) in other.items():
        data = changed(data.clone(), name, place, value)
    with pytest.raises(ExportError, match=f"another run, which differs in: [a-z, ]*{differs}"):
        stream_export(
            make_explainer(**explainer), data, exported.folder, progress=False, **{"shard_size": 16, **arguments}
        )
    assert contents(exported.folder) == before


def test_other_validation_labels_are_another_run(data, tmp_path):
    """They are what the reliability of predictions is from."""
    history = recorded()
    stream_export(make_explainer(history=history), data, tmp_path, shard_size=16, progress=False)
    history.validation = torch.zeros(40, dtype=torch.long)
    with pytest.raises(ExportError, match="another run, which differs in: history"):
        stream_export(make_explainer(history=history), data, tmp_path, shard_size=16, progress=False)


@pytest.mark.parametrize(
    "otherwise",
    [{"act": "tanh"}, {"act": torch.tanh}, {"aggr": "max"}, {"normalize": False}, {"improved": True}, {"dropout": 0.5}],
)
def test_a_model_of_the_same_weights_that_computes_something_else_is_another(otherwise, data, exported):
    explainer = make_explainer()
    weights = explainer.model.state_dict()
    explainer.model = GCN(5, 8, num_layers=2, out_channels=3, **otherwise)
    explainer.model.load_state_dict(weights)
    with pytest.raises(ExportError, match="another run, which differs in: model;"):
        stream_export(explainer, data, exported.folder, shard_size=16, progress=False)


def test_a_signal_of_another_weight_makes_another_model(data):
    explainer = make_explainer()
    explainer.model = GraGR(explainer.model)
    before = _fingerprint.fingerprint(explainer, data)
    explainer.model.auxiliary_weight = 0.5
    after = _fingerprint.fingerprint(explainer, data)
    assert [name for name in before if before[name] != after[name]] == ["model"]


def test_a_model_is_the_same_however_it_was_used(data):
    explainer = make_explainer()
    before = _fingerprint.fingerprint(explainer, data)
    explainer(data.x, data.edge_index, index=3)
    explainer.model.train()
    assert _fingerprint.fingerprint(explainer, data) == before


class Placed(torch.nn.Module):
    """A model of nodes that have a place, and of edges of several types."""

    def __init__(self):
        super().__init__()
        self.first, self.second = GCNConv(7, 8), FastRGCNConv(8, 3, 2)

    def forward(self, x, edge_index, pos, edge_type):
        h = self.first(torch.cat([x, pos], dim=1), edge_index).relu()
        return self.second(h, edge_index, edge_type)


@pytest.fixture
def placed(data):
    explainer = make_explainer()
    explainer.model = Placed()
    data.pos = torch.zeros(40, 2)
    data.edge_type = torch.zeros(data.num_edges, dtype=torch.long)
    return explainer, data


@pytest.mark.parametrize("name", ["pos", "edge_type"])
def test_whatever_else_a_model_takes_of_the_graph_counts(name, placed, tmp_path):
    explainer, data = placed
    stream_export(explainer, data, tmp_path, progress=False)
    with pytest.raises(ExportError, match="another run, which differs in: graph;"):
        stream_export(explainer, changed(data.clone(), name, 3, 1), tmp_path, progress=False)


def test_what_layers_set_when_they_are_called_makes_no_other_model(placed, tmp_path):
    explainer, data = placed
    before = _fingerprint.fingerprint(explainer, data)
    assert stream_export(explainer, data, tmp_path, progress=False).complete
    assert _fingerprint.fingerprint(explainer, data) == before


def write(facts):
    return TemplateWriter()(facts)


def test_a_function_that_writes_is_known_by_its_name(data):
    found = _fingerprint.fingerprint(make_explainer(writer=write), data)["writer"]
    assert found == f"{__name__}.write"


def test_several_numbers_for_each_node_are_refused_before_any_work(data, tmp_path):
    explainer = make_explainer(regression=True)
    explainer.model = GCN(5, 8, num_layers=2, out_channels=2)
    with pytest.raises(UnsupportedModelError, match=r"one number for each node, got outputs of shape \[40, 2\]"):
        stream_export(explainer, data, tmp_path / "new", progress=False)
    assert not (tmp_path / "new").exists()


def recorded():
    field = FieldRecord.empty(torch.zeros(40, 8))
    field.update(torch.ones(40, 8))
    return GradientHistory(fields={"training": field})


def test_a_manifest_without_shards_stands_in_nobodys_way(data, exported):
    for shard in exported.shards():
        shard.unlink()
    assert stream_export(make_explainer(seed=1), data, exported.folder, progress=False).complete


def test_another_version_is_refused(data, exported, monkeypatch):
    monkeypatch.setattr(_fingerprint, "__version__", "99.0")
    with pytest.raises(ExportError, match="differs in: package"):
        stream_export(make_explainer(), data, exported.folder, shard_size=16, progress=False)


def again(data, folder):
    return stream_export(make_explainer(), data, folder, shard_size=16, progress=False)


def test_a_shard_of_another_run_is_refused(data, exported, tmp_path):
    other = stream_export(make_explainer(seed=1), data, tmp_path / "other", shard_size=16, progress=False)
    exported.shards()[1].write_bytes(other.shards()[1].read_bytes())
    before = contents(tmp_path)
    with pytest.raises(ExportError, match=r"of another run: '.*part-00001\.parquet'"):
        again(data, exported.folder)
    assert contents(tmp_path) == before


def test_a_shard_in_the_place_of_another_is_refused(data, exported):
    first, second, _ = exported.shards()
    first.write_bytes(second.read_bytes())
    with pytest.raises(ExportError, match="expected shard 0"):
        again(data, exported.folder)


@pytest.mark.parametrize("change", ["columns", "types", "rows"])
def test_a_shard_of_another_schema_is_refused(change, data, exported):
    path = exported.shards()[0]
    table = pq.read_table(path)
    if change == "columns":
        table = table.drop_columns(["rationale"])
    elif change == "types":
        table = table.set_column(0, "node", table["node"].cast(pa.int32()))
    else:
        table = table.slice(1)
    pq.write_table(table, path)
    before = contents(exported.folder)
    with pytest.raises(ExportError, match=r"got those of another|15"):
        again(data, exported.folder)
    assert contents(exported.folder) == before


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all" * 9])
def test_a_damaged_shard_is_refused_and_named(content, data, exported):
    path = exported.shards()[2]
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"cannot read the shard '.*part-00002\.parquet'"):
        again(data, exported.folder)
    assert path.read_bytes() == content
    path.unlink()
    assert again(data, exported.folder).complete


def test_no_flipped_bit_changes_what_is_read(exported):
    path, expected = exported.shards()[0], next(exported.tables())
    content, damaged = path.read_bytes(), 0
    for place in range(0, len(content), 41):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = next(exported.tables())
        except ExportError:
            damaged += 1
        else:  # a byte that says nothing of the values, such as a statistic
            assert found.equals(expected), f"byte {place}"
    assert damaged > 100


def test_a_flipped_bit_is_noticed_when_it_is_read(exported):
    path = exported.shards()[0]
    columns = pq.ParquetFile(path).metadata.row_group(0)
    sizes = [columns.column(number).total_compressed_size for number in range(columns.num_columns)]
    largest = columns.column(sizes.index(max(sizes)))  # values, where a bit counts
    content = bytearray(path.read_bytes())
    content[largest.data_page_offset + largest.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ExportError, match=r"part-00000\.parquet"):
        exported.write_jsonl()
    assert not (exported.folder / "explanations.jsonl").exists()


def test_files_of_somebody_else_are_left_alone(data, tmp_path):
    (tmp_path / "explanations").mkdir()
    mine = tmp_path / "explanations" / "mine.parquet"
    mine.write_text("mine")
    with pytest.raises(ExportError, match="before an export begins"):
        again(data, tmp_path)
    assert list(tmp_path.rglob("*.parquet")) == [mine]


def test_overwriting_removes_shards_and_nothing_else(data, exported):
    mine = exported.table / "mine.parquet"
    mine.write_text("mine")
    before = contents(exported.folder)
    with pytest.raises(ExportError, match=r"mine\.parquet"):
        stream_export(make_explainer(), data, exported.folder, overwrite=True, progress=False)
    assert contents(exported.folder) == before


def test_a_file_that_comes_in_between_is_named(data, exported):
    (exported.folder / "explanations" / "part-00003.parquet").write_text("")
    with pytest.raises(ExportError, match=r"only the 3 shards .* got 'part-00003\.parquet'"):
        again(data, exported.folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot read"),
        ("[]", "got another manifest.json"),
        ('{"format": "mine"}', "got another manifest.json"),
        ({"version": 2}, "please upgrade"),
        ({"version": "1"}, "please upgrade"),
        ({"num_nodes": 41}, "damaged"),
        ({"made_of": {}}, "damaged"),
        ({"shard_size": None}, "damaged"),
    ],
)
def test_manifests_that_cannot_be_used(content, message, data, exported):
    path = exported.folder / _manifest.MANIFEST
    text = json.dumps({**json.loads(path.read_text()), **content}) if isinstance(content, dict) else content
    path.write_text(text)
    with pytest.raises(ExportError, match=message):
        again(data, exported.folder)
    with pytest.raises(ExportError, match=message):
        open_export(exported.folder)
    assert path.read_text() == text


def test_what_is_no_export_cannot_be_opened(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ExportError, match=r"has no manifest\.json"):
            open_export(folder)


def test_an_export_that_is_not_complete_is_read_as_far_as_it_is(data, exported):
    exported.shards()[1].unlink()
    assert not exported.complete
    assert exported.dataset().to_table(columns=["node"])["node"].to_pylist() == [*range(16), *range(32, 40)]
    for read in (exported.write_jsonl, lambda: read_explanations(exported, make_explainer(), data)):
        with pytest.raises(ExportError, match="got 2 of 3 shards"):
            read()
    assert not (exported.folder / "explanations.jsonl").exists()


def test_reading_back_with_another_model_is_refused(data, exported):
    with pytest.raises(ExportError, match="differs in: model"):
        read_explanations(exported, make_explainer(seed=1), data)


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_file_in_place_of_the_folder(place, data, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr(_run, "explain_parts", lambda *_, **__: pytest.fail("work was done before"))
    with pytest.raises(OutputError, match=place):
        again(data, tmp_path / place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_that_may_not_be_written_to(data, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        again(data, tmp_path / "new")


def test_two_exports_to_one_folder_do_not_meet(data, exported):
    before = contents(exported.folder)
    with (
        FileLock(exported.folder / ".lock"),
        pytest.raises(OutputError, match="another export is being written"),
    ):
        stream_export(make_explainer(), data, exported.folder, overwrite=True, progress=False)
    assert contents(exported.folder) == before
    assert again(data, exported.folder).complete


def test_a_full_disk_says_so_and_what_is_finished_stays(data, tmp_path, monkeypatch):
    write, calls = pq.write_table, []

    def fail(table, path, **options):
        calls.append(path)
        if len(calls) < 3:
            return write(table, path, **options)
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(
        OutputError, match=r"part-00002\.parquet' \(No space left on device\); 2 of 3 shards are finished"
    ):
        again(data, tmp_path)
    assert sorted(path.name for path in (tmp_path / "explanations").iterdir()) == [
        "part-00000.parquet",
        "part-00001.parquet",
    ]
    monkeypatch.undo()
    assert again(data, tmp_path).complete


LIMITED = """
import resource, sys
import torch
from streamed_graphs import make_data, make_explainer
from gragr_explain.streaming import stream_export
resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, 12_000))
stream_export(make_explainer(), make_data(), sys.argv[1], shard_size=16, progress=False)
"""


def test_a_limit_of_the_system_is_an_error_like_others(tmp_path):
    """A file that grows too large, as a quota would have it."""
    run = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}", "OMP_NUM_THREADS": "1"},
    )
    last = run.stderr.splitlines()[-1]
    assert last.startswith("gragr_explain.errors.OutputError: cannot write")
    assert "part-00000.parquet" in last
    assert "File too large" in last
    assert list((tmp_path / "explanations").iterdir()) == []


def test_temporary_files_of_killed_processes_are_removed_and_others_stay(tmp_path):
    names = [".part-00000.parquet.0123abcd.tmp", ".part-00000.parquet.tmp", ".other.0123abcd.tmp", "part-00000.parquet"]
    for name in names:
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "part-*.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[1:])


def test_how_outputs_are_read_and_whether_features_are_explained_counts(data):
    explainer = make_explainer()
    before = _fingerprint.fingerprint(explainer, data)
    explainer.model_config.return_type = ModelReturnType.log_probs
    explainer.node_mask_type = None
    after = _fingerprint.fingerprint(explainer, data)
    assert [name for name in before if before[name] != after[name]] == ["return_type", "node_mask_type"]
