from dataclasses import replace

import pytest
import torch
from made_explanations import make_data, make_explanations

from gragr_explain.history import GradientHistory
from gragr_explain.rationale import Reliability
from gragr_explain.report import to_frame
from gragr_explain.report._captions import psi_caption
from gragr_explain.report._findings import find
from gragr_explain.report._first import labels_to_check, predictions_to_doubt
from gragr_explain.report._summary import summarise
from gragr_explain.report._wording import percent


def sentences(summary):
    return " ".join([*summary.trust.sentences, *summary.conflict.sentences, *summary.unknown.sentences])


def said(explanations, data, history=None):
    return sentences(summarise(explanations, find(explanations, data, history)))


def test_the_numbers_are_the_tables(explanations, data):
    frame, text = to_frame(explanations), said(explanations, data)
    known = frame.dropna(subset="correct")
    assert f"right about {int(known['correct'].sum())} of the {len(known)}" in text
    conflicting = int((explanations.context.alignment < 0).sum())
    assert f"{conflicting} nodes of 39 ({percent(conflicting / 39)}) pulled against their neighbours" in text
    assert "one node conflict is not defined" in text


def test_every_term_stands_after_its_meaning(explanations, data):
    summary = summarise(explanations, find(explanations, data))
    assert "A node is in conflict where" in summary.conflict.sentences[0]
    text = " ".join([*summary.conflict.sentences, *summary.trust.sentences])
    assert not {"gradient", "psi", "embedding", "cosine", "logit", "epoch"} & set(text.lower().split())


def test_the_history_says_which_nodes_came_into_conflict(explanations, data):
    history = GradientHistory(conflict_count=torch.tensor([0.0, 3.0] * 20))
    summary = summarise(explanations, find(explanations, data, history))
    assert "19 nodes of 39" in sentences(summary)
    assert "at some time while the model learned" in sentences(summary)
    assert sum(share.count for share in summary.shares) == 19


def test_the_model_is_judged_by_what_it_did_not_see(explanations):
    data = make_data()
    data.train_mask = torch.arange(40) < 20
    findings = find(explanations, data)
    unseen = findings.known[findings.known["node"] >= 20]
    assert findings.judged["node"].tolist() == unseen["node"].tolist()
    right = int(unseen["correct"].sum())
    text = sentences(summarise(explanations, findings))
    assert f"of the {len(unseen)} whose label it was not shown while it learned, it is right about {right}" in text
    data.train_mask = torch.ones(40, dtype=torch.bool)
    assert "It learned from these very labels" in said(explanations, data)


def test_where_no_mask_says_what_the_model_saw_the_page_says_so(explanations):
    data = make_data()
    caveat = "Which of these nodes it learned from is not known here: about those it is right too easily."
    assert caveat in said(explanations, data)
    data.train_mask = torch.ones(40, 2, dtype=torch.bool)  # two splits
    assert caveat in said(explanations, data)
    data.train_mask = torch.arange(40) < 20
    assert caveat not in said(explanations, data)


def test_what_validation_nodes_say_is_held_against_what_is_so(explanations, data):
    """By the nodes that are no validation nodes themselves."""
    validation = torch.where(torch.arange(40) % 5 == 1, 0, -1)
    frame = to_frame(explanations)
    judged = frame[(frame["node"] % 5 != 1) & frame["correct"].notna() & frame["validation_of"].notna()]
    few = judged[judged["validation_right"] / judged["validation_of"] < 0.6]
    assert 10 <= len(few) < len(judged)
    told = f"Where it gets less than {percent(0.6)} of them right, {percent(few['correct'].mean())} are."
    assert told in said(explanations, data, GradientHistory(validation=validation))
    unknown = replace(explanations, reliability=[Reliability("high")] * len(explanations))
    assert "validation nodes" not in said(unknown, data, GradientHistory(validation=validation))


def test_mistakes_are_compared_with_right_answers(explanations, data):
    frame, rank = to_frame(explanations), explanations.context.rank[:, 0]
    known = frame.dropna(subset="correct")
    wrong = [node for node, correct in zip(known["node"], known["correct"], strict=True) if not correct]
    defined = [node for node in wrong if not rank[node].isnan()]
    high = sum(float(rank[node]) >= 2 / 3 for node in defined)
    assert f"Of its {len(defined)} mistakes, {high} (" in said(explanations, data)


