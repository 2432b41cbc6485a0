"""How far a prediction can be relied on: by validation nodes where they are known, else by its confidence."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rationale_facts import CONFLICT, LONELY, STABLE, psi_fact, some_facts, unknown

from gragr_explain.rationale import LLMWriter, Reliability, TemplateWriter, ValidationFact, build_prompt, judge
from gragr_explain.rationale._acceptance import accept

LIKE_IT = "validation nodes most like this one in confidence and conflict"
UNLABELLED = replace(STABLE, label=None)
PULLED = replace(UNLABELLED, psi=(psi_fact("conflict", 2.0, 0.9), *STABLE.psi[1:]))
UNKNOWN_CONFLICT = replace(UNLABELLED, psi=(unknown("conflict"), *STABLE.psi[1:]))


@pytest.mark.parametrize(
    ("facts", "confidence", "right", "level", "doubts"),
    [
        (UNLABELLED, 0.93, None, "high", ()),
        (UNLABELLED, 0.93, 24, "high", ()),
        (UNLABELLED, 0.93, 23, "medium", ("validation",)),
        (UNLABELLED, 0.9999, 17, "low", ("validation",)),
        (UNLABELLED, 0.93, 18, "medium", ("validation",)),  # 60 % is not below 60 %
        (UNLABELLED, 0.6, None, "medium", ("medium confidence",)),
        (UNKNOWN_CONFLICT, None, None, "medium", ()),  # its stability is known
        (UNLABELLED, 0.45, 28, "high", ()),  # surer than it says: what is measured counts
        (UNLABELLED, 0.45, None, "low", ("low confidence",)),
        (UNLABELLED, 0.7, None, "medium", ("medium confidence",)),
        (PULLED, 0.93, None, "medium", ("conflict",)),
        (PULLED, 0.93, 29, "high", ()),  # nodes in as much conflict are among the 30
        (PULLED, 0.93, 19, "medium", ("validation", "conflict")),
        (UNKNOWN_CONFLICT, 0.93, 29, "high", ()),
        (UNKNOWN_CONFLICT, 0.93, None, "medium", ()),
        (CONFLICT, 0.93, 29, "low", ("wrong",)),
        (CONFLICT, 0.93, 9, "low", ("wrong", "validation", "conflict", "instability")),
        (LONELY, 0.7, 3, "low", ("validation",)),
    ],
)
def test_the_level_and_its_doubts(facts, confidence, right, level, doubts):
    validation = None if right is None else ValidationFact(right, 30)
    judged = judge(replace(facts, confidence=confidence, validation=validation))
    assert judged == Reliability(level, doubts, validation)


@pytest.mark.parametrize(
    ("facts", "right", "said"),
    [
        (UNLABELLED, 17, f"is low, because the model was right about only 17 of the 30 {LIKE_IT}. Suggested action"),
        (UNLABELLED, 0, f"is low, because the model was right about none of the 30 {LIKE_IT}."),
        (UNLABELLED, 28, f"is high, because the model was right about 28 of the 30 {LIKE_IT}."),
        (PULLED, 30, f"is high, because the model was right about all 30 {LIKE_IT}."),
        (PULLED, 20, f"is medium, because the model was right about only 20 of the 30 {LIKE_IT} and it pulled against"),
        (CONFLICT, 28, "is low, because the prediction is wrong, although the model was right about 28 of the 30 "
         f"{LIKE_IT}. Suggested action"),
    ],
)  # fmt: skip
def test_what_the_template_says(facts, right, said):
    [rationale] = TemplateWriter()([replace(facts, validation=ValidationFact(right, 30))])
    assert f"Its reliability {said}" in rationale.text


def test_a_language_model_is_told_in_which_words_and_may_say_it_once():
    facts = replace(UNLABELLED, validation=ValidationFact(28, 30))
    said = f"the model was right about 28 of the 30 {LIKE_IT}"
    assert f"word for word, or not at all: {said}\n" in build_prompt(facts)
    once = f"Node 17 is predicted as Theory. Its reliability is high, as {said}."
    assert not accept(once, facts).replaced
    assert accept(f"{once} Also, {said}.", facts).problems == ("The language model repeats itself.",)


@settings(max_examples=200, deadline=None)
@given(some_facts(), st.integers(0, 30))
def test_more_right_validation_nodes_never_lower_the_level(facts, right):
    levels = (None, "low", "medium", "high")
    ranks = [levels.index(judge(replace(facts, validation=ValidationFact(each, 30))).level) for each in (right, 30)]
    assert ranks[0] <= ranks[1]


@pytest.mark.parametrize("right", [0, 5, 17, 20, 24, 28, 30])
def test_the_embedded_model_says_it_too(right):
    facts = [
        replace(each, subject=f"node {number}", validation=ValidationFact(right, 30))
        for number, each in enumerate([UNLABELLED, PULLED, STABLE, CONFLICT, UNKNOWN_CONFLICT] * 3)
    ]
    written = LLMWriter()(facts)
    assert sum(each.replaced for each in written) <= 1
    said = [each.text for each in written if LIKE_IT in each.text]
    assert len(said) >= len(written) - 3
    for each, fact in zip(written, facts, strict=True):
        if not each.replaced and "validation" in judge(fact).doubts:
            assert "about only" in each.text or "about none" in each.text
