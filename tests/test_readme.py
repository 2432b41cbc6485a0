"""The Python of the README runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN, global_add_pool
from torch_geometric.utils import barabasi_albert_graph

from gragr_explain import GradientContextExplainer, GraGR

README = Path(__file__).parent.parent / "README.md"


def graph() -> Data:
    torch.manual_seed(0)
    y = torch.arange(60) % 3
    data = Data(x=torch.randn(60, 8), edge_index=barabasi_albert_graph(60, 2), y=y)
    data.x[:, :3] += torch.nn.functional.one_hot(y, 3)
    data.train_mask, data.val_mask = torch.arange(60) < 40, torch.arange(60) >= 40
    return data


def test_the_five_lines_of_the_readme():
    code = re.search(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert code is not None, "README.md has no block of Python"
    data = graph()
    names = {"data": data, "model": GCN(8, 16, num_layers=2, out_channels=3)}

    exec(compile(code[1], str(README), "exec"), names)

    explanation = names["explanation"]
    assert explanation.psi_source == "self"
    assert explanation.psi.shape == (60, 6)
    assert explanation.edge_mask.shape == (data.num_edges,)
    assert explanation.rationale


def test_every_part_of_gragr_plus_plus_in_the_readme():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "GraGRPlusPlus" in block]
    names = {"data": graph(), "new_model": lambda: GCN(8, 16, num_layers=2, out_channels=3)}

    exec(compile(code, str(README), "exec"), names)

    assert names["robust"].loss_weights.shape == (40,)
    assert 0 <= float(names["careful"].pathway.beta) <= 1


def test_what_to_do_where_a_model_cannot_be_trusted():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "audit" in block]
    data = graph()
    names = {"data": data, "trained": GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(data, 20, progress=False)}

    exec(compile(code, str(README), "exec"), names)

    assert len(names["found"].labels) == 40
    assert names["done"].success


def test_flows_and_prototypes():
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "condense" in block]
    data = graph()
    names = {"data": data, "GraGR": GraGR}

    exec(compile(code, str(README), "exec"), names)

    assert names["flow"].history.num_steps
    assert 3 <= names["small"].num_nodes < 10


def test_models_of_graphs(tmp_path, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (code,) = [block for block in blocks if "graphs" in block]
    monkeypatch.chdir(tmp_path)
    edges = barabasi_albert_graph(9, 2)
    explainer = Explainer(
        Pooled(), GradientContextExplainer(), explanation_type="model", edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "graph", "return_type": "raw"},
    )  # fmt: skip
    names = {"explainer": explainer, "graphs": [Data(x=torch.rand(9, 4), edge_index=edges) for _ in range(3)]}

    exec(compile("from gragr_explain import explain_many, export\n" + code, str(README), "exec"), names)

    assert {path.name for path in Path("out").iterdir()} == {
        "explanations.parquet",
        "explanations.jsonl",
        "report.html",
    }


class Pooled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gnn = GCN(4, 8, num_layers=2, out_channels=2)

    def forward(self, x, edge_index, batch=None):
        return global_add_pool(self.gnn(x, edge_index), batch)
