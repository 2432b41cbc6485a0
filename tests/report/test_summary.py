import pytest
import torch
from conftest import make_data, make_explanations

from gragr_explain.history import GradientHistory
from gragr_explain.report import to_frame
from gragr_explain.report._summary import _percent, summarise


def test_the_numbers_are_the_tables(explanations):
    frame, summary = to_frame(explanations), summarise(explanations)
    known = frame.dropna(subset="correct")
    text = " ".join(summary.sentences)
    right = int(known["correct"].sum())
    assert f"right about {right} of the {len(known)}" in text
    conflicting = int((explanations.context.alignment < 0).sum())
    assert f"{conflicting} nodes pulled against the neighbours" in text
    assert "one node conflict is not defined" in text
    wrong = known[~known["correct"].astype(bool)].sort_values("confidence", ascending=False)
    assert summary.labels == wrong["node"].tolist()[:6]


def test_the_history_says_which_nodes_came_into_conflict(explanations):
    history = GradientHistory(conflict_count=torch.tensor([0.0, 3.0] * 20))
    summary = summarise(explanations, history)
    assert "19 nodes came into conflict while the model learned" in " ".join(summary.sentences)
    assert summary.tiles[-1].caption == "came into conflict while learning"


def test_doubtful_nodes_conflict_most(explanations):
    ranks = explanations.context.rank[summarise(explanations).doubtful, 0]
    assert len(ranks)
    assert (ranks >= 0.8).all()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"labels": False}, "true labels are not known"),
        ({"flat": True}, "Conflict is not defined for any of them"),
        ({"nodes": [3]}, "1 of the graph's 40 nodes is explained"),
        ({"nodes": []}, "0 of the graph's 40 nodes are explained"),
        ({"regression": True}, "pulled against"),
    ],
)
def test_what_is_missing_is_said(options, says):
    assert says in " ".join(summarise(make_explanations(make_data(), **options)).sentences)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0"), (1, "1e2"), (0.9999, "99.9"), (0.0001, "0.1"), (0.004, "0.4"), (0.505, "50"), (0.995, "99.5")],
)
def test_percentages_round_neither_to_all_nor_to_none(share, text):
    assert _percent(share) == f"{'100' if text == '1e2' else text}\N{NO-BREAK SPACE}%"
