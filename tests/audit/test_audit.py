"""An audit of models that were trained on wrong labels: what it finds, and what it leaves alone."""

from __future__ import annotations

import copy
import random
import re

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from audited_models import EPOCHS, assert_same, state_of, three_classes, trained
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn
from torch_geometric.nn import GCN

from gragr_explain import GradientRecorder, GraGR, GraGRPlusPlus
from gragr_explain.audit import audit
from gragr_explain.audit._folds import split
from gragr_explain.audit._retraining import Retraining

COLUMNS = [
    "node",
    "label",
    "label_name",
    "probability",
    "suggested",
    "suggested_name",
    "prediction",
    "prediction_name",
    "confidence",
    "reasons",
]
NAMES = ["red", "green", "blue"]


def wrong_labels(table, data):
    node = torch.tensor(table["node"].to_numpy())
    return (data.y != data.clean)[node].numpy()


def test_wrong_labels_come_first_and_the_right_ones_are_suggested(audited, graph):
    wrong = wrong_labels(audited.labels, graph)
    assert roc_auc_score(wrong, audited.labels["probability"]) > 0.9
    rows = audited.labels[wrong]
    right = graph.clean[torch.tensor(rows["node"].to_numpy())].numpy()
    assert (rows["suggested"] == right).mean() > 0.8
    assert wrong[: len(audited.flagged)].mean() > 0.6


def test_wrong_predictions_come_first(audited, graph):
    table = audited.predictions[audited.predictions["node"].isin(graph.test_mask.nonzero().view(-1).tolist())]
    wrong = table["label"].to_numpy() != graph.clean[torch.tensor(table["node"].to_numpy())].numpy()
    if 0 < wrong.sum() < len(wrong):
        assert roc_auc_score(wrong, table["probability"]) > 0.7


def test_tables(audited, graph):
    for table, mask in ((audited.labels, graph.train_mask), (audited.predictions, ~graph.train_mask)):
        assert list(table) == COLUMNS
        assert sorted(table["node"]) == mask.nonzero().view(-1).tolist()
        assert table["probability"].between(0, 1).all()
        assert table["probability"].is_monotonic_decreasing
        assert table["confidence"].between(1 / 3, 1).all()
        assert (table["suggested"] != table["label"]).all()
        for number, name in (
            ("label", "label_name"),
            ("suggested", "suggested_name"),
            ("prediction", "prediction_name"),
        ):
            assert table[name].tolist() == [NAMES[value] for value in table[number]]
        assert all(isinstance(reason, str) and "nan" not in reason for found in table["reasons"] for reason in found)
    assert audited.labels["reasons"].map(len).max() == 3
    assert (audited.predictions["label"] == audited.predictions["prediction"]).all()
    assert audited.labels["label"].tolist() == graph.y[torch.tensor(audited.labels["node"].to_numpy())].tolist()


def test_what_the_model_says_is_in_the_tables(found, gcn, graph):
    with torch.no_grad():
        probs = gcn(graph.x, graph.edge_index).softmax(-1)
    for table in (found.labels, found.predictions):
        node = torch.tensor(table["node"].to_numpy())
        assert table["prediction"].tolist() == probs[node].argmax(-1).tolist()
        np.testing.assert_allclose(table["confidence"], probs[node].amax(-1), rtol=1e-5)
    assert found.labels["label_name"].iloc[0].startswith("class ")


def test_flagged_and_one_table(found):
    assert (found.flagged["probability"] > 0.5).all()
    assert len(found.flagged) == (found.labels["probability"] > 0.5).sum() > 0
    whole = found.to_frame()
    assert list(whole) == ["about", *COLUMNS]
    assert (whole["about"] == "label").sum() == len(found.labels)
    pd.testing.assert_frame_equal(whole.iloc[: len(found.labels), 1:], found.labels)
    assert f"labels={len(found.labels)}" in repr(found)
    assert "<table" in found._repr_html_()


def test_reasons_say_what_is_so(found, graph):
    """The count of labelled neighbours, which can be checked by hand."""
    said = {
        (int(row.node), int(row.label), int(row.suggested)): reason
        for table in (found.labels, found.predictions)
        for row in table.itertuples()
        for reason in row.reasons
        if "labelled neighbour" in reason
    }
    assert len(said) > 2
    for (node, own, other), reason in said.items():
        around = set(graph.edge_index[0, graph.edge_index[1] == node].tolist()) - {node}
        labels = [int(graph.y[v]) for v in around if graph.train_mask[v]]
        third = max(set(labels) - {own}, key=lambda label: (labels.count(label), -label), default=other)
        same, wanted, most = labels.count(own), labels.count(other), labels.count(third)
        if len(labels) == 1:
            assert reason == f"its one labelled neighbour is class {third}"
            assert third != own
            continue
        text = f"{'only ' if same > most else ''}{same} of its {len(labels)} labelled neighbours "
        text += f"{'is' if same == 1 else 'are'} class {own}, {wanted} class {other}"
        assert reason == (f"{text}, {most} class {third}" if most > wanted else text)


