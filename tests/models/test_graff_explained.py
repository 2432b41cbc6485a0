"""GRAFF under GraGR, its recorder and the explainers: like any other model."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import (
    EdgeGradientExplainer,
    GradientContextExplainer,
    GradientRecorder,
    GraGR,
    GraGRPlusPlus,
    OcclusionExplainer,
    explain_many,
)
from gragr_explain.models import GRAFF, MIXINGS


def explainer_of(model, algorithm, nodes="attributes"):
    config = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}
    return Explainer(
        model, algorithm, explanation_type="model", node_mask_type=nodes, edge_mask_type="object", model_config=config
    )


def model_of(w="sum", layers=2, **more):
    torch.manual_seed(0)
    return GRAFF(5, 8, layers, 3, dropout=0.2, w=w, step_size=0.5, **more)


@pytest.mark.parametrize("w", MIXINGS)
@pytest.mark.parametrize("self_loops", [False, True])
def test_it_trains_under_gragr_and_is_explained(w, self_loops, graph):
    trained = GraGR(model_of(w, add_self_loops=self_loops)).fit(graph, epochs=5, progress=False)
    explanation = explainer_of(trained, GradientContextExplainer())(graph.x, graph.edge_index, index=1)
    assert explanation.psi_source == "self"
    assert explanation.edge_mask.max() == 1
    assert explanation.validate()
    reached = k_hop_subgraph(1, 2, graph.edge_index, num_nodes=10)[3]
    assert not explanation.edge_evidence[~reached].any()


def test_every_layer_is_recorded_and_counted(graph):
    model = model_of(layers=3)
    with GradientRecorder(model, graph) as history:
        F.cross_entropy(model(graph.x, graph.edge_index), graph.y).backward()
    assert history.field("training").shape == (10, 8)
    explanation = explainer_of(model, GradientContextExplainer())(graph.x, graph.edge_index, index=0)
    reached = k_hop_subgraph(0, 3, graph.edge_index, num_nodes=10)[3]
    assert explanation.edge_evidence[reached].any()


def test_the_plus_plus_trainer_takes_it(graph):
    trained = GraGRPlusPlus(model_of()).fit(graph, epochs=20, progress=False)
    assert trained(graph.x, graph.edge_index).shape == (10, 3)
    convs = trained.model.convs
    assert convs[0].mixing is convs[1].mixing
    for name, value in trained.model.state_dict().items():
        if name.startswith("convs.1."):
            assert torch.equal(value, trained.model.state_dict()[name.replace("convs.1.", "convs.0.")])


@pytest.mark.parametrize("self_loops", [False, True])
def test_an_edge_that_is_masked_is_an_edge_that_is_not_there(self_loops, graph):
    """The strongest edge, masked, changes the prediction; PyG takes the same mask for the same messages."""
    model = model_of(add_self_loops=self_loops).eval()
    explainer = explainer_of(model, OcclusionExplainer(), nodes=None)
    explanation = explainer(graph.x, graph.edge_index, index=1)
    mask = torch.ones(graph.num_edges)
    mask[int(explanation.edge_mask.argmax())] = 0
    without = explainer.get_masked_prediction(graph.x, graph.edge_index, edge_mask=mask)
    assert not torch.allclose(without[1], model(graph.x, graph.edge_index)[1])


@pytest.mark.parametrize("algorithm", [EdgeGradientExplainer, OcclusionExplainer, lambda: GNNExplainer(epochs=3)])
def test_other_explainers_take_it(algorithm, graph):
    explanation = explainer_of(model_of(), algorithm(), nodes=None)(graph.x, graph.edge_index, index=1)
    assert explanation.edge_mask.isfinite().all()
    assert explanation.edge_mask.any()


def test_many_nodes_are_explained_as_one_is(graph):
    trained = GraGR(model_of(beta=1.0)).fit(graph, epochs=5, progress=False)
    explainer = explainer_of(trained, GradientContextExplainer())
    found = explain_many(explainer, graph, list(range(10)), top_edges=graph.num_edges, progress=False)
    for row, node in enumerate(found.index.tolist()):
        one = explainer(graph.x, graph.edge_index, index=node)
        ends = [tuple(pair) for pair in graph.edge_index.t().tolist()]
        expected = dict(zip(ends, one.edge_mask.tolist(), strict=True))
        got = {(source, target): weight for source, target, weight in found.edges[row]}
        assert got == pytest.approx({pair: expected[pair] for pair in got}, abs=1e-4)


def test_edge_weights_are_explained_too(graph):
    model = model_of().eval()
    weight = torch.rand(graph.num_edges, generator=torch.Generator().manual_seed(1)) + 0.1
    explainer = explainer_of(model, GradientContextExplainer())
    explanation = explainer(graph.x, graph.edge_index, index=1, edge_weight=weight)
    assert explanation.edge_mask.max() == 1
