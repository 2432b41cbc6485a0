"""Rules of the grounding check on numbers: values, shares of the graph, and counts."""

import re
from collections.abc import Iterator

from gragr_explain.rationale._facts import Facts
from gragr_explain.rationale._wording import TITLES
from gragr_explain.rationale.grounding import _vocabulary as words
from gragr_explain.rationale.grounding._marks import MARK
from gragr_explain.rationale.grounding._reading import Clause, Reading
from gragr_explain.rationale.grounding._supposing import supposition

_ABOVE = re.compile(r"(?:above|over|exceed\w*|(?:high|great|larg|strong)er than|more than|bottom)(?: about)?\s*$", re.I)
_BELOW = re.compile(r"(?:below|under|(?:low|small|weak)er than|less than|top)(?: about)?\s*$", re.I)
_PERCENTILE = re.compile(r"(?:st|nd|rd|th)?\s?percentile", re.I)
_HOPS = re.compile(r"[- ]hops?\b", re.I)
_COUNT = re.compile(
    rf"(?<![\w.])(?:(?P<part>\d+|{words.SPELLED.pattern}) (?:out )?of )?(?:its |the |these |those )?"
    rf"(?P<number>\d+|{words.SPELLED.pattern}) (?P<which>(?:(?!of )[^\W\d]+ ){{0,2}})"
    r"(?P<what>(?:neighbou?r|feature|node|connection|edge|link|tie)s?)\b",
    re.IGNORECASE,
)
_TAKEN = re.compile(r"\b(?:strongest|top|support\w*|most|important|main|key)\b", re.I)
_ROUGHLY = re.compile(
    r"\b(?:(?:more|less|fewer) than|at (?:least|most)|over|under|up to|about|almost|nearly)\s*$", re.IGNORECASE
)
_SOME = re.compile(r"strongest|top|leading|named|first", re.IGNORECASE)
_QUANTIFIED = re.compile(
    r"\b(?:(?P<how>all|every|each|both|most|none|no)(?: of)? )?(?:(?:its|the|these|other|supporting) )*neighbou?rs?\b",
    re.IGNORECASE,
)


def number_problems(clause: Clause, reading: Reading, facts: Facts) -> Iterator[str]:
    """Yield the numbers and counts of a clause that the facts do not support."""
    counts = list(_COUNT.finditer(clause.text))
    for match in counts:
        if not _count_holds(match, clause, facts):
            yield f'The count "{match.group().strip()}" is not what the facts say.'
    spans = [match.span() for match in counts]
    for match in words.NUMBER.finditer(clause.text):
        if any(start <= match.start() < end for start, end in spans) or _HOPS.match(clause.text, match.end()):
            continue
        mention = clause.mention_at(*match.span())
        topic, said_of = mention.topic if mention else clause.earlier, facts
        if clause.supposed and not words.FORMER.search(clause.text, 0, match.start()):
            said_of = supposition(facts)
        topics = [topic, "probability"] if clause.supposed and mention is None else [topic]
        if not any(_number_holds(match, clause.text, about, reading, said_of) for about in topics):
            title = TITLES.get(topic or "", {"probability": "confidence"}.get(topic or "", "quantities"))
            yield f"The number {match.group().strip()} is no value of its {title}."
    for match in words.SPELLED_LARGE.finditer(clause.text):
        yield f'The number "{match.group()}" cannot be checked: it is spelled out.'
    if not counts and not _agreement_holds(clause, reading, facts):
        yield "What the text says of the neighbours' predictions is not what the facts say."


def _number_holds(found: re.Match[str], text: str, topic: str | None, reading: Reading, facts: Facts) -> bool:
    if found["percent"] or _PERCENTILE.match(text, found.end()):
        return any(
            _rounds_to(found["number"], 100 * share, 1.0) for share in _shares(found, text, topic, reading, facts)
        )
    return any(_rounds_to(found["number"], value, abs(value) / 4) for value in _values(topic, reading, facts))


def _rounds_to(shown: str, value: float, most: float) -> bool:
    """Return whether ``shown`` is ``value`` rounded to the digits shown, and no further off than ``most``."""
    mantissa, _, exponent = shown.replace(",", "").lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    half_unit = 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    error = abs(float(shown.replace(",", "")) - value)
    return error <= min(half_unit, most) + 1e-9 * abs(value)


