"""Decide whether a language model's text may be shown."""

import re
from collections import Counter

from gragr_explain.rationale._facts import Facts, Rationale
from gragr_explain.rationale._template import write
from gragr_explain.rationale._wording import clean_name
from gragr_explain.rationale.grounding import MARK, Reading, check_grounding

_SENTENCE_END = re.compile(r"[.!?][\"')]*(?=\s|$)")
_PHRASE, _MOST_OFTEN = 6, 2  # the same six words may stand twice


def accept(text: str, facts: Facts, notes: tuple[str, ...] = ()) -> Rationale:
    """Return a language model's text up to its last whole sentence, or the template's where it is unusable.

    Args:
        text: what the model wrote.
        facts: what it may state.
        notes: what a reader should know even of a good text.
    """
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    ends = [match.end() for match in _SENTENCE_END.finditer(line)]
    whole = line[: ends[-1]] if ends else ""
    problems = _unusable(line, whole, facts) or check_grounding(whole, facts)
    if problems:
        return from_template(facts, (*notes, *problems))
    return Rationale(whole, "llm", replaced=False, problems=notes)


def from_template(facts: Facts, problems: tuple[str, ...]) -> Rationale:
    """Return the template's text in the place of a language model's, with what was wrong."""
    return Rationale(write(facts), writer="template", replaced=True, problems=problems)


def _unusable(line: str, whole: str, facts: Facts) -> tuple[str, ...]:
    if not line:
        return ("The language model wrote nothing.",)
    if not whole:
        return ("The language model wrote no whole sentence.",)
    reading = Reading(whole, facts)
    words = re.findall(rf"\w+|{MARK.pattern}", reading.text.lower())  # a name is one word, however long
    phrases = Counter(zip(*(words[start:] for start in range(_PHRASE)), strict=False))
    sentences = Counter(part.strip().lower() for part in _SENTENCE_END.split(reading.text) if part.strip())
    if (
        line.lower().count("validation nodes") > 1
        or max(phrases.values(), default=0) > _MOST_OFTEN
        or max(sentences.values(), default=0) > 1
    ):
        return ("The language model repeats itself.",)
    named = (
        clean_name(facts.prediction) in whole
        if facts.confidence is None
        else reading.marks.of(facts.prediction) in reading.text
    )
    return () if named else ("The text does not say what was predicted.",)
