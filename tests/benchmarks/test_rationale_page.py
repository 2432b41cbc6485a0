"""The second reader of texts, the liar, and facts that are saved and read again."""

import json
from dataclasses import asdict
from random import Random

import pytest

from benchmarks._rationale_contexts import facts_of
from benchmarks._rationale_lies import LIES, OTHER_WORDS, TRUTHS
from benchmarks.embedded_model._claims import foreign_sentences, read_claims
from benchmarks.embedded_model._contexts import random_facts
from benchmarks.embedded_model._grammar import compose
from gragr_explain.rationale import check_grounding
from gragr_explain.rationale._outline import outline_of
from gragr_explain.rationale._slots import fill_slots, style_of


@pytest.fixture(scope="module")
def drawn():
    draw = Random(11)
    facts = [random_facts(draw) for _ in range(150)]
    return [(each, outline_of(each), compose(outline_of(each), style_of(each, 0))) for each in facts]


@pytest.mark.parametrize(
    ("kind", "true", "false"),
    [
        ("number", "<weight1>", "<weight2>"),
        ("number", "<place_conflict>", "<place_stability>"),
        ("number", "<share1>", "<weight1>"),
        ("number", "with <changed_confidence>", "with <confidence>"),
        ("class", "predicted as <class1>", "predicted as <class3>"),
        ("band", "reliability is low", "reliability is high"),
        ("band", "hardly pulled against", "strongly pulled against"),
        ("role", "a hub", "a bridge"),
        ("outcome", "is wrong", "is correct"),
    ],
)
def test_the_second_reader_sees_each_kind_of_error(drawn, kind, true, false):
    spoken = [(outline, raw) for _, outline, raw in drawn if true in raw]
    assert spoken
    for outline, raw in spoken:
        assert not read_claims(raw, outline).wrong.total()
        assert read_claims(raw.replace(true, false, 1), outline).wrong[kind]
        assert foreign_sentences(raw.replace(true, false, 1), outline) or kind == "number"


def test_the_grammar_knows_its_own_sentences_and_no_others(drawn):
    for _, outline, raw in drawn[:30]:
        assert foreign_sentences(raw, outline) == []
        assert foreign_sentences(f"{raw} It said so itself.", outline) == ["It said so itself."]


@pytest.mark.parametrize("kind", LIES)
def test_a_lie_changes_the_facts_and_most_lies_are_caught(drawn, kind):
    draw, told, caught = Random(0), 0, 0
    for facts, _, truth in drawn:
        false = LIES[kind](facts, draw)
        text, _ = fill_slots(compose(outline_of(false), style_of(false, 0)), false)
        if false != facts and text != fill_slots(truth, facts)[0]:
            told += 1
            caught += bool(check_grounding(text, facts))
    assert told > 20
    assert caught / told > 0.8


def test_sayings_can_be_filled_where_they_fit(drawn):
    sayings = [*TRUTHS, *(saying for group in OTHER_WORDS.values() for saying in group)]
    for text, fits in sayings:
        fitting = [facts for facts, outline, _ in drawn if facts.confidence is not None and fits(outline)]
        assert fitting, text
        assert not any(fill_slots(text, facts)[1] for facts in fitting), text


def test_facts_are_the_same_after_they_were_saved(drawn):
    for facts, _, _ in drawn:
        assert facts_of(json.loads(json.dumps(asdict(facts)))) == facts
