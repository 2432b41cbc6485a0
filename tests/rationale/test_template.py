"""The template says what is known, nothing else, and always the same."""

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from rationale_facts import CONFLICT, LONELY, NAMES, REGRESSION, STABLE, some_facts, unknown

from gragr_explain.rationale import ChangeFact, NeighbourFact, PsiFact, TemplateWriter, check_grounding
from gragr_explain.rationale._wording import TITLES, show_number
from gragr_explain.rationale.grounding._vocabulary import NUMBER


def text_of(facts):
    [rationale] = TemplateWriter()([facts])
    assert (rationale.writer, rationale.replaced, rationale.problems) == ("template", False, ())
    return rationale.text


@settings(max_examples=400, deadline=None)
@given(some_facts())
def test_every_text_is_grounded_and_short(facts):
    text = text_of(facts)
    assert check_grounding(text, facts) == ()
    assert text == text_of(facts)
    unquoted = re.sub(r'"[^"]*"', "", text)
    assert 4 <= len(re.findall(r"[.](?=\s|$)", unquoted)) <= 7


@settings(max_examples=100, deadline=None)
@given(some_facts(), st.floats(200, 900))
def test_an_invalid_value_is_never_told(facts, value):
    """A recognisable value in every invalid entry does not change the text, which calls the feature unknown."""
    hidden = tuple(fact if fact.valid else replace(fact, value=value) for fact in facts.psi)
    text = text_of(replace(facts, psi=hidden))
    assert text == text_of(facts)
    for fact in facts.psi:
        if not fact.valid:
            assert f"{TITLES[fact.name]} {show_number(value)}" not in text


@settings(max_examples=200, deadline=None)
@given(some_facts(), st.data())
def test_a_changed_number_is_caught(facts, data):
    """Change one digit of a number: it is caught, unless rounding allows it or it is another of the facts' numbers."""
    text = text_of(facts)
    outside = [len(re.findall('"', text[: number.start()])) % 2 == 0 for number in NUMBER.finditer(text)]
    numbers = [number for number, free in zip(NUMBER.finditer(text), outside, strict=True) if free]
    assume(numbers)
    number = data.draw(st.sampled_from(numbers))
    shown = number["number"]
    digit = data.draw(st.sampled_from([i for i, char in enumerate(shown) if char.isdigit()]))
    changed = shown[:digit] + data.draw(st.sampled_from("0123456789")) + shown[digit + 1 :]
    mantissa, _, exponent = shown.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    assume(abs(float(changed) - float(shown)) > 1.01 * unit)
    everything = (facts.subject, facts.prediction, facts.label, facts.change, *facts.neighbours, *facts.features)
    assume(not re.search(rf"(?<!\d){re.escape(changed)}(?!\d)", f"{text} {everything}"))
    assert check_grounding(text[: number.start()] + changed + text[number.end("number") :], facts)


@pytest.mark.parametrize("facts", [STABLE, CONFLICT])
def test_each_number_of_an_example_is_checked(facts):
    """Every single number in a text, raised by a tenth and a bit, is caught."""
    text = text_of(facts)
    numbers = [n for n in NUMBER.finditer(text) if text[n.start() - 1] != '"']
    assert len(numbers) > 10
    for number in numbers:
        shown = number["number"]
        decimals = len(shown.partition(".")[2])
        changed = f"{float(shown) * 1.1 + 2 * 10**-decimals:.{decimals}f}"
        lie = text[: number.start()] + changed + text[number.end("number") :]
        assert check_grounding(lie, facts), lie


def test_a_stable_node():
    text = text_of(STABLE)
    assert text.startswith('Node 17 is predicted as "Theory" with a confidence of 93%, which is correct')
    for said in ("node 9 (weight 0.62", '"learning" (weight 0.91)', "conflict intensity 0.0252: low, below 79%",
                 "mostly learned in the same direction", "a follower", "reliability is high"):  # fmt: skip
        assert said in text
    assert "Suggested action" not in text


