"""Check a text against the facts that it was written from."""

import re
from collections.abc import Callable, Iterator, Sequence

from gragr_explain.arguments import check_type
from gragr_explain.rationale._facts import Facts
from gragr_explain.rationale._reliability import judge, probability_band
from gragr_explain.rationale._wording import TITLES
from gragr_explain.rationale.grounding import _vocabulary as words
from gragr_explain.rationale.grounding._naming import naming_problems
from gragr_explain.rationale.grounding._quantities import number_problems
from gragr_explain.rationale.grounding._reading import Clause, Reading
from gragr_explain.rationale.grounding._supposing import change_problems, supposition

_IN_PART = re.compile(r"\bnot (?:fully|entirely|completely|quite)\b", re.IGNORECASE)
_LISTING = re.compile(r"\W*(?:(?:its|the|both|neither|nor|or)\b\W*)*", re.IGNORECASE)
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
    7. what is valid must not be called unknown;
    8. how often the model is right about validation nodes may be said in one way only, as the template says it;
    9. what is said to be predicted without some connections must be what was measured without the strongest of them:
       how many they are, the class and its confidence, and whether the prediction changes. Where a clause speaks of
       that, the rules above hold for the class and the confidence that are then predicted.

    Names of the facts are data: nothing inside them counts as a claim. The check reads words, not meaning: a text
    that says something false without numbers, names or any of these words passes.

    Args:
        text: the text of a rationale, in English.
        facts: what it may state.

    Raises:
        InvalidTypeError: If the text is no string, or the facts are none.

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
    check_type("text", text, str)
    check_type("facts", facts, Facts)
    reading = Reading(text, facts)
    problems = [*naming_problems(reading, facts)]
    if reading.bends_validation:
        problems.append("The text says of validation nodes what the facts do not, or in other words than they do.")
    rules: tuple[Callable[[Clause, Facts], Iterator[str]], ...] = (_bands, _roles, _outcome)
    for clause, listed in _with_lists(reading.clauses):
        said_of = supposition(facts) if clause.supposed else facts
        problems += number_problems(clause, reading, facts)
        problems += _unknowns(clause, listed, said_of)
        problems += [problem for rule in rules for problem in rule(clause, said_of)]
    problems += change_problems(reading, facts)
    return tuple(dict.fromkeys(problems))


def _actual_band(topic: str, facts: Facts) -> str | None:
    if topic == "probability":
        return probability_band(facts.confidence)
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
            if clause.supposed and match.group().lower().endswith("er"):  # a comparison with all connections: rule 8
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


def _with_lists(clauses: Sequence[Clause]) -> Iterator[tuple[Clause, list[str]]]:
    """Yield each clause with the quantities listed before it: *its stability and its role are not known*."""
    listed: list[str] = []
    sentence = -1
    for clause in clauses:
        listed = listed if clause.sentence == sentence else []
        yield clause, listed
        rest = clause.text
        for mention in reversed(clause.mentions):
            rest = rest[: mention.start] + rest[mention.end :]
        alone = clause.mentions and _LISTING.fullmatch(rest)
        listed = [*listed, *(mention.topic for mention in clause.mentions)] if alone else []
        sentence = clause.sentence


def _unknowns(clause: Clause, listed: Sequence[str], facts: Facts) -> Iterator[str]:
    """Rule 7: yield what the clause calls unknown, with what is listed before it, although it is known."""
    if not words.UNKNOWN.search(clause.text):
        return
    in_part = _IN_PART.search(clause.text)
    if words.LEARNING.search(clause.text) and not in_part and any(fact.valid for fact in facts.psi):
        yield "The text says that how it was learned is not known, but it is."
    for topic in dict.fromkeys([*listed, *(mention.topic for mention in clause.mentions)]):
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
    hedges = (match.group().lower() for match in words.HEDGE.finditer(clause.text))
    if any(hedge != "would" or not clause.supposed for hedge in hedges):
        return
    for pattern, stated in ((words.WRONG, False), (words.CORRECT, True)):
        for match in pattern.finditer(clause.text):
            claim = stated != clause.negated(match.start())
            if facts.correct is not claim:
                known = {None: "not known", True: "correct", False: "wrong"}[facts.correct]
                yield f"The text calls the prediction {'correct' if claim else 'wrong'}; whether it is so: {known}."