def test_mistakes_on_labels_that_it_was_trained_on_say_nothing_of_conflict(explanations):
    """For those labels are part of the gradients that conflict is made of."""
    data = make_data()
    data.train_mask = torch.arange(40) < 20
    findings = find(explanations, data)
    unseen = findings.known[findings.known["node"] >= 20].dropna(subset="rank_conflict")
    wrong = unseen[~unseen["correct"].astype(bool)]
    high = int((wrong["rank_conflict"] >= 2 / 3).sum())
    whose = f"Of its {len(wrong)} mistakes on labels that it had not seen, {high} ("
    assert len(wrong)
    assert whose in sentences(summarise(explanations, findings))


def test_labels_to_check_are_contradicted_and_the_surest_first(explanations, data):
    frame = to_frame(explanations)
    picks = labels_to_check(explanations, find(explanations, data), 6)
    wrong = frame[frame["correct"].eq(False).fillna(False)].sort_values("confidence", ascending=False)
    assert [pick.id for pick in picks] == wrong["node"].tolist()[:6]
    row = wrong.iloc[0]
    for part in (row["label_name"], row["prediction_name"], percent(row["confidence"]), "neighbour"):
        assert str(part) in picks[0].why


def test_doubtful_predictions_conflict_and_no_label_confirms_them(explanations, data):
    frame = to_frame(explanations).set_index("node")
    picks = predictions_to_doubt(explanations, find(explanations, data), 6)
    assert picks
    for pick in picks:
        assert explanations.context.rank[pick.id, 0] >= 0.8
        assert frame.loc[pick.id, "correct"] is not True
    sure = [frame.loc[pick.id, "confidence"] for pick in picks]
    assert sure == sorted(sure)


def test_no_node_is_in_both_lists(explanations, data):
    summary = summarise(explanations, find(explanations, data))
    assert not {pick.id for pick in summary.labels} & {pick.id for pick in summary.doubtful}


def test_classes_that_meet_are_counted_by_hand(explanations, data):
    findings = find(explanations, data)
    predictions, met = explanations.all_predictions.tolist(), set()
    conflicting = set(findings.conflicting["node"])
    for source, target in data.edge_index.T.tolist():
        for node, other in ((source, target), (target, source)):
            if node in conflicting and predictions[node] != predictions[other]:
                met.add((*sorted((predictions[node], predictions[other])), node))
    counts = {pair: sum(found[:2] == pair for found in met) for pair in {found[:2] for found in met}}
    assert {(one, other): count for one, other, count in findings.pairs} == counts
    assert [count for *_, count in findings.pairs] == sorted(counts.values(), reverse=True)


def test_neighbours_are_counted_once_and_never_the_node_itself():
    data = make_data(4, edges=False)
    data.edge_index = torch.tensor([[0, 1, 0, 2, 2], [1, 0, 1, 2, 0]])
    frame = find(make_explanations(data), data).frame
    assert frame["degree"].tolist() == [2, 1, 1, 0]
    assert (frame["agreeing"] <= frame["degree"]).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"labels": False}, "true labels are not known"),
        ({"flat": True}, "Conflict is not defined for any of the nodes"),
        ({"nodes": [3]}, "1 of the graph's 40 nodes is explained"),
        ({"nodes": []}, "0 of the graph's 40 nodes are explained"),
        ({"regression": True}, "pulled against"),
    ],
)
def test_what_is_missing_is_said(options, says):
    data = make_data()
    assert says in said(make_explanations(data, **options), data)


def test_captions_contrast_wrong_with_right_predictions():
    data = make_data(400)
    findings = find(make_explanations(data), data)
    known = findings.known.dropna(subset="rank_conflict")
    wrong = known.loc[~known["correct"].astype(bool), "rank_conflict"].median()
    right = known.loc[known["correct"].astype(bool), "rank_conflict"].median()
    differs = abs(wrong - right) >= 0.1
    expected = f"above {percent(wrong)} of the graph" if differs else "hardly differ"
    assert expected in psi_caption(findings, "conflict")
    assert psi_caption(find(make_explanations(data, labels=False), data), "conflict").endswith("theirs.")


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (1, "1e2"), (0.9999, "99.9"), (0.0001, "0.1"), (0.004, "0.4"), (0.505, "50"), (0.995, "99.5")],
)
def test_percentages_round_neither_to_all_nor_to_none(share, text):
    assert percent(share) == f"{'100' if text == '1e2' else text}\N{NO-BREAK SPACE}%"


def test_nodes_that_are_explained_twice_count_once():
    data = make_data(6)
    explanations = make_explanations(data, nodes=[0, 0, 1, 1, 2, 2])
    assert "3 of the graph's 6 nodes are explained here." in said(explanations, data)
    assert summarise(explanations, find(explanations, data)).tiles[0].value == "3"
