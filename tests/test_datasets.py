"""Data sets: by name from a local copy or by download, handwritten digits, and files."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch_geometric.data import Data
from torch_geometric.datasets import Planetoid, WebKB
from torch_geometric.utils import homophily, is_undirected

from gragr_explain.datasets import DATASETS, load_dataset
from gragr_explain.errors import DatasetError, InvalidArgumentError, InvalidTypeError

MASKS = ("train_mask", "val_mask", "test_mask")
real_data = pytest.mark.skipif(
    not os.environ.get("GRAGR_DATA"), reason="the environment variable GRAGR_DATA names no folder with real data"
)


def sizes(data: Data) -> list[int]:
    return [int(data[name].sum()) for name in MASKS]


def files(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture
def no_copies(monkeypatch, tmp_path):
    """No local copy, an empty cache, and a network in which nobody answers."""
    monkeypatch.delenv("GRAGR_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for dataset in (Planetoid, WebKB):
        monkeypatch.setattr(dataset, "url", "http://127.0.0.1:9")
    return tmp_path / "cache" / "gragr-explain"


def write_texas(raw: Path) -> None:
    """A web graph of four pages, in the files that PyG's Texas consists of."""
    raw.mkdir(parents=True)
    lines = ["id\tfeature\tlabel", "0\t1,0\t0", "1\t0,1\t0", "2\t1,1\t1", "3\t0,0\t1", ""]
    (raw / "out1_node_feature_label.txt").write_text("\n".join(lines))
    (raw / "out1_graph_edges.txt").write_text("from\tto\n0\t1\n1\t2\n2\t3\n")
    for split in range(10):
        masks = {name: np.arange(4) == (split + place) % 4 for place, name in enumerate(MASKS)}
        np.savez(raw / f"texas_split_0.6_0.2_{split}.npz", **masks)


@real_data
@pytest.mark.parametrize(
    ("name", "nodes", "split", "classes"),
    [
        ("Cora", 2708, [1208, 500, 1000], {"Neural networks": 818, "Theory": 351, "Rule learning": 180}),
        ("cora-PUBLIC", 2708, [140, 500, 1000], {"Case-based reasoning": 298, "Reinforcement learning": 217}),
        ("CiteSeer", 3327, [1827, 500, 1000], {"Databases": 701, "Agents": 596, "Machine learning": 590}),
    ],
)
def test_citation_graphs_have_the_papers_split_and_true_class_names(name, nodes, split, classes):
    dataset = load_dataset(name)
    assert dataset.name.lower() == name.lower()
    assert dataset.data.num_nodes == nodes
    assert sizes(dataset.data) == split
    counts = dict(zip(dataset.class_names, dataset.data.y.bincount().tolist(), strict=True))
    assert {known: counts[known] for known in classes} == classes
    assert len(dataset.feature_names) == dataset.data.num_features


@real_data
def test_nothing_is_written_beside_a_local_copy():
    root = Path(os.environ["GRAGR_DATA"])
    before = files(root)
    first, second = load_dataset("texas", split=0).data, load_dataset("Texas", split=9).data
    assert files(root) == before
    assert sizes(first) == [87, 59, 37]
    assert not torch.equal(first.train_mask, second.train_mask)
    assert torch.equal(first.x, second.x)


def test_a_data_set_is_downloaded_once_into_the_cache(no_copies, monkeypatch):
    downloads = []

    def download(self):
        downloads.append(self.name)
        Path(self.raw_dir).rmdir()
        write_texas(Path(self.raw_dir))

    monkeypatch.setattr(WebKB, "download", download)
    for split in range(2):
        dataset = load_dataset("Texas", split=split)
        assert dataset.data.train_mask.nonzero().view(-1).tolist() == [split]
        assert dataset.class_names == ("class 0", "class 1")
    assert downloads == ["texas"]
    assert {path.name for path in no_copies.iterdir()} == {"WebKB"}
    assert not list(no_copies.rglob("processed"))


@pytest.mark.parametrize("name", ["PubMed", "Wisconsin"])
def test_no_network_is_one_clear_line_and_leaves_nothing_half_downloaded(no_copies, name):
    with pytest.raises(DatasetError, match=rf"cannot download {name} .*GRAGR_DATA name the folder"):
        load_dataset(name)
    assert list(no_copies.iterdir()) == []


def test_a_damaged_copy_is_named(tmp_path):
    raw = tmp_path / "WebKB" / "texas" / "raw"
    write_texas(raw)
    assert load_dataset("Texas", tmp_path).data.num_edges == 3
    (raw / "out1_graph_edges.txt").write_text("from\tto\n0\tx\n")
    with pytest.raises(DatasetError, match=r"cannot read Texas from .*WebKB"):
        load_dataset("Texas", tmp_path)


def test_an_unknown_name_gets_the_known_ones_and_the_closest():
    with pytest.raises(DatasetError, match=r"unknown data set 'citeser'.*did you mean CiteSeer") as caught:
        load_dataset("citeser")
    assert all(name in str(caught.value) for name in DATASETS)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"name": 7}, InvalidTypeError),
        ({"name": "digits", "split": 0.5}, InvalidTypeError),
        ({"name": "digits", "split": -1}, InvalidArgumentError),
    ],
)
def test_wrong_arguments(arguments, error):
    with pytest.raises(error, match="expected"):
        load_dataset(**arguments)


