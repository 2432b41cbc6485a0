"""How often the model is right where it is as sure: counted on validation nodes, said in texts, kept in files."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data
from torch_geometric.explain import Explainer
from torch_geometric.nn import GAT, GCN, GIN, GraphSAGE
from torch_geometric.utils import erdos_renyi_graph

from gragr_explain import GradientContextExplainer, GradientRecorder, GraGR, edit, explain_many
from gragr_explain.explain._validation import Validation
from gragr_explain.history import GradientHistory
from gragr_explain.labels import validation_classes
from gragr_explain.rationale import ValidationFact
from gragr_explain.report import to_frame

shares = st.just(float("nan")) | st.floats(0, 1)
CONFIG = {"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"}


def explainer_of(model, **options):
    return Explainer(
        model,
        GradientContextExplainer(**options),
        explanation_type="model",
        model_config=CONFIG,
        node_mask_type="attributes",
        edge_mask_type="object",
    )


@pytest.fixture(scope="module")
def data():
    torch.manual_seed(0)
    y = torch.arange(240) % 3
    x = torch.nn.functional.one_hot(y, 3) + 0.8 * torch.randn(240, 3)
    masks = {f"{part}_mask": torch.arange(240) % 4 == place for place, part in enumerate(("train", "val", "test"))}
    return Data(x=x, edge_index=erdos_renyi_graph(240, 0.015), y=y, **masks)


@pytest.fixture(scope="module")
def trained(data):
    torch.manual_seed(0)
    return GraGR(GCN(3, 8, 2, 3)).fit(data, epochs=30, progress=False)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, width=32), shares, st.booleans(), st.booleans()), min_size=1, max_size=180))
def test_it_counts_the_nearest(nodes):
    """As a search through all validation nodes does; of those that are equally far, any may count."""
    confidence = torch.tensor([sure for sure, *_ in nodes])
    conflict = torch.tensor([each for _, each, _, _ in nodes], dtype=torch.double)
    right = torch.tensor([each for _, _, each, _ in nodes])
    validates = torch.tensor([each for *_, each in nodes])
    found = Validation.of(right.long(), confidence, conflict, torch.where(validates, 1, -1))
    if validates.sum() < 40:
        assert found is None
        return
    less = (confidence[validates] < confidence.unsqueeze(-1)).double().mean(-1)
    for node, fact in enumerate(found.facts(torch.arange(len(nodes)))):
        if confidence[node] < confidence[validates].min():
            assert fact is None
            continue
        in_conflict = not conflict[node].isnan() and int((validates & ~conflict.isnan()).sum()) >= 40
        among = validates & ~conflict.isnan() if in_conflict else validates
        of = min(int(among.sum()) // 4, 30)
        among = among & (torch.arange(len(nodes)) != node)
        places = torch.stack([less, 0.5 * conflict if in_conflict else torch.zeros_like(less)], dim=-1)
        distance = (places[among] - places[node]).norm(dim=-1)
        farthest = distance.sort().values[of - 1]
        near, there = distance < farthest - 1e-9, (distance - farthest).abs() <= 1e-9
        free, sure, most = of - int(near.sum()), int(right[among][near].sum()), int(right[among][there].sum())
        assert (fact.of, fact.conflict) == (of, in_conflict)
        assert sure + max(0, free - (int(there.sum()) - most)) <= fact.right <= sure + min(free, most)


def test_too_few_or_other_nodes_tell_nothing():
    confidence, prediction, conflict = torch.rand(60), torch.zeros(60, dtype=torch.long), torch.rand(60)
    few = torch.full((60,), -1)
    few[:39] = 0
    assert Validation.of(prediction, confidence, conflict, few) is None
    assert Validation.of(prediction, confidence, conflict, torch.zeros(59, dtype=torch.long)) is None
    few[:40] = 0
    confidence[:40] += 1  # all others are less sure than any validation node
    validation = Validation.of(prediction, confidence, conflict, few)
    assert validation.facts(torch.tensor([20, 50])) == [ValidationFact(10, 10), None]
    assert validation.facts(torch.tensor([], dtype=torch.long)) == []


def test_an_explanation_says_it(data, trained):
    explanation = explainer_of(trained)(data.x, data.edge_index, index=2)
    validation = explanation.reliability.validation
    with torch.no_grad():
        confidence, prediction = trained.eval()(data.x, data.edge_index).softmax(-1).max(-1)
    judged = Validation.of(prediction, confidence, explanation.psi_rank[:, 0], trained.history.validation)
    assert [validation] == judged.facts(torch.tensor([2]))
    assert (validation.of, validation.conflict) == (15, True)
    counted = {0: "none of the 15", 15: "all 15"}.get(validation.right, f"{validation.right} of the 15")
    assert f"{counted} validation nodes most like this one in confidence and conflict" in explanation.rationale


def test_where_conflict_is_not_known_it_does_not_say_so(data):
    """Of a node without edges."""
    alone = data.clone()
    alone.edge_index = data.edge_index[:, (data.edge_index != 2).all(0)]
    torch.manual_seed(0)
    model = GraGR(GCN(3, 8, 2, 3)).fit(alone, epochs=30, progress=False)
    explanation = explainer_of(model)(alone.x, alone.edge_index, index=2)
    assert not explanation.psi_valid[2, 0]
    assert not explanation.reliability.validation.conflict
    assert "validation nodes most like this one in confidence" in explanation.rationale
    assert "in confidence and conflict" not in explanation.rationale


def test_what_an_edit_has_shown_the_model_is_no_validation_node_any_more(data):
    torch.manual_seed(0)
    model = GraGR(GCN(3, 8, 2, 3)).fit(data, epochs=30, progress=False)
    explainer = explainer_of(model)
    before, validation = explain_many(explainer, data, progress=False), model.history.validation.clone()
    with torch.no_grad():
        wrong = (model.eval()(data.x, data.edge_index).argmax(-1) != data.y) & data.val_mask
    node = int(wrong.nonzero()[0])
    done = edit(model, data, node, int(data.y[node]))
    assert done.success
    assert model.history.validation[node] == -1
    assert int((model.history.validation != validation).sum()) == 1
    explain_many(explainer, data, progress=False)
    done.undo()
    assert torch.equal(model.history.validation, validation)
    assert explain_many(explainer, data, progress=False).reliability == before.reliability


def test_an_explainer_notices_other_validation_labels(data, trained):
    explainer, kept = explainer_of(trained), trained.history.validation
    first = explainer(data.x, data.edge_index, index=2).reliability
    try:
        trained.history.validation = None
        assert explainer(data.x, data.edge_index, index=2).reliability.validation is None
    finally:
        trained.history.validation = kept
    assert explainer(data.x, data.edge_index, index=2).reliability == first


@pytest.mark.parametrize("kind", [GCN, GAT, GIN, GraphSAGE])
def test_many_at_once_say_the_same_as_one_by_one(data, kind):
    torch.manual_seed(1)
    model = GraGR(kind(3, 8, 2, 3)).fit(data, epochs=15, progress=False)
    explainer = explainer_of(model)
    unlabelled = copy.copy(data)
    unlabelled.y = None
    found = explain_many(explainer, unlabelled, [5, 6, 7], progress=False)
    assert found.reliability == [explainer(data.x, data.edge_index, index=node).reliability for node in (5, 6, 7)]
    several = explainer(data.x, data.edge_index, index=torch.tensor([5, 6, 7]))
    assert several.reliability == found.reliability
    frame = to_frame(found)
    assert frame["reliability"].tolist() == [each.level for each in found.reliability]
    assert frame["validation_of"].tolist() == [15, 15, 15]
    assert frame["validation_right"].tolist() == [each.validation.right for each in found.reliability]
    assert frame["reliability_doubts"].tolist() == [list(each.doubts) for each in found.reliability]


def test_labels_of_training_and_test_nodes_count_for_nothing(data, trained):
    """Whatever they are, the numbers are the same."""
    other = copy.copy(data)
    other.y = torch.where(data.val_mask, data.y, (data.y + 1) % 3)
    assert torch.equal(validation_classes(other), validation_classes(data))
    assert (trained.history.validation >= 0).equal(data.val_mask)


def test_without_validation_nodes_or_history_confidence_decides(data, trained):
    bare = Data(x=data.x, edge_index=data.edge_index, y=data.y, train_mask=data.train_mask)
    torch.manual_seed(0)
    model = GraGR(GCN(3, 8, 2, 3)).fit(bare, epochs=5, progress=False)
    assert model.history.validation is None
    for explainer in (explainer_of(model), explainer_of(trained, history=False)):
        explanation = explainer(data.x, data.edge_index, index=2)
        assert explanation.reliability.validation is None
        assert "validation" not in explanation.rationale


def test_a_recorder_keeps_it_and_files_do(data, tmp_path):
    model = GCN(3, 8, 2, 3)
    optimizer = torch.optim.Adam(model.parameters())
    with GradientRecorder(model, data) as history:
        for _ in range(3):
            optimizer.zero_grad()
            output = model(data.x, data.edge_index)[data.train_mask]
            torch.nn.functional.cross_entropy(output, data.y[data.train_mask]).backward()
            optimizer.step()
    assert torch.equal(history.validation, torch.where(data.val_mask, data.y, -1))
    history.save(tmp_path / "history")
    loaded = GradientHistory.load(tmp_path / "history")
    assert torch.equal(loaded.validation, history.validation)
    first = explainer_of(model, history=history)(data.x, data.edge_index, index=1).reliability
    assert explainer_of(model, history=loaded)(data.x, data.edge_index, index=1).reliability == first


def _without(data, **changes):
    changed = copy.copy(data)
    for name, value in changes.items():
        changed[name] = value
    return changed


def test_masks_that_say_nothing_are_no_validation_nodes(data):
    count = data.num_nodes
    for changes in (
        {"val_mask": None},
        {"train_mask": None},  # any label may have been trained on
        {"y": None},
        {"y": torch.rand(count, 2)},
        {"y": torch.rand(count) + 0.5},
        {"y": torch.full((count,), -1)},
        {"val_mask": data.val_mask.long()},
        {"val_mask": torch.stack([data.val_mask] * 10, dim=1)},
        {"val_mask": data.train_mask},  # all of them trained on
        {"val_mask": torch.zeros(count, dtype=torch.bool)},
    ):
        assert validation_classes(_without(data, **changes)) is None
    floats = validation_classes(_without(data, y=data.y.float()))
    assert torch.equal(floats, validation_classes(data))