def test_reasons_name_the_suggested_class_and_those_for_a_third_one_come_last(found):
    for table in (found.labels, found.predictions):
        for row in table.itertuples():
            third = []
            for reason in row.reasons:
                shares = {int(name): int(share) for name, share in re.findall(r"class (\d) (?:only )?(\d+)%", reason)}
                if shares:
                    assert list(shares)[:2] == [row.label, row.suggested], reason
                    others = {name: share for name, share in shares.items() if name != row.label}
                    assert shares[row.suggested] == max(others.values()) or len(shares) == 3, reason
                third.append(len(shares) == 3)
            assert third == sorted(third) or "labelled neighbour" in " ".join(row.reasons)


def test_support_that_is_a_reason_for_doubt_is_said_to_be_little(found):
    shares = [
        re.fullmatch(r".*class \d (only )?(\d+)%, class \d (\d+)%", reason)
        for table in (found.labels, found.predictions)
        for reasons in table["reasons"]
        for reason in reasons
    ]
    shares = [share for share in shares if share]
    assert {bool(share[1]) for share in shares} == {True, False}
    assert all(bool(share[1]) == (int(share[2]) > int(share[3])) for share in shares if share[2] != share[3])


def test_doubtful_labels_have_reasons(found):
    assert found.flagged["reasons"].map(len).min() > 0


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_the_mean_probability_is_near_the_share_of_wrong_labels(rate):
    data = three_classes(300, rate)
    result = audit(trained("GraphSAGE", data), data, progress=False)
    share = float((data.y != data.clean)[data.train_mask].float().mean())
    assert share == pytest.approx(rate, abs=0.01)
    assert result.labels["probability"].mean() == pytest.approx(share, abs=0.05)
    assert result.noise_rate == pytest.approx(share, abs=0.05)


def test_of_right_labels_few_are_flagged():
    data = three_classes(rate=0.0)
    result = audit(trained("GCN", data), data, progress=False)
    assert len(result.flagged) <= 0.06 * len(result.labels)
    assert result.noise_rate < 0.08


def test_the_same_seed_gives_the_same_audit(found, gcn, graph):
    torch.manual_seed(123)  # whatever was drawn before
    again = audit(gcn, graph, progress=False)
    pd.testing.assert_frame_equal(found.to_frame(), again.to_frame(), check_exact=True)
    assert found.noise_rate == again.noise_rate
    other = audit(gcn, graph, seed=1, progress=False)
    assert not other.labels["probability"].equals(found.labels["probability"])


