"""Every setting of PyG's ``Explainer``."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from gnns import Net, explainer_for
from torch_geometric.explain import Explanation
from torch_geometric.explain.config import ModelConfig
from torch_geometric.utils import k_hop_subgraph

from gragr_explain import GradientContextExplainer
from gragr_explain.errors import InvalidArgumentError

MODES = [
    ("multiclass_classification", "raw"),
    ("multiclass_classification", "log_probs"),
    ("multiclass_classification", "probs"),
    ("binary_classification", "raw"),
    ("binary_classification", "probs"),
    ("regression", "raw"),
]
MASKS = [pair for pair in product([None, "object", "common_attributes", "attributes"], [None, "object"]) if any(pair)]
WIDTH = {"object": (10, 1), "common_attributes": (1, 3), "attributes": (10, 3)}


def arguments_of(level: str) -> tuple[dict[str, torch.Tensor], int]:
    if level == "graph":
        return {"batch": torch.tensor([0] * 6 + [1] * 3 + [2])}, 3
    if level == "edge":
        return {"edge_label_index": torch.tensor([[0, 6, 3, 9], [2, 8, 1, 9]])}, 4
    return {}, 10


def computation_graph(level, chosen, arguments, graph) -> tuple[torch.Tensor, torch.Tensor]:
    """Which nodes and edges can matter for the chosen outputs."""
    if level == "node":
        ends = chosen
    elif level == "edge":
        ends = arguments["edge_label_index"][:, chosen].reshape(-1)
    else:
        ends = torch.isin(arguments["batch"], chosen).nonzero().view(-1)
    nodes, _, _, edges = k_hop_subgraph(ends, 2, graph.edge_index, num_nodes=10)
    inside = torch.zeros(10, dtype=torch.bool)
    inside[nodes] = True
    return inside, edges


@pytest.mark.parametrize("kind", ["model", "phenomenon"])
@pytest.mark.parametrize("level", ["node", "edge", "graph"])
@pytest.mark.parametrize(("mode", "returns"), MODES)
def test_every_setting(mode, returns, level, kind, graph):
    torch.manual_seed(2)
    model = Net(mode, level, returns).train()
    arguments, num_outputs = arguments_of(level)
    arguments["edge_weight"] = torch.rand(graph.num_edges, generator=torch.Generator().manual_seed(3))
    target = None
    if kind == "phenomenon":
        target = torch.arange(num_outputs) % (4 if mode.startswith("multi") else 2)
        target = target.float().view(-1, 1) if mode == "regression" else target
    algorithm = GradientContextExplainer()
    config = ModelConfig(mode, level, returns)
    some_evidence = False
    for (nodes, edges), index in product(MASKS, [None, 1, torch.tensor(2), torch.tensor([0, 2])]):
        explainer = explainer_for(model, algorithm, kind=kind, nodes=nodes, edges=edges)
        explainer.model_config = config
        algorithm.connect(algorithm.explainer_config, config)
        explanation = explainer(graph.x, graph.edge_index, target=target, index=index, **arguments)

        assert isinstance(explanation, Explanation)
        assert explanation.validate()
        assert model.training
        chosen = torch.arange(num_outputs) if index is None else torch.as_tensor(index).view(-1)
        inside, edges_inside = computation_graph(level, chosen, arguments, graph)
        assert ("node_mask" in explanation) == (nodes is not None)
        assert ("edge_mask" in explanation) == (edges is not None)
        if nodes is not None:
            mask = explanation.node_mask
            assert mask.shape == WIDTH[nodes]
            assert bool((mask >= 0).all())
            assert bool((mask <= 1).all())
            assert nodes == "common_attributes" or not mask[~inside].any()
        if edges is not None:
            mask = explanation.edge_mask
            assert mask.shape == (graph.num_edges,)
            assert bool((mask >= 0).all())
            assert bool((mask <= 1).all())
            assert not mask[~edges_inside].any()
            assert not explanation.edge_evidence[~edges_inside].any()
            some_evidence |= bool(mask.max() == 1)
        assert explanation.psi.shape == explanation.psi_valid.shape == (10, 6)
        assert bool(explanation.psi.isfinite().all())
        assert explanation.psi_valid.dtype == torch.bool
        assert explanation.psi_source == "post hoc"
        assert explanation.embedding.shape == (10, 16)
        assert bool(explanation.embedding.isfinite().all())
        assert ("prediction" in explanation) == (kind == "model")  # PyG keeps none for a phenomenon
        texts = [explanation.rationale] if chosen.numel() == 1 else explanation.rationale
        links = arguments.get("edge_label_index")
        subjects = [
            f"{level.capitalize()} {v}" if links is None else f"Link {links[0, v]}-{links[1, v]}" for v in chosen
        ]
        assert [text.split(" is predicted")[0] for text in texts] == subjects
        assert all(explanation[name] is value for name, value in arguments.items())
    assert some_evidence


@pytest.mark.parametrize(
    "index",
    [4, torch.tensor(4), torch.tensor([4]), torch.arange(10) == 4, torch.tensor([4], dtype=torch.int32)],
    ids=["int", "0-d", "1-d", "mask", "int32"],
)
def test_forms_of_the_same_index(index, gcn, graph):
    explainer = explainer_for(gcn)
    expected = explainer(graph.x, graph.edge_index, index=4)
    got = explainer(graph.x, graph.edge_index, index=index)
    assert torch.equal(got.edge_mask, expected.edge_mask)
    assert torch.equal(got.node_mask, expected.node_mask)
    assert got.rationale == expected.rationale


def test_evidence_of_several_outputs_is_the_sum_of_each(gcn, graph):
    explainer = explainer_for(gcn)
    both = explainer(graph.x, graph.edge_index, index=torch.tensor([1, 7]))
    each = [explainer(graph.x, graph.edge_index, index=v) for v in (1, 7)]
    torch.testing.assert_close(both.edge_evidence, each[0].edge_evidence + each[1].edge_evidence)
    torch.testing.assert_close(both.node_evidence, each[0].node_evidence + each[1].node_evidence)
    assert len(both.rationale) == 2


def test_explaining_nothing(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=torch.tensor([], dtype=torch.long))
    assert not explanation.edge_mask.any()
    assert not explanation.node_mask.any()
    assert explanation.rationale == []


def test_extra_arguments_change_what_is_explained(gcn, graph):
    explainer = explainer_for(gcn)
    plain = explainer(graph.x, graph.edge_index, index=1)
    weight = torch.linspace(0.1, 3, graph.num_edges)
    weighted = explainer(graph.x, graph.edge_index, index=1, edge_weight=weight)
    assert not torch.allclose(plain.edge_evidence, weighted.edge_evidence)
    again = explainer(graph.x, graph.edge_index, index=1)
    assert torch.equal(plain.edge_evidence, again.edge_evidence)
    assert plain.rationale == again.rationale


def test_names_appear_in_the_rationale(gcn, graph):
    algorithm = GradientContextExplainer(class_names=["red", "green", "blue"], feature_names=["size", "age", "wealth"])
    explanation = explainer_for(gcn, algorithm)(graph.x, graph.edge_index, index=1)
    assert ["red", "green", "blue"][int(explanation.target[1])] in explanation.rationale
    assert any(name in explanation.rationale for name in ("size", "age", "wealth"))


def test_too_few_names_of_features(gcn, graph):
    explainer = explainer_for(gcn, GradientContextExplainer(feature_names=["size"]))
    with pytest.raises(InvalidArgumentError, match="expected 3 feature_names, got 1"):
        explainer(graph.x, graph.edge_index, index=1)


def test_two_classes_of_one_name_are_refused():
    """Texts could not tell them apart, and would call a wrong prediction right."""
    with pytest.raises(InvalidArgumentError, match="class_names that differ, got"):
        GradientContextExplainer(class_names=["a", "b", "a"])


def test_rationale_names_the_label_of_a_phenomenon_only(gcn, graph):
    target = torch.zeros(10, dtype=torch.long)
    phenomenon = explainer_for(gcn, kind="phenomenon")(graph.x, graph.edge_index, target=target, index=1)
    assert 'label is "class 0"' in phenomenon.rationale
    assert "label is" not in explainer_for(gcn)(graph.x, graph.edge_index, index=1).rationale


def test_rationale_names_the_strongest_neighbour(gcn, graph):
    explanation = explainer_for(gcn)(graph.x, graph.edge_index, index=7)
    sources = graph.edge_index[0]
    others = torch.where(sources == 7, 0, explanation.edge_mask)
    assert f"node {int(sources[others.argmax()])} (weight" in explanation.rationale


def test_a_writer_of_ones_own(gcn, graph):
    from gragr_explain.rationale import Rationale

    def write(facts):
        return [Rationale(f"{fact.subject}: {fact.source}", "template", False, ()) for fact in facts]

    explanation = explainer_for(gcn, GradientContextExplainer(writer=write))(graph.x, graph.edge_index, index=3)
    assert explanation.rationale == "node 3: post hoc"


def test_psi_scope(gcn, graph):
    ego = explainer_for(gcn)(graph.x, graph.edge_index, index=1).psi[:, 3]
    whole = explainer_for(gcn, GradientContextExplainer(scope="graph"))(graph.x, graph.edge_index, index=1).psi[:, 3]
    assert ego.unique().numel() > 3
    assert whole.unique().numel() == 1
