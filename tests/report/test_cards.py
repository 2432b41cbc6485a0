import pytest
from made_explanations import make_data, make_explanations

from gragr_explain.errors import InvalidArgumentError
from gragr_explain.report import choose_cards, to_frame


def test_the_mix(explanations):
    frame = to_frame(explanations).set_index("node")
    chosen = choose_cards(explanations, 24)
    assert chosen == choose_cards(explanations, 24)
    assert len(chosen) == len(set(chosen)) == 24
    wrong = frame[frame["correct"].eq(False).fillna(False)]
    assert chosen[0] == wrong["psi_conflict"].idxmax()
    assert {frame["psi_conflict"].idxmax(), frame["confidence"].idxmin()} <= set(chosen)
    assert set(frame["role"].dropna()) <= set(frame.loc[chosen, "role"].dropna())
    median = (frame["psi_conflict"].rank(pct=True) - 0.5).abs().idxmin()
    assert median in chosen


@pytest.mark.parametrize("count", [0, 1, 5, 40, 100])
def test_as_many_as_asked_for_and_there_are(explanations, count):
    chosen = choose_cards(explanations, count)
    assert len(set(chosen)) == len(chosen) == min(count, 40)


@pytest.mark.parametrize(
    "options", [{"labels": False}, {"regression": True}, {"flat": True}, {"nodes": [3]}, {"nodes": []}]
)
def test_whatever_is_missing(options):
    explanations = make_explanations(make_data(), **options)
    assert len(choose_cards(explanations, 10)) == min(10, len(explanations))


def test_a_negative_count(explanations):
    with pytest.raises(InvalidArgumentError, match="count of at least 0, got -1"):
        choose_cards(explanations, -1)
