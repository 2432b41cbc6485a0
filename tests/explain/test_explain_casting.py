"""Models that change precision on the way, and copies in half precision."""

from __future__ import annotations

import copy

import pytest
import torch
from gnns import explainer_for
from torch import nn
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GCNConv

from gragr_explain import EdgeGradientExplainer, GradientContextExplainer, OcclusionExplainer, explain_many, influences
from gragr_explain.messages import masked_output


class Casting(nn.Module):
    """Computes in a precision of its own, whatever it is given."""

    def __init__(self, inside: torch.dtype, outside: torch.dtype | None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.gnn, self.inside, self.outside = GCN(3, 8, 2, 3).to(inside), inside, outside

    def forward(self, x, edge_index):
        output = self.gnn(x.to(self.inside), edge_index)
        return output if self.outside is None else output.to(self.outside)


ALGORITHMS = {
    "ours": GradientContextExplainer,
    "edge gradients": EdgeGradientExplainer,
    "layerwise": lambda: EdgeGradientExplainer(level="layer"),
    "occlusion": lambda: OcclusionExplainer(progress=False),
}


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize(
    ("given", "inside", "outside"),
    [
        (torch.double, torch.float, None),
        (torch.float, torch.double, None),
        (torch.float, torch.double, torch.float),
        (torch.float, torch.bfloat16, torch.float),
    ],
)
def test_a_model_may_change_precision(given, inside, outside, algorithm, graph):
    model, x = Casting(inside, outside).eval(), graph.x.to(given)
    nodes = None if algorithm != "ours" else "attributes"
    found = explainer_for(model, ALGORITHMS[algorithm](), nodes=nodes)(x, graph.edge_index, index=1)
    same = copy.deepcopy(model.gnn).double()
    wanted = explainer_for(same, ALGORITHMS[algorithm](), nodes=nodes)(graph.x.double(), graph.edge_index, index=1)
    masks = [explanation.edge_evidence.double() for explanation in (found, wanted)]
    torch.testing.assert_close(*masks, rtol=0, atol=0.1 if inside == torch.bfloat16 else 1e-5)
    if algorithm == "ours":
        data = Data(x=x, edge_index=graph.edge_index)
        assert len(explain_many(explainer_for(model), data, progress=False)) == 10


def test_influences_of_a_model_that_changes_precision(graph):
    data = Data(x=graph.x, edge_index=graph.edge_index, y=torch.arange(10) % 3, train_mask=torch.arange(10) < 8)
    found = [influences(Casting(torch.float, outside), data, 1).scores.double() for outside in (None, torch.double)]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-6)


class Mixing(nn.Module):
    """Reads the mean over all nodes, so that copies of a part are not what the whole is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = GCNConv(3, 8), GCNConv(8, 3)

    def forward(self, x, edge_index):
        h = self.first(x, edge_index).relu()
        return self.second(h, edge_index) + 3 * (h.mean(0)[:3] - h.mean(0)[3:6])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_in_half_precision_nodes_that_are_mixed_are_noticed(dtype, graph):
    model, x = Mixing().eval().to(dtype), graph.x.to(dtype)
    found = explainer_for(model, OcclusionExplainer(progress=False), nodes=None)(x, graph.edge_index, index=5)
    full, ones = copy.deepcopy(model).float(), torch.ones(graph.num_edges)
    target = int(model(x, graph.edge_index)[5].argmax())

    def likelihood(mask):
        with torch.no_grad():
            return masked_output(full, mask, x.float(), graph.edge_index)[5].log_softmax(-1)[target]

    wanted = torch.stack([likelihood(ones) - likelihood(ones - row) for row in torch.eye(graph.num_edges)])
    error = float((found.edge_evidence.float() - wanted).abs().max())
    assert error < 0.25 * float(wanted.abs().max())
    assert float(wanted.abs().max()) > 0.05
