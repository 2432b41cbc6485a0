"""Rules of the grounding check on what would be predicted without some connections."""

import re
from collections.abc import Iterator
from dataclasses import replace

from gragr_explain.rationale._facts import ChangeFact, Facts
from gragr_explain.rationale.grounding import _vocabulary as words
from gragr_explain.rationale.grounding._reading import Clause, Reading

_COUNTS = {"both": 2, "single": 1, "sole": 1}
_NUMBERED = re.compile(rf"\b(?:\d+|both|single|sole|{words.SPELLED.pattern})\b", re.IGNORECASE)
_OTHERS = re.compile(
    r"\b(?:all|any|every|each|no|half|most of|other|remaining|weakest)(?: of)?(?: (?:its|the|these|those|other))*"
    r"(?: (?:strongest|supporting))*$",
    re.IGNORECASE,
)
_ELSE = re.compile(rf"{words.NEIGHBOURS.pattern}|{words.FEATURES.pattern}|\bnodes?\b", re.IGNORECASE)
_IS_LABEL = re.compile(
    rf"(?:^\W*(?:(?:which|that) )?|\b(?:be|becomes?|is|to|as) )(?:its|the) (?:{words.LABEL.pattern})", re.IGNORECASE
)
_FALLS = re.compile(r"\b(?:drop|fall|sink|declin|decreas|shrink|lower)\w*", re.IGNORECASE)
_RISES = re.compile(r"\b(?:ris[ei]|grow|increas|climb|gain|higher)\w*", re.IGNORECASE)


def supposition(facts: Facts) -> Facts:
    """Return the facts with what is predicted without the strongest connections, where that was measured."""
    if facts.change is None:
        return facts
    return replace(facts, prediction=facts.change.prediction, confidence=facts.change.confidence)


def change_problems(reading: Reading, facts: Facts) -> Iterator[str]:
    """Yield what the text says of a change of the prediction without support in the facts."""
    unknown = {clause.sentence for clause in reading.clauses if words.UNKNOWN.search(clause.text)}
    for clause in reading.clauses:
        if facts.change is None:
            if clause.sentence not in unknown and _has_effect(clause, reading, facts):
                yield "The text says what would be predicted without some connections, which was not measured."
        else:
            yield from _removed(clause, reading, facts, facts.change)
            yield from _effect(clause, facts, facts.change)


def _has_effect(clause: Clause, reading: Reading, facts: Facts) -> bool:
    """Return whether a clause says what would be predicted, or on which connections that depends."""
    if words.DEPENDS.search(clause.text) and words.CONNECTIONS.search(clause.text):
        return True
    if not clause.supposed:
        return False
    said = (words.SUPPOSED, words.CHANGES, words.STAYS)
    return reading.marks.of(facts.prediction) in clause.text or any(each.search(clause.text) for each in said)


def _removed(clause: Clause, reading: Reading, facts: Facts, change: ChangeFact) -> Iterator[str]:
    """Check what is taken away: the strongest connections; a count beside them is checked with all other counts."""
    removal = words.REMOVAL.search(clause.text) if clause.supposed else None
    taken = words.CONNECTIONS.search(clause.text)
    if not taken or not (removal or words.DEPENDS.search(clause.text)):
        names = [each.name for each in facts.neighbours] + [each.name for each in facts.features]
        entities = {reading.marks.of(name) for name in names if name not in (facts.subject, change.prediction)}
        rest = clause.text[removal.end() :] if removal else ""
        if not taken and (_ELSE.search(rest) or entities & set(rest)):
            yield "The text says what would be without something else than connections, which was not measured."
        return
    before = clause.text[: taken.start()].rstrip()
    numbered = _NUMBERED.search(before)
    one = not taken.group().lower().endswith("s")
    if _OTHERS.search(before) or (not numbered and one != (change.removed == 1)):
        yield f'The text speaks of "{taken.group()}"; the change was measured without the {change.removed} strongest.'
    elif numbered and _COUNTS.get(numbered.group().lower(), change.removed) != change.removed:
        yield f'The count "{numbered.group()}" is not what the facts say.'


def _effect(clause: Clause, facts: Facts, change: ChangeFact) -> Iterator[str]:
    """Check whether the prediction is said to change, and what it is said to become."""
    claims = set(_claims(clause)) if clause.supposed else set()
    depends = words.DEPENDS.search(clause.text)
    if depends and words.CONNECTIONS.search(clause.text):
        claims.add(not _denied(clause.text, depends.start()))
    if (not facts.changed) in claims:
        known = "it becomes another" if facts.changed else "it stays the same"
        yield f"The text says the opposite of what was measured: without its strongest connections, {known}."
    if not clause.supposed:
        return
    about_label = words.LABEL.search(clause.text)
    if words.UNKNOWN.search(clause.text) and not about_label:
        if words.CHANGES.search(clause.text) or words.SUPPOSED.search(clause.text):
            yield "The text says that what would change the prediction is not known, but it is."
    elif _IS_LABEL.search(clause.text) and not words.DENIAL.search(clause.text) and change.prediction != facts.label:
        yield "The text gives a true label that the facts do not."
    if facts.confidence is not None and any(mention.topic == "probability" for mention in clause.mentions):
        rises = change.confidence - facts.confidence
        if (_FALLS.search(clause.text) and rises > 0) or (_RISES.search(clause.text) and rises < 0):
            yield f"The text says that its confidence {'falls' if rises > 0 else 'rises'}; it does not."


def _claims(clause: Clause) -> Iterator[bool]:
    """Yield whether a clause says that the prediction changes, for each word that says so."""
    sure = next((mention.start for mention in clause.mentions if mention.topic == "probability"), len(clause.text))
    for pattern, changes in ((words.CHANGES, True), (words.STAYS, False)):
        for match in pattern.finditer(clause.text, 0, sure):
            if match.group().lower() != "still" or not words.CHANGES.search(clause.text, match.end()):
                yield changes != _denied(clause.text, match.start())


def _denied(text: str, start: int) -> bool:
    """Return whether one of the four words before ``start``, or *without* directly before it, turns it round."""
    window = re.search(r"(?:[\w']+[^\w']+){0,4}$", text[:start])
    return bool(re.search(r"\bwithout\s+$", text[:start], re.I) or (window and words.DENIAL.search(window.group())))
