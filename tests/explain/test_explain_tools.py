"""PyG's own tools on our explanations."""

from __future__ import annotations

import pytest
import torch
from gnns import Net, explainer_for
from torch_geometric.explain import characterization_score, fidelity, fidelity_curve_auc, unfaithfulness
from torch_geometric.nn import GCN

from gragr_explain.explain._facts import supporting_nodes


@pytest.mark.parametrize("nodes", [None, "object", "common_attributes", "attributes"])
@pytest.mark.parametrize("kind", ["model", "phenomenon"])
def test_metrics(nodes, kind, gcn, graph):
    explainer = explainer_for(gcn, nodes=nodes, kind=kind)
    target = torch.arange(10) % 3 if kind == "phenomenon" else None
    explanation = explainer(graph.x, graph.edge_index, target=target, index=torch.tensor([0, 1, 7]))
    positive, negative = fidelity(explainer, explanation)
    assert 0 <= positive <= 1
    assert 0 <= negative <= 1
    assert 0 <= unfaithfulness(explainer, explanation) <= 1
    score = characterization_score(torch.tensor([positive]), torch.tensor([negative]))
    assert score.shape == (1,)
    if nodes in ("attributes", "common_attributes"):
        assert 0 <= unfaithfulness(explainer, explanation, top_k=2) <= 1


def test_metrics_over_thresholds(gcn, graph):
    explainer = explainer_for(gcn)
    explanation = explainer(graph.x, graph.edge_index, index=1)
    sizes = [2, 4, 8]
    scores = [fidelity(explainer, explanation.threshold("topk_hard", size)) for size in sizes]
    positive, negative = torch.tensor(scores).unbind(1)
    assert 0 <= fidelity_curve_auc(positive, negative, torch.tensor(sizes)) < torch.inf


@pytest.mark.parametrize("level", ["graph", "edge"])
def test_metrics_pass_the_extra_arguments_on(level, graph):
    torch.manual_seed(0)
    extra = {"batch": torch.tensor([0] * 6 + [1] * 4), "edge_label_index": torch.tensor([[0, 6], [2, 8]])}
    extra = {"batch": extra["batch"]} if level == "graph" else {"edge_label_index": extra["edge_label_index"]}
    explainer = explainer_for(Net("multiclass_classification", level, "raw"), level=level)
    explanation = explainer(graph.x, graph.edge_index, index=1, **extra)
    assert all(0 <= value <= 1 for value in fidelity(explainer, explanation))
    assert 0 <= unfaithfulness(explainer, explanation) <= 1


@pytest.mark.parametrize("threshold", [("hard", 0.5), ("topk", 3), ("topk_hard", 3), ("topk", 10_000)])
def test_thresholds(threshold, gcn, graph):
    soft = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    explanation = explainer_for(gcn, threshold_config=threshold)(graph.x, graph.edge_index, index=1)
    kind, value = threshold
    for name in ("edge_mask", "node_mask"):
        mask, before = explanation[name], soft[name]
        assert mask.shape == before.shape
        if kind == "hard":
            assert torch.equal(mask, (before > 0.5).float())
        elif value < mask.numel():
            assert int((mask > 0).sum()) <= 3 if kind == "topk" else int((mask == 1).sum()) == 3
        else:
            assert torch.equal(mask, before)
    assert torch.equal(explanation.edge_evidence, soft.edge_evidence)
    assert explanation.rationale == soft.rationale
    assert torch.equal(explanation.psi, soft.psi)
    assert explanation.validate()


def test_visualisation(gcn, graph, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    explanation.visualize_graph(str(tmp_path / "graph.png"), backend="networkx")
    explanation.visualize_feature_importance(str(tmp_path / "features.png"), feat_labels=["a", "b", "c"])
    for name in ("graph.png", "features.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_subgraphs(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    supports, rest = explanation.get_explanation_subgraph(), explanation.get_complement_subgraph()
    kept = explanation.node_mask.sum(-1) > 0
    assert supports.num_nodes == int(kept.sum())
    assert 0 < supports.num_edges < explanation.num_edges
    assert bool((supports.edge_mask > 0).all())
    assert not rest.edge_mask.any()
    assert torch.equal(supports.psi, explanation.psi[kept])
    assert torch.equal(supports.psi_valid, explanation.psi_valid[kept])
    assert torch.equal(supports.embedding, explanation.embedding[kept])
    assert supports.edge_evidence.numel() == supports.num_edges
    assert supports.rationale == rest.rationale == explanation.rationale
    assert supports.validate()


def test_subgraphs_where_there_are_as_many_texts_as_edges():
    torch.manual_seed(0)
    x = torch.randn(6, 3)
    ring = torch.stack([torch.arange(6), (torch.arange(6) + 1) % 6])
    explanation = explainer_for(GCN(3, 8, num_layers=2, out_channels=2))(x, ring)
    assert len(explanation.rationale) == explanation.num_edges == explanation.num_nodes
    kept = explanation.node_mask.sum(-1) > 0
    subgraph = explanation.get_explanation_subgraph()
    assert subgraph.num_nodes == int(kept.sum())
    assert subgraph.rationale == [text for text, keep in zip(explanation.rationale, kept, strict=True) if keep]


@pytest.mark.parametrize("nodes", [None, "object"])
def test_subgraphs_by_edges_or_nodes_alone(nodes, gcn, graph):
    explanation = explainer_for(gcn, nodes=nodes)(graph.x, graph.edge_index, index=1)
    assert explanation.get_explanation_subgraph().num_edges <= int((explanation.edge_mask > 0).sum())
    only_nodes = explainer_for(gcn, nodes="object", edges=None)(graph.x, graph.edge_index, index=1)
    assert only_nodes.get_explanation_subgraph().num_nodes == int((only_nodes.node_mask > 0).sum())


def test_available_explanations(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=1)
    assert {"node_mask", "edge_mask"} <= set(explanation.available_explanations)
    assert set(explanation.available_explanations) <= {"node_mask", "edge_mask"}


def test_the_strongest_connection_is_named_whichever_way_it_goes():
    assert supporting_nodes([(7, 3, 1.0), (2, 7, 0.9), (3, 2, 0.8), (7, 7, 0.7)], 7) == [(3, 1.0), (2, 0.9)]
    assert supporting_nodes([(7, 3, 1.0), (7, 7, 0.7)], None) == [(7, 1.0)]
