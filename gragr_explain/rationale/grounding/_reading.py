"""Read a text about a graph: split it into clauses and find what each of them speaks of."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gragr_explain.rationale._facts import Facts
from gragr_explain.rationale._reliability import judge, validation_in_words
from gragr_explain.rationale.grounding import _vocabulary as words
from gragr_explain.rationale.grounding._marks import MARK, Marks

_SMALL_GAP = re.compile(r"[\s\"']*(?!(?:of|for|in|with|to|than|on|at|by|from|is|was|are|were)\b)(?:\w+\s+)?", re.I)
_EFFECTS = (MARK, words.STAYS, words.CHANGES, re.compile(r"%|\bper ?cent\b"))  # what becomes of a prediction
_VALIDATION = re.compile(r"(?<!\w)validat\w*", re.IGNORECASE)
_IF = re.compile(r"\W*(?:if|unless|without|once|after|before|until|had|should)\b", re.IGNORECASE)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


@dataclass(frozen=True)
class Mention:
    """Words for a quantity. For a named neighbour or feature, ``topic`` is the mark of its name."""

    topic: str
    claims: str | None
    start: int
    end: int


@dataclass(frozen=True)
class Clause:
    """A stretch of text between punctuation, or words such as *and* or *but*.

    Attributes:
        text: its words, with a mark in the place of each name.
        mentions: what it mentions.
        earlier: the topic that was mentioned last before it.
        sentence: the number of its sentence.
        supposed: whether it speaks of what would be without some connections.
    """

    text: str
    mentions: tuple[Mention, ...]
    earlier: str | None
    sentence: int
    supposed: bool

    def mention_at(self, start: int, end: int) -> Mention | None:
        """Return the mention that the words at ``[start, end)`` speak of.

        This is the mention that contains them, else one that follows with at most one word between (*93%
        confidence*), else the last one before (*confidence is 93%*), else the first one after.
        """
        for mention in self.mentions:
            if mention.start < end and start < mention.end:
                return mention
        after = [mention for mention in self.mentions if mention.start >= end]
        before = [mention for mention in self.mentions if mention.end <= start]
        if after and _SMALL_GAP.fullmatch(self.text[end : after[0].start]):
            return after[0]
        return before[-1] if before else after[0] if after else None

    def negated(self, start: int) -> bool:
        """Return whether one of the four words before ``start`` is a negation."""
        window = re.search(r"(?:[\w']+[^\w']+){0,4}$", self.text[:start])
        return bool(window and words.NEGATION.search(window.group()))


class Reading:
    """A text as the grounding check sees it.

    Attributes:
        marks: the marks that stand for the names of the facts.
        text: the text with a mark in the place of each name, without what it says of validation nodes.
        bends_validation: whether it says more of validation nodes than how often the model is right, or another number.
        strangers: what stands in quotation marks and is no name of the facts.
        clauses: the clauses in their order.
    """

    def __init__(self, text: str, facts: Facts) -> None:
        self.marks = Marks(facts)
        text, bent = _without_validation(text, facts)
        self.text, self.strangers = self.marks.set_aside(text)
        self.bends_validation = bent or bool(_VALIDATION.search(self.text))
        self.clauses = list(self._clauses(facts))

    def _clauses(self, facts: Facts) -> Iterator[Clause]:
        named = {self.marks.of(each.name) for each in facts.neighbours}
        named |= {self.marks.of(each.name) for each in facts.features}
        patterns = words.MENTIONS
        if facts.confidence is None:  # then prediction and label are numbers
            patterns = [*patterns, ("label", None, words.LABEL), ("prediction", None, words.PREDICTION)]
        general = [("neighbours", None, words.NEIGHBOURS), ("features", None, words.FEATURES)]
        earlier = None
        for number, sentence in enumerate(_SENTENCE_END.split(self.text)):
            parts = _parts(sentence)
            for (_, part), supposed in zip(parts, _supposed(parts), strict=True):
                marks = [Mention(m.group(), None, *m.span()) for m in MARK.finditer(part) if m.group() in named]
                mentions = _find(part, patterns, marks) or _find(part, general, [])
                yield Clause(part, tuple(mentions), earlier, number, supposed)
                earlier = mentions[-1].topic if mentions else earlier


def _without_validation(text: str, facts: Facts) -> tuple[str, bool]:
    """Leave out how often the model is right about validation nodes, and say whether that was denied or supposed."""
    text, sentence = " ".join(text.split()), validation_in_words(judge(facts))
    bent = False
    if sentence is not None:
        ways = {sentence, sentence.replace(" only ", " ")}
        said = re.compile(rf"(?:{'|'.join(map(re.escape, ways))})(?! and conflict)", re.IGNORECASE)
        bent = any(_is_bent(text[: match.start()]) for match in said.finditer(text))
        text = said.sub("", text)
    return text, bent


def _is_bent(before: str) -> bool:
    """Whether the words before a statement deny it, or say that it would only be so."""
    sentence = _SENTENCE_END.split(before)[-1]
    clause = words.CLAUSE_END.split(sentence)[-1]
    return bool(words.NEGATION.search(clause) or words.HEDGE.search(clause) or _IF.match(sentence))


def _parts(sentence: str) -> list[tuple[str, str]]:
    """Split a sentence into clauses, each with what it was split at from the one before."""
    ends = list(words.CLAUSE_END.finditer(sentence))
    starts = [("", 0), *((end.group().lower(), end.end()) for end in ends)]
    stops = [*(end.start() for end in ends), len(sentence)]
    parts = [(before, sentence[start:stop]) for (before, start), stop in zip(starts, stops, strict=True)]
    return [(before, part) for before, part in parts if part.strip()]


def _supposed(parts: Sequence[tuple[str, str]]) -> list[bool]:
    """Return which clauses of a sentence speak of what would be without some connections.

    Those from the first that takes something away, or says what would be predicted, on; all, where what would be
    predicted stands before that (*it becomes Theory when these edges are removed*). Not those that are contrasted with
    them (*instead of*), or that speak of how it is *now*.
    """
    cues = [_is_cue(part) for _, part in parts]
    effects = [any(said.search(part) for said in _EFFECTS) for _, part in parts]
    if not any(cues) or not (any(effects) or any(words.SUPPOSED.search(part) for _, part in parts)):
        return [False] * len(parts)
    first = next(place for place, (_, part) in enumerate(parts) if cues[place] or words.REMOVAL.search(part))
    first = first if any(effects[first:]) else 0
    return [
        place >= first and before not in ("instead of", "rather than") and not words.NOW.search(part)
        for place, (before, part) in enumerate(parts)
    ]


def _is_cue(part: str) -> bool:
    removes = words.REMOVAL.search(part) and words.CONNECTIONS.search(part)
    return bool(removes or words.SUPPOSED.search(part))


def _find(
    text: str, patterns: Sequence[tuple[str, str | None, re.Pattern[str]]], found: list[Mention]
) -> list[Mention]:
    """Add the mentions in ``text`` that overlap none of those already found; return all in their order."""
    for topic, claims, pattern in patterns:
        for match in pattern.finditer(text):
            if all(match.end() <= other.start or other.end <= match.start() for other in found):
                found.append(Mention(topic, claims, *match.span()))
    return sorted(found, key=lambda mention: mention.start)
