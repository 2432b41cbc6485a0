"""Models in half precision are explained; where gradients cannot be taken, or numbers are none, it is said."""

from __future__ import annotations

import pytest
import torch
from gnns import explainer_for
from torch_geometric.data import Data
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE

from gragr_explain import GraGR, edit, explain_many, influences
from gragr_explain.errors import InvalidArgumentError, InvalidGraphError, UnsupportedModelError


@pytest.fixture
def data(graph):
    return Data(x=graph.x, edge_index=graph.edge_index, y=torch.arange(10) % 3, train_mask=torch.arange(10) < 8)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("gnn", [GCN, GAT, GIN, GraphSAGE])
def test_half_precision(gnn, dtype, data):
    torch.manual_seed(0)
    full = gnn(data.x.size(1), 8, 2, 3).eval()
    wanted = explainer_for(full)(data.x, data.edge_index, index=1)
    model, data.x = full.to(dtype), data.x.to(dtype)
    explainer = explainer_for(model)
    found = explainer(data.x, data.edge_index, index=1)
    assert found.edge_mask.dtype == found.node_mask.dtype == dtype
    assert found.psi.dtype == torch.float32
    assert bool(found.psi.isfinite().all())
    torch.testing.assert_close(found.psi[found.psi_valid], wanted.psi[found.psi_valid], rtol=0.2, atol=0.1)
    assert set(found.edge_mask.nonzero().view(-1).tolist()) & set(wanted.edge_mask.nonzero().view(-1).tolist())
    many = explain_many(explainer, data, progress=False)
    assert bool(many.confidence.isfinite().all())
    with pytest.raises(UnsupportedModelError, match=f"single or double precision, got {dtype}"):
        influences(model, data, 1)


def test_no_gradients_in_inference_mode(gcn, data):
    explainer = explainer_for(gcn)
    with torch.inference_mode():
        for ask in (
            lambda: explainer(data.x, data.edge_index, index=1),
            lambda: explain_many(explainer, data, progress=False),
            lambda: influences(gcn, data, 1),
            lambda: edit(gcn, data, 1, 0, num_subsets=1),
            lambda: GraGR(gcn).fit(data, epochs=2, progress=False),
        ):
            with pytest.raises(InvalidArgumentError, match=r"outside of torch\.inference_mode\(\)"):
                ask()
    with torch.no_grad():
        explainer(data.x, data.edge_index, index=1)
        explain_many(explainer, data, progress=False)


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_numbers_that_are_none(number, gcn, data):
    data.edge_weight = torch.ones(data.num_edges)
    data.edge_weight[3] = number
    explainer = explainer_for(gcn)
    for ask in (
        lambda: explainer(data.x, data.edge_index, index=1, edge_weight=data.edge_weight),
        lambda: explain_many(explainer, data, progress=False),
    ):
        with pytest.raises(InvalidGraphError, match="finite edge_weight, got NaN or infinite values in row 3"):
            ask()