def _weights(topic: str | None, reading: Reading, facts: Facts) -> list[float]:
    """Return the weights that a topic may speak of: of one name, of all neighbours, of all features."""
    weighted = [("neighbours", each.name, each.weight) for each in facts.neighbours]
    weighted += [("features", each.name, each.weight) for each in facts.features]
    return [weight for group, name, weight in weighted if topic in (None, group, reading.marks.of(name))]


def _values(topic: str | None, reading: Reading, facts: Facts) -> list[float]:
    values = _weights(topic, reading, facts)
    values += [fact.value for fact in facts.psi if fact.valid and topic in (None, fact.name)]
    if facts.confidence is not None:
        return values + ([facts.confidence] if topic in (None, "probability") else [])
    for name, text in (("prediction", facts.prediction), ("label", facts.label)):
        if text is not None and topic in (None, name) and words.NUMBER.fullmatch(text):
            values.append(float(text.replace(",", "")))
    return values


def _shares(found: re.Match[str], text: str, topic: str | None, reading: Reading, facts: Facts) -> list[float]:
    fact = facts.valid_psi(topic or "")
    if fact is not None:
        if fact.rank is None:
            return []
        if _ABOVE.search(text, 0, found.start()) or _PERCENTILE.match(text, found.end()):
            return [fact.rank]
        return [1 - fact.rank] if _BELOW.search(text, 0, found.start()) else []
    probability = [facts.confidence] if facts.confidence is not None and topic in (None, "probability") else []
    return probability + _weights(topic, reading, facts)


def _agreeing(facts: Facts) -> int | None:
    """Return how many neighbours share the prediction, None where that is not known of all of them."""
    predictions = [each.prediction for each in facts.neighbours]
    return None if None in predictions else predictions.count(facts.prediction)


def _count_holds(found: re.Match[str], clause: Clause, facts: Facts) -> bool:
    part, number = (_count(found[group]) for group in ("part", "number"))
    what = found["what"].lower()
    total = len(facts.features) if what[0] == "f" else len(facts.neighbours) if what[:2] == "ne" else -1
    if what[:2] not in ("ne", "fe", "no"):
        return _connections_hold(found, clause, facts)
    named, agreeing = number, _agreeing(facts)
    if part is not None:
        if number != total:
            return False
        named = part
    if what[:2] == "ne" and (words.SHARES.search(clause.text) or words.DIFFERS.search(clause.text)):
        if agreeing is None:
            return False
        return named == (agreeing if words.SHARES.search(clause.text) else total - agreeing)
    if part is None and _SOME.search(found["which"]):
        return number is not None and number <= total
    return named == total


def _connections_hold(found: re.Match[str], clause: Clause, facts: Facts) -> bool:
    """Check a number of connections: it must be the one without which the change was measured."""
    if facts.change is None or _ROUGHLY.search(clause.text, 0, found.start()):
        return False
    counts = {_count(found[group]) for group in ("part", "number")} - {None}
    return counts == {facts.change.removed} and (
        clause.supposed or bool(_TAKEN.search(clause.text) or words.DEPENDS.search(clause.text))
    )


def _count(text: str | None) -> int | None:
    return None if text is None else words.SPELLED_COUNTS.get(text.lower()) or int(text)


def _agreement_holds(clause: Clause, reading: Reading, facts: Facts) -> bool:
    """Check *all (most, none) of its neighbours share its prediction*, or *are predicted as* a class."""
    quantified = _QUANTIFIED.search(clause.text)
    if not quantified or not (words.PREDICTION.search(clause.text) or words.LABEL.search(clause.text)):
        return True
    classes = {reading.marks.of(each.prediction) for each in facts.neighbours if each.prediction is not None}
    predicate, wanted = words.SHARES.search(clause.text), reading.marks.of(facts.prediction)
    if predicate is None:
        predicate = next((match for match in MARK.finditer(clause.text) if match.group() in classes), None)
        if predicate is None or not quantified["how"]:
            return True
        wanted = predicate.group()
    agreeing = sum(
        each.prediction is not None and reading.marks.of(each.prediction) == wanted for each in facts.neighbours
    )
    total, how = len(facts.neighbours), (quantified["how"] or "all").lower()
    if how in ("no", "none") or clause.negated(predicate.start()):
        return agreeing == 0
    return 2 * agreeing > total if how == "most" else 0 < agreeing == total
