"""Explanations part by part: the same as all at once, with the model left alone in between."""

from __future__ import annotations

import pytest
import torch
from gnns import explainer_for
from torch_geometric.data import Data
from torch_geometric.nn import GCN, GIN, GraphSAGE

from gragr_explain import GradientContextExplainer, explain_many
from gragr_explain.errors import InvalidArgumentError, InvalidIndexError, InvalidTypeError
from gragr_explain.explain import EdgeGradientExplainer, explain_parts


@pytest.fixture
def data() -> Data:
    generator = torch.Generator().manual_seed(5)
    edge_index = torch.randint(0, 50, (2, 160), generator=generator)
    return Data(x=torch.randn(50, 4, generator=generator), edge_index=edge_index, y=torch.arange(50) % 3)


def made(model_class, **options):
    torch.manual_seed(0)
    return explainer_for(model_class(4, 8, num_layers=2, out_channels=3), GradientContextExplainer(**options))


@pytest.mark.parametrize("part_size", [1, 7, 50, 4096])
@pytest.mark.parametrize("model_class", [GCN, GIN])
def test_parts_are_what_many_are(model_class, part_size, data):
    explainer = made(model_class, class_names=["a", "b", "c"], node_names=[f"paper {node}" for node in range(50)])
    index = torch.randperm(50, generator=torch.Generator().manual_seed(1))[:33]
    many = explain_many(explainer, data, index, top_edges=4, top_features=2, progress=False)
    parts = list(explain_parts(explainer, data, index, part_size=part_size, top_edges=4, top_features=2))
    assert [len(part) for part in parts] == [min(part_size, 33 - at) for at in range(0, 33, part_size)]
    assert [row for part in parts for row in part.rationales] == many.rationales
    for name in ("edges", "features"):
        for row, expected in zip(
            [row for part in parts for row in getattr(part, name)], getattr(many, name), strict=True
        ):
            assert [found[:-1] for found in row] == [found[:-1] for found in expected]
            assert [found[-1] for found in row] == pytest.approx([found[-1] for found in expected], rel=1e-5)
    changes = [change for part in parts for change in part.changes]
    assert [change and (change.removed, change.prediction) for change in changes] == [
        change and (change.removed, change.prediction) for change in many.changes
    ]
    for name in ("index", "prediction", "confidence", "label", "embedding"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(many, name))
    for part in parts:
        assert torch.equal(part.context.psi, many.context.psi)
        assert torch.equal(part.all_predictions, many.all_predictions)
        assert (part.class_names, part.node_names) == (many.class_names, many.node_names)


def test_the_model_is_run_on_the_whole_graph_once(data, monkeypatch):
    from gragr_explain.explain import _explainer

    runs = []
    context = _explainer.model_context
    monkeypatch.setattr(_explainer, "model_context", lambda *args, **kwargs: runs.append(1) or context(*args, **kwargs))
    assert len(list(explain_parts(made(GraphSAGE), data, part_size=10))) == 5
    assert runs == [1]


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_of_the_model_between_parts_and_after_an_early_end(training, data):
    explainer = made(GCN)
    explainer.model.train(training)
    parts = explain_parts(explainer, data, part_size=20)
    assert explainer.model.training == training
    next(parts)
    assert explainer.model.training == training
    parts.close()
    assert explainer.model.training == training
    with pytest.raises(StopIteration):
        next(parts)


def test_a_failing_writer_leaves_the_mode_alone(data):
    def fail(_facts):
        raise RuntimeError("no more ink")

    explainer = made(GCN, writer=fail)
    explainer.model.train()
    with pytest.raises(RuntimeError, match="no more ink"):
        next(explain_parts(explainer, data))
    assert explainer.model.training


def test_no_nodes_are_no_parts(data):
    assert list(explain_parts(made(GCN), data, [])) == []


def test_a_progress_bar_over_all_parts(data, capsys):
    list(explain_parts(made(GCN), data, part_size=20, progress=True))
    assert "50/50" in capsys.readouterr().err


def test_bad_input_is_noticed_before_the_first_part(data):
    explainer = made(GCN)
    with pytest.raises(InvalidArgumentError, match="expected part_size of at least 1, got 0"):
        explain_parts(explainer, data, part_size=0)
    with pytest.raises(InvalidArgumentError, match="expected memory_mb of at least 1, got 0"):
        explain_parts(explainer, data, memory_mb=0)
    with pytest.raises(InvalidIndexError):
        explain_parts(explainer, data, [50])
    with pytest.raises(InvalidTypeError):
        explain_parts(explainer, [data])
    with pytest.raises(InvalidTypeError, match="GradientContextExplainer"):
        explain_parts(explainer_for(GCN(4, 8, 2, 3), EdgeGradientExplainer()), data)
    of_graphs = explainer_for(GCN(4, 8, 2, 3), level="graph")
    with pytest.raises(
        InvalidArgumentError, match="expected an Explainer of a node-level model, got one of task level"
    ):
        explain_parts(of_graphs, data)
