"""The whole path on every device there is: train, explain, ask on, correct; where there is no GPU, on the CPU alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GCN, global_mean_pool

from gragr_explain import GradientContextExplainer, GradientRecorder, GraGR, edit, explain_many, influences
from gragr_explain.audit import audit
from gragr_explain.checkpoint import build_model, load_checkpoint, save_checkpoint
from gragr_explain.condensation import condense, load_condensed, prototypes, save_condensed
from gragr_explain.report import export

GPU = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU"))
pytestmark = pytest.mark.parametrize("device", ["cpu", GPU])


def make_data() -> Data:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    ends = torch.randint(30, (2, 120), generator=generator) * 2 + torch.arange(120) % 2  # ends are of one class
    x = torch.rand(60, 6, generator=generator) + nn.functional.one_hot(y, 6)
    data = Data(x=x, edge_index=torch.cat([ends, ends.flip(0)], dim=1), y=y)
    data.train_mask = torch.arange(60) < 40
    data.val_mask = ~data.train_mask
    return data


def explainer_for(model: nn.Module, level: str) -> Explainer:
    return Explainer(
        model=model,
        algorithm=GradientContextExplainer(),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": level, "return_type": "raw"},
    )


def test_a_saved_model_is_explained_audited_and_corrected(device, tmp_path):
    data = make_data()
    torch.manual_seed(0)
    trained = GraGR(build_model("GCN", 6, 2, hidden_channels=8)).fit(data, epochs=10, progress=False)
    save_checkpoint(trained, tmp_path / "model", dataset="mine")
    model, data = load_checkpoint(tmp_path / "model").trained.to(device), data.to(device)
    explainer = explainer_for(model, "node")
    explanation = explainer(data.x, data.edge_index, index=3)
    assert explanation.edge_mask.device.type == device
    explanations = explain_many(explainer, data, progress=False)
    assert explanations._repr_html_()
    assert explanation._repr_html_()
    behind = influences(model, data, [3])
    export(explanations, tmp_path / "page", data=data, history=model.history, influences=behind)
    assert len(audit(model, data, epochs=2, progress=False).labels) == 40
    before = model(data.x, data.edge_index)
    done = edit(model, data, 3, 1 - int(before[3].argmax()))
    done.undo()
    assert torch.equal(model(data.x, data.edge_index), before)


def test_an_edit_is_undone_where_the_model_was_moved(device):
    data = make_data().to(device)
    torch.manual_seed(0)
    model = GCN(6, 8, 2, 2).to(device).eval()
    before = model(data.x, data.edge_index).detach().cpu()
    done = edit(model, data, 3, 1 - int(before[3].argmax()))
    model.cpu()
    done.undo()
    assert torch.allclose(model(data.x.cpu(), data.edge_index.cpu()), before, atol=1e-5)


def test_a_graph_is_moved_after_the_recorder_was_made(device):
    data = make_data()
    torch.manual_seed(0)
    model = GCN(6, 8, 2, 2)
    recorder = GradientRecorder(model, data)
    model.to(device)
    data.to(device)
    with recorder as history:
        for _ in range(3):
            output = model(data.x, data.edge_index)
            nn.functional.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
    assert history.num_steps == 3
    assert history.field("self").device.type == device


def test_graphs_show_themselves(device):
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gnn, self.head = GCN(6, 8, 2), nn.Linear(8, 2)

        def forward(self, x, edge_index, batch=None):
            return self.head(global_mean_pool(self.gnn(x, edge_index), batch))

    graphs = [make_data().to(device) for _ in range(3)]
    for number, graph in enumerate(graphs):
        graph.y = torch.tensor([number % 2], device=device)
    explanations = explain_many(explainer_for(Pooled().to(device), "graph"), graphs, progress=False)
    assert explanations._repr_html_()
    assert explanations.index.device == explanations.label.device == explanations.prediction.device


def test_condensed_graphs_are_read_and_compared(device, tmp_path):
    data = make_data().to(device)
    save_condensed(condense(data, 0.2, epochs=2, progress=False), tmp_path)
    assert int(prototypes(load_condensed(tmp_path), data).stands_for.sum()) == data.num_nodes