def test_a_split_that_does_not_exist(tmp_path):
    write_texas(tmp_path / "WebKB" / "texas" / "raw")
    with pytest.raises(InvalidArgumentError, match=r"expected a split in \[0, 9\] of this data set, got 10"):
        load_dataset("Texas", tmp_path, split=10)


def test_digits_are_a_graph_of_similar_pictures():
    dataset = load_dataset("digits")
    data = dataset.data
    assert data.x.shape == (1797, 64)
    assert (data.x.min(), data.x.max()) == (0, 1)
    assert is_undirected(data.edge_index)
    assert not data.has_self_loops()
    assert int(data.edge_index[1].bincount().min()) >= 10
    assert homophily(data.edge_index, data.y) > 0.9
    assert dataset.class_names == tuple("0123456789")
    assert dataset.feature_names[12] == "pixel (1, 4)"
    assert dataset.image_shape == (8, 8)


def test_digits_are_split_the_same_every_time_and_by_class():
    first, again, other = (load_dataset("digits", split=split).data for split in (0, 0, 1))
    assert torch.equal(first.train_mask, again.train_mask)
    assert not torch.equal(first.train_mask, other.train_mask)
    assert torch.equal(first.train_mask.int() + first.val_mask.int() + first.test_mask.int(), torch.ones(1797).int())
    share = first.y[first.train_mask].bincount() / first.y.bincount()
    assert torch.allclose(share, torch.tensor(0.6), atol=0.01)


def small_graph(**more) -> Data:
    edge_index = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    return Data(x=torch.rand(10, 3), edge_index=edge_index, y=torch.arange(10) % 2, **more)


def test_a_saved_data_file(tmp_path):
    masks = {name: torch.arange(10) % 3 == place for place, name in enumerate(MASKS)}
    graph = small_graph(edge_weight=torch.rand(4), class_names=["cat", "dog"], **masks)
    torch.save(graph, tmp_path / "graph.pt")
    dataset = load_dataset(tmp_path / "graph.pt")
    for key in ("x", "edge_index", "y", "edge_weight", *MASKS):
        assert torch.equal(dataset.data[key], graph[key])
    assert dataset.class_names == ("cat", "dog")
    assert dataset.feature_names is None
    assert load_dataset(dataset.name).data.num_nodes == 10


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.int64, torch.bool])
def test_numbers_of_any_type_are_read_as_those_of_models(tmp_path, dtype):
    graph = small_graph(edge_weight=torch.rand(4, dtype=torch.float64))
    graph.x = (10 * graph.x).to(dtype)
    torch.save(graph, tmp_path / "graph.pt")
    data = load_dataset(tmp_path / "graph.pt").data
    assert data.x.dtype == data.edge_weight.dtype == torch.float32
    torch.testing.assert_close(data.x, graph.x.float())
    assert data.y.dtype == torch.int64


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_file_of_tensors_without_masks_gets_them_drawn(tmp_path, suffix):
    path = tmp_path / f"graph{suffix}"
    tensors = small_graph().to_dict()
    if suffix == ".pt":
        torch.save(tensors, path)
    else:
        save_file(tensors, path)
    first, second = load_dataset(str(path)), load_dataset(str(path))
    assert sizes(first.data) == [6, 2, 2]
    assert all(torch.equal(first.data[name], second.data[name]) for name in MASKS)
    assert first.class_names == ("class 0", "class 1")


class Trap:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, 2))])
def test_a_pickled_object_is_refused_and_never_run(tmp_path, write):
    path, sprung = tmp_path / "graph.pt", tmp_path / "sprung"
    write(Trap(sprung), path)
    with pytest.raises(DatasetError, match="holds Python objects, which are never run"):
        load_dataset(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"x": torch.rand(3, 1), "y": torch.zeros(3).long()}, "expected tensors x, edge_index and y"),
        (torch.rand(3), "expected a Data or a dictionary of tensors.*got Tensor"),
        (small_graph(train_mask=torch.ones(10).bool()), "or none of them, got no val_mask, test_mask"),
        (
            small_graph(**dict.fromkeys(MASKS, torch.ones(10).bool()) | {"test_mask": torch.ones(5).bool()}),
            r"test_mask .* as a boolean tensor of shape \[10\], got torch.bool \[5\]",
        ),
        (small_graph(**dict.fromkeys(MASKS, torch.arange(10))), "got torch.int64"),
        (small_graph(**dict.fromkeys(MASKS, [True] * 10)), "got list"),
        (small_graph(class_names=["cat"]), "expected class_names .* as 2 strings"),
        ({**small_graph().to_dict(), "y": torch.rand(10)}, "expected a class id per node as y.*float32"),
    ],
)
def test_a_file_of_something_else(tmp_path, content, message):
    torch.save(content, tmp_path / "graph.pt")
    with pytest.raises(DatasetError, match=message):
        load_dataset(tmp_path / "graph.pt")


@pytest.mark.parametrize("content", [b"PK\x03\x04 half a file", b"junk in a file", b"", b"i", b"\x80\x02."])
@pytest.mark.parametrize(("name", "writer"), [("graph.pt", "torch.save"), ("graph.safetensors", "safetensors")])
def test_a_damaged_or_missing_file(tmp_path, name, writer, content):
    with pytest.raises(DatasetError, match="there is no file"):
        load_dataset(tmp_path / name)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError, match=name) as caught:
        load_dataset(tmp_path / name)
    assert f"that {writer} has written" in str(caught.value) or "never run" in str(caught.value)