def test_model_graph_history_and_random_state_are_left_alone(gcn, graph, data):
    model = copy.deepcopy(gcn).train()
    before, kept = state_of(model), data.clone()
    history = {
        step: {name: value.clone() for name, value in weights.items()}
        for step, weights in model.history.weights.items()
    }
    torch.manual_seed(5)
    state, other_states = torch.get_rng_state(), (random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    audit(model, data, progress=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert (random.getstate(), repr(np.random.get_state())) == other_states  # noqa: NPY002
    assert model.training
    assert_same(before, model)
    assert model.history.num_steps == EPOCHS
    for step, weights in history.items():
        assert all(torch.equal(value, model.history.weights[step][name]) for name, value in weights.items())
    assert data.keys() == kept.keys()
    assert all(torch.equal(value, kept[name]) for name, value in data.to_dict().items())


def test_layers_that_keep_their_normalised_edges_are_trained_again_without(data):
    torch.manual_seed(0)
    cached = GraGR(GCN(8, 16, num_layers=2, out_channels=3, cached=True)).fit(data, EPOCHS, progress=False)
    torch.manual_seed(0)
    plain = GraGR(GCN(8, 16, num_layers=2, out_channels=3)).fit(data, EPOCHS, progress=False)
    outputs = []
    for model in (cached, plain):
        again, seen = Retraining(model, data, model.history, 5).run(data.y, data.train_mask, seed=0, edges=False)
        outputs.append(again(seen.x, seen.edge_index))
    assert torch.equal(*outputs)
    assert cached.model.convs[0]._cached_edge_index is not None


def test_other_devices_keep_their_random_state(gcn, graph, monkeypatch):
    """What torch.manual_seed would seed: every GPU, though the graph is on none."""
    seeded = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    Retraining(gcn, graph, gcn.history, 1).run(graph.y, graph.train_mask, seed=0)
    assert seeded == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_is_seeded_and_keeps_its_random_state(gcn, graph):
    on_gpu, model = graph.clone().cuda(), copy.deepcopy(gcn).cuda()
    outputs = []
    for _ in range(2):
        torch.rand(3, device="cuda")
        state = torch.cuda.get_rng_state()
        again, seen = Retraining(model, on_gpu, model.history, 5).run(on_gpu.y, on_gpu.train_mask, seed=0)
        assert torch.equal(torch.cuda.get_rng_state(), state)
        outputs.append(again(seen.x, seen.edge_index))
    torch.testing.assert_close(*outputs)


def test_labels_of_other_nodes_are_never_looked_at(found, gcn, data):
    data.y[data.test_mask] = (data.y[data.test_mask] + 1) % 3
    other = audit(gcn, data, progress=False)
    pd.testing.assert_frame_equal(found.to_frame(), other.to_frame(), check_exact=True)
    data.y[data.test_mask] = -1
    other = audit(gcn, data, progress=False)
    pd.testing.assert_frame_equal(found.to_frame(), other.to_frame(), check_exact=True)


def test_a_model_that_was_recorded_in_a_loop_of_its_own(data):
    """A model with edge weights, inside another module, trained by somebody else's loop; no validation nodes."""

    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = GCN(8, 16, num_layers=2, out_channels=3)

        def forward(self, x, edge_index, edge_weight=None):
            return self.inner(x, edge_index, edge_weight=edge_weight)

    torch.manual_seed(0)
    data.edge_weight = torch.rand(data.num_edges) + 0.5
    del data.val_mask
    model = Outer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    with GradientRecorder(model.inner, data):
        for _ in range(EPOCHS):
            optimizer.zero_grad()
            output = model(data.x, data.edge_index, data.edge_weight)
            F.cross_entropy(output[data.train_mask], data.y[data.train_mask]).backward()
            optimizer.step()
    before = state_of(model)
    result = audit(model, data, lr=0.02, weight_decay=0, progress=False)
    assert_same(before, model)
    assert roc_auc_score(wrong_labels(result.labels, data), result.labels["probability"]) > 0.85


@pytest.mark.parametrize("switches", [{}, {"attention": "predicted"}, {"meta": "node"}])
def test_gragr_plus_plus_is_trained_again_with_its_switches(data, switches):
    torch.manual_seed(0)
    model = GraGRPlusPlus(GCN(8, 16, num_layers=2, out_channels=3), **switches)
    model.fit(data, EPOCHS, progress=False)
    result = audit(model, data, epochs=15, progress=False)
    assert roc_auc_score(wrong_labels(result.labels, data), result.labels["probability"]) > 0.8


def test_isolated_nodes_directed_edges_and_a_rare_class(data):
    data.edge_index = data.edge_index[:, : data.num_edges // 2]
    data.edge_index = data.edge_index[:, (data.edge_index >= 20).all(0)]
    rare = (data.train_mask & (data.y == 2)).nonzero().view(-1)[1:]
    data.train_mask[rare] = False
    result = audit(trained("GraphSAGE", data), data, progress=False)
    assert len(result.labels) == int(data.train_mask.sum())
    only = (data.train_mask & (data.y == 2)).nonzero().view(-1).tolist()
    assert result.labels["node"][result.labels["probability"].isna()].tolist() == only


def test_edges_may_have_types(data):
    """The trial without edges has none of their types, whether a model looks at them or not."""
    data.edge_type = torch.arange(data.num_edges) % 2
    data.edge_kind = torch.ones(data.num_edges)
    assert len(audit(trained("GCN", data), data, epochs=10, progress=False).labels)


def test_no_edge_at_all(data):
    data.edge_index = data.edge_index[:, :0]
    result = audit(trained("GCN", data), data, epochs=10, progress=False)
    assert result.to_frame()["probability"].notna().all()


def test_labels_at_random_are_no_error(data):
    data.y = torch.randint(3, data.y.shape, generator=torch.Generator().manual_seed(0))
    result = audit(trained("GCN", data), data, epochs=15, progress=False)
    assert result.to_frame()["probability"].between(0, 1).all()


def test_of_the_only_label_of_a_class_nothing_is_said(graph):
    data = graph.clone()
    node = int(data.train_mask.nonzero()[0])
    data.y[node] = 3
    torch.manual_seed(0)
    model = GraGR(GCN(8, 16, num_layers=2, out_channels=4)).fit(data, EPOCHS, progress=False)
    found = audit(model, data, progress=False)
    last = found.labels.iloc[-1]
    assert int(last.node) == node
    assert np.isnan(last.probability)
    assert last.reasons == ["it is the only training label of its class, so that nothing can be said of it"]
    assert node not in found.flagged["node"].tolist()
    assert found.labels["probability"].isna().sum() == 1
    assert 0 <= found.noise_rate <= 1


@given(st.lists(st.integers(0, 4), min_size=10, max_size=60), st.integers(0, 1000))
def test_no_part_has_all_of_a_class(labels, seed):
    y = torch.tensor(labels)
    known = torch.arange(y.numel()) % 4 > 0
    parts = split(known, y, seed)
    assert sorted(torch.cat(parts).tolist()) == known.nonzero().view(-1).tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    for label, count in zip(*y[known].unique(return_counts=True), strict=True):
        assert count == 1 or all(int((y[part] == label).sum()) < count for part in parts)
