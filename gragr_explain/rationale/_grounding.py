"""Check a text against the facts that it was written from."""

import re
from collections.abc import Callable, Iterator

from gragr_explain.rationale import _vocabulary as words
from gragr_explain.rationale._facts import Facts
from gragr_explain.rationale._naming import naming_problems
from gragr_explain.rationale._quantities import number_problems
from gragr_explain.rationale._reading import Clause, Reading
from gragr_explain.rationale._reliability import confidence_band, judge
from gragr_explain.rationale._wording import TITLES

_PSI = TITLES.keys() - {"role"}
_BANDED = _PSI | {"probability", "reliability"}


def check_grounding(text: str, facts: Facts) -> tuple[str, ...]:
    """Return what a text states without support in the facts; nothing means that it is grounded.

    The text is split into clauses at punctuation and at words such as *and* or *but*. A number or a word such as
    *low* speaks of the quantity beside it in its clause, or else of the one mentioned last. Then:

    1. a number must be a value of the quantity that it speaks of, rounded to the digits shown: a valid psi, the
       confidence, the weight of a neighbour or feature, a regression's values; in percent, 100 times a confidence
       or a weight, or, after a word such as *above* or *below*, the share of nodes with a smaller or larger psi;
    2. a number of neighbours or features must be how many there are, or how many share the prediction;
    3. a word for a third of the graph (*high*, *moderate*, *hardly*, and phrases such as *unstable* or *pulled
       against its neighbours*) must agree with the band of a valid psi, with the confidence (low below 60%, high
       from 80% on) or with the package's own verdict on reliability; *not* in front turns the claim round;
    4. *hub*, *bridge*, *follower* and *outlier* must be the role;
    5. a class said to be predicted must be the prediction, or that of a neighbour where it speaks of one; a class
       said to be true must be the label; any other must be one of these. Anything in quotation marks, any number
       after *node* or *class*, and any capitalised word within a sentence must be a name of the facts;
    6. *correct*, *wrong* and the like must agree with label and prediction, and need a known label;
    7. what is valid must not be called unknown.

    Names of the facts are data: nothing inside them counts as a claim. The check reads words, not meaning: a text
    that says something false without numbers, names or any of these words passes.

    Args:
        text: the text of a rationale, in English.
        facts: what it may state.

    Returns:
        One sentence for each unsupported statement, in the order of the text.

    Example:
        >>> from gragr_explain.rationale import Facts, check_grounding
        >>> facts = Facts("node 17", "Theory", 0.93, None, (), None, "self", (), ())
        >>> check_grounding("Predicted as Theory with 93% confidence.", facts)
        ()
        >>> check_grounding("Predicted as Theory with 98% confidence.", facts)
        ('The number 98% is no value of its confidence.',)
    """
    reading = Reading(text, facts)
    problems = [*naming_problems(reading, facts)]
    rules: tuple[Callable[[Clause, Facts], Iterator[str]], ...] = (_bands, _unknowns, _roles, _outcome)
    for clause in reading.clauses:
        problems += number_problems(clause, reading, facts)
        problems += [problem for rule in rules for problem in rule(clause, facts)]
    return tuple(dict.fromkeys(problems))


def _actual_band(topic: str, facts: Facts) -> str | None:
    if topic == "probability":
        return confidence_band(facts.confidence)
    return judge(facts).level if topic == "reliability" else facts.band(topic)


def _title(topic: str) -> str:
    return TITLES.get(topic, {"probability": "confidence"}.get(topic, topic))


def _bands(clause: Clause, facts: Facts) -> Iterator[str]:
    """Rule 3: yield the bands that the clause claims wrongly."""
    if words.UNKNOWN.search(clause.text):
        return
    for topic, band, negated in _claimed_bands(clause):
        actual = _actual_band(topic, facts)
        if actual is None or (band == actual) == negated:
            claim = f"{'not ' if negated else ''}{band}"
            yield f"The text calls its {_title(topic)} {claim}; it is {actual or 'not known'}."


def _claimed_bands(clause: Clause) -> Iterator[tuple[str, str, bool]]:
    """Yield quantity, band, and whether the claim is negated."""
    qualified = set()
    for band, pattern in words.BANDS_OF_WORDS:
        for match in pattern.finditer(clause.text):
            if re.match(r" than [\d.]", clause.text[match.end() :]):  # a comparison with a share of the nodes: rule 1
                continue
            mention = clause.mention_at(*match.span())
            if mention and mention.topic in _BANDED:
                qualified.add(mention)
                yield mention.topic, mention.claims if mention.claims == "low" else band, clause.negated(match.start())
            elif not clause.mentions and clause.earlier in _BANDED and words.PLAIN_BAND.fullmatch(match.group()):
                yield clause.earlier, band, clause.negated(match.start())
    for mention in clause.mentions:
        if mention in qualified:
            continue
        before = clause.text[: mention.start].rstrip()
        absent = any(match.end() == len(before) for match in words.ABSENT.finditer(before))
        if mention.claims:
            yield mention.topic, mention.claims, clause.negated(mention.start)
        elif absent and mention.topic in _BANDED:
            yield mention.topic, "low", False


def _unknowns(clause: Clause, facts: Facts) -> Iterator[str]:
    """Rule 7: yield what the clause calls unknown although it is known."""
    if not words.UNKNOWN.search(clause.text):
        return
    for topic in dict.fromkeys(mention.topic for mention in clause.mentions):
        known = {
            "probability": facts.confidence is not None,
            "reliability": judge(facts).level is not None,
            "role": facts.known_role is not None,
        }.get(topic, facts.valid_psi(topic) is not None)
        if known:
            yield f"The text says that its {_title(topic)} is not known, but it is."
    if facts.label is not None and words.LABEL.search(clause.text):
        yield "The text says that its true label is not known, but it is."


def _roles(clause: Clause, facts: Facts) -> Iterator[str]:
    """Rule 4: yield the roles that the clause claims wrongly."""
    for match in words.ROLE.finditer(clause.text):
        negated = clause.negated(match.start())
        if facts.known_role is None or (match[1].lower() == facts.known_role) == negated:
            claim = f"{'no' if negated else 'a'} {match[1].lower()}"
            yield f"The text calls it {claim}; its learning role is {facts.known_role or 'not known'}."


def _outcome(clause: Clause, facts: Facts) -> Iterator[str]:
    """Rule 6: yield wrong or unsupported statements about correctness; *may* and *if* state nothing."""
    if words.HEDGE.search(clause.text):
        return
    for pattern, stated in ((words.WRONG, False), (words.CORRECT, True)):
        for match in pattern.finditer(clause.text):
            claim = stated != clause.negated(match.start())
            if facts.correct is not claim:
                known = {None: "not known", True: "correct", False: "wrong"}[facts.correct]
                yield f"The text calls the prediction {'correct' if claim else 'wrong'}; whether it is so: {known}."