def test_a_wrong_node_gets_an_action():
    text = text_of(CONFLICT)
    for said in ("which is wrong", "strongly pulled against its neighbours", "reliability is low", "Suggested action"):
        assert said in text
    assert text.endswith("if it does, correct this prediction, with a look at node 8 first.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            ChangeFact(1, "Neural Networks", 0.544),
            'Without its strongest connection, it would be predicted as "Neural Networks" (54%).',
        ),
        (
            ChangeFact(3, "Neural Networks", 0.544),
            'Without its 3 strongest connections, it would be predicted as "Neural Networks" (54%).',
        ),
        (
            ChangeFact(10, "Theory", 0.61),
            'Even without its 10 strongest connections, it would still be predicted as "Theory" (61%).',
        ),
        (None, "What would change this prediction was not measured."),
    ],
)
def test_it_says_what_would_change_the_prediction(change, said):
    assert said in text_of(replace(STABLE, change=change))


def test_it_says_where_the_change_is_for_the_better():
    said = 'Without its 3 strongest connections, it would be predicted as "3" (62%), which is its true label.'
    assert said in text_of(CONFLICT)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10), st.sampled_from(["Theory", "Neural Networks", "Robotics"]), st.floats(0.05, 0.94))
def test_the_text_of_another_change_is_a_lie(removed, prediction, confidence):
    """Whatever the measured change is, the sentences about all others are caught."""
    text, change = text_of(STABLE), ChangeFact(removed, prediction, confidence)
    other = replace(STABLE, change=change)
    assume(removed != 10 or prediction != "Theory" or abs(confidence - 0.613) > 0.011)
    assert check_grounding(text, other)
    assert check_grounding(text_of(other), STABLE)


def test_a_node_with_a_name_is_called_by_it():
    neighbours = (NeighbourFact("Knuth 1974", 1.0, "Theory"), *STABLE.neighbours[1:])
    text = text_of(replace(STABLE, subject="Smith 1999", neighbours=neighbours))
    assert text.startswith('"Smith 1999" is predicted as "Theory"')
    assert 'above all "Knuth 1974" (weight 1, predicted as "Theory"), node 9' in text


def test_without_a_label_nobody_knows_whether_it_is_right():
    text = text_of(replace(STABLE, label=None))
    assert text.startswith(
        'Node 17 is predicted as "Theory" with a confidence of 93%; whether that is right is not known, as no true '
        "label was given."
    )


def test_nothing_known_is_said_to_be_unknown():
    text = text_of(LONELY)
    assert "How it was learned is not known" in text
    assert not any(word in text for word in ("conflict", "direction", "signal", "role"))


def test_one_unknown_entry_is_named():
    psi = tuple(unknown(fact.name) if fact.name == "stability" else fact for fact in STABLE.psi)
    assert "its trajectory stability is not known" in text_of(replace(STABLE, psi=psi))


def test_regression_makes_no_claim_of_correctness():
    text = text_of(REGRESSION)
    assert text.startswith("Graph 3 is predicted to have the value 3.214, and its true value is 2.9.")
    assert not any(word in text for word in ("confidence of", "correct,", "wrong", "neighbourhood"))


def test_post_hoc_does_not_speak_of_training():
    text = text_of(replace(STABLE, source="post hoc"))
    assert "as training was not recorded" in text
    assert "While the model learned" not in text


def test_a_doubt_from_psi_alone_gives_an_action():
    psi = (PsiFact("conflict", 2.0, True, 0.9, "high"), *STABLE.psi[1:])
    text = text_of(replace(STABLE, psi=psi))
    assert "reliability is medium" in text
    assert "Suggested action: check its label" in text


def test_without_evidence_it_says_so():
    text = text_of(replace(LONELY, features=(), psi=tuple(map(unknown, NAMES))))
    assert "No connection and no input feature stands out" in text


def test_what_weighs_next_to_nothing_is_not_a_reason():
    neighbours = (NeighbourFact("node 5", 1.0, "7"), NeighbourFact("node 8", 0.01, "7"))
    text = text_of(replace(CONFLICT, neighbours=neighbours))
    assert "node 5" in text
    assert "node 8" not in text
