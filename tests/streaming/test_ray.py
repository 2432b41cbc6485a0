"""The export on a local Ray cluster, whose workers die."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest
import torch
from ray_jobs import Load
from streamed_graphs import make_data, make_explainer

import gragr_explain
from gragr_explain.errors import ExportError, InvalidArgumentError, OutputError
from gragr_explain.streaming import _ray, export_on_ray, stream_export

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the package ray is not installed")
SHARDS = {"shard_size": 5, "progress": False}


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two processes on this machine."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    paths = [str(Path(__file__).parent), str(Path(gragr_explain.__file__).parents[1])]
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=80 * 2**20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(paths)}},
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The same export from one process of one thread: the shards' names and bytes."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    export = stream_export(make_explainer(), make_data(), tmp_path_factory.mktemp("whole"), **SHARDS)
    torch.set_num_threads(threads)
    return {shard.name: shard.read_bytes() for shard in export.shards()}


def on_ray(folder, load, workers=2, **options):
    return export_on_ray(make_explainer(), make_data(), folder, load=load, workers=workers, **SHARDS, **options)


@needs_ray
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:1", "ray://127.0.0.1:1", "ray://127.0.0.1:port"])
def test_a_cluster_that_is_not_there(tmp_path, address):
    began = time.monotonic()
    with pytest.raises(ExportError, match="cannot reach Ray"):
        on_ray(tmp_path, Load(tmp_path), address=address)
    assert time.monotonic() - began < 60, "Ray itself would wait for minutes"


@needs_ray
def test_a_worker_that_is_killed_is_replaced(cluster, whole, tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    export = on_ray(tmp_path / "out", Load(notes, kill="part-00002"))
    assert {shard.name: shard.read_bytes() for shard in export.shards()} == whole
    killed = [path.name.removeprefix("killed-") for path in notes.glob("killed-*")]
    loaded = {path.name.removeprefix("loaded-") for path in notes.glob("loaded-*")}
    assert len(killed) == 1, "no worker was killed"
    assert set(killed) <= loaded
    assert len(loaded) >= 3, "the dead worker was not replaced"
    assert str(os.getpid()) not in loaded, "shards were not written by workers"


@needs_ray
def test_one_process_goes_on_where_workers_stopped_and_they_where_it_stopped(cluster, whole, tmp_path):
    with pytest.raises(
        OutputError, match=r"part-00005\.parquet' \(No space left on device\); \d of 8 shards are finished"
    ):
        on_ray(tmp_path, Load(tmp_path, full="part-00005"), workers=1)
    export = stream_export(make_explainer(), make_data(), tmp_path, **SHARDS)
    assert {shard.name: shard.read_bytes() for shard in export.shards()} == whole
    for shard in (0, 3, 4):
        export.shards()[0 if shard == 0 else shard - 1].unlink()
    export = on_ray(tmp_path, Load(tmp_path), workers=1)
    assert {shard.name: shard.read_bytes() for shard in export.shards()} == whole
    assert not list((tmp_path / "explanations").glob(".*")), "temporary files are left"


@needs_ray
def test_an_export_whose_workers_always_die_is_given_up(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(_ray, "_MOST_DEATHS", 0)
    with pytest.raises(ExportError, match="one worker after another has died"):
        on_ray(tmp_path, Load(tmp_path, kill="part-00000", always=True), workers=1)
    assert len(list(tmp_path.glob("killed-*"))) == 1
    assert not (tmp_path / "explanations" / "part-00000.parquet").exists()


@needs_ray
def test_workers_that_have_loaded_something_else_write_nothing(cluster, tmp_path):
    with pytest.raises(ExportError, match="another model, graph or settings"):
        on_ray(tmp_path, Load(tmp_path, seed=1), workers=1)
    assert not list((tmp_path / "explanations").iterdir())


def test_no_worker_is_a_mistake(tmp_path):
    with pytest.raises(InvalidArgumentError, match="got 0"):
        on_ray(tmp_path / "new", Load(tmp_path), workers=0)
    assert not (tmp_path / "new").exists()


def test_without_ray_it_is_said_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ExportError, match=r"pip install 'gragr-explain\[ray\]'"):
        on_ray(tmp_path, Load(tmp_path))
