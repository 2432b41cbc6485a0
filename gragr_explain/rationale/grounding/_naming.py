"""Rules of the grounding check on names: classes, nodes, and whatever else a text calls by name."""

import re
from collections.abc import Iterator

from gragr_explain.rationale._facts import Facts
from gragr_explain.rationale._wording import TITLES
from gragr_explain.rationale.grounding import _vocabulary as words
from gragr_explain.rationale.grounding._marks import MARK
from gragr_explain.rationale.grounding._reading import Clause, Reading
from gragr_explain.rationale.grounding._supposing import supposition

_NUMBERED = re.compile(
    r"\b(?:node|graph|edge|feature|pixel|neighbou?r)(?: id)?:? (?:number )?\d[\d.]*"
    r"|\blink \d+-\d+"
    r"|\b(?:class|category)(?: (?:is|was))?:? \d[\d.]*",
    re.IGNORECASE,
)
_NUMBERED_CLASS = re.compile(
    r"\b(?:label|(?:predict|classif)\w*)(?: (?:is|was|as|class|label|to|be|in|into))*:? \d[\d.]*(?!\s?%)", re.IGNORECASE
)
_STRANGE_CLASS = re.compile(
    r"\b(?:predicted|\w*classified|labell?ed|recogni[sz]ed|identified|predicts)(?: it)?(?: to belong)?"
    r" (?:as|to be|in|into|to)(?: (?:a|an|the|one|class|category|label|member|of))*"
    r" (?!such\b|correct|wrong|have\b|be\b|class\b|of\b|shown\b)(?P<name>[^\W\d_]\w*)"
    r"|\b(?!what\b|this\b|that\b|it\b|which\b|here\b)(?P<subject>[^\W\d_]\w*) is (?:the|its) "
    r"(?:predicted|true|actual|correct) (?:class|label|category)",
    re.IGNORECASE,
)
_STRANGE_CHANGE = re.compile(
    r"\b(?:becomes?|(?:flip|switch|chang|turn|shift)\w* (?:in)?to)(?: (?:a|an|the|one|class|category|label))*"
    r" (?!(?:an?|the|one|class|category|label|its|their|another|different|true|less|more)\b|correct|wrong)"
    r"(?P<name>[^\W\d_]\w*)",
    re.IGNORECASE,
)
_CLASS_FOLLOWS = re.compile(r"\b(?:as|class|category|label|label is|into)\s*$", re.IGNORECASE)
_CAPITALISED = re.compile(r"(?<=[^.!?:\s] )[\"'(]*(?P<name>[A-Z][a-z]\w+)")
_ORDINARY = frozenset(
    re.findall(
        r"\w+",
        " ".join(TITLES.values()) + " node nodes graph edge class true label predicted prediction model context vector"
        " topological reliability hub bridge follower outlier low medium high neighbour neighbours neighbor neighbors"
        " laplacian training task explanation suggested action",
    )
)


def naming_problems(reading: Reading, facts: Facts) -> Iterator[str]:
    """Yield the names that the facts do not know, and the classes that are said to be what they are not."""
    strangers = [*reading.strangers, *(match.group() for match in _NUMBERED.finditer(reading.text))]
    if facts.confidence is not None:
        strangers += [match.group() for match in _NUMBERED_CLASS.finditer(reading.text)]
        strangers += [match["name"] or match["subject"] for match in _STRANGE_CLASS.finditer(reading.text)]
        strangers += [
            match["name"]
            for clause in reading.clauses
            if clause.supposed
            for match in _STRANGE_CHANGE.finditer(clause.text)
        ]
    strangers += [
        match["name"] for match in _CAPITALISED.finditer(reading.text) if match["name"].lower() not in _ORDINARY
    ]
    for stranger in dict.fromkeys(strangers):
        yield f'The text names "{stranger}", which the facts do not.'
    if facts.confidence is not None:
        yield from _class_problems(reading, facts)


def _class_problems(reading: Reading, facts: Facts) -> Iterator[str]:
    prediction = reading.marks.of(facts.prediction)
    label = None if facts.label is None else reading.marks.of(facts.label)
    predicted: dict[str, set[str]] = {}
    for each in facts.neighbours:
        classes = predicted.setdefault(reading.marks.of(each.name), set())
        classes |= {reading.marks.of(each.prediction)} if each.prediction is not None else set()
    everyone = set().union(*predicted.values())
    classes = {prediction, *everyone} | ({label} if label else set())
    subject = reading.marks.of(facts.subject)
    predicted[subject] = predicted.get(subject, set()) | {prediction}  # a self-loop makes it its own neighbour
    supposed = reading.marks.of(supposition(facts).prediction)
    classes.add(supposed)
    entities = predicted.keys() | {reading.marks.of(each.name) for each in facts.features}
    previous: Clause | None = None
    for clause in reading.clauses:
        same_sentence = previous is not None and previous.sentence == clause.sentence
        for match in MARK.finditer(clause.text):
            if match.group() not in classes:
                continue
            if match.group() in entities and not _CLASS_FOLLOWS.search(clause.text, 0, match.start()):
                continue
            cue = _nearest_cue(clause.text, match.start())
            if cue is None and same_sentence and previous is not None:
                cue = _nearest_cue(previous.text, len(previous.text))
            owner = _owner(clause.text[: match.start()], predicted)
            if clause.supposed and owner in (None, subject):
                if not _fits_supposition(clause.text, match, cue, supposed, prediction, label):
                    yield "The text gives a class that is not the one predicted without the strongest connections."
                continue
            if owner is None and same_sentence:
                owner = clause.earlier
            said = everyone if owner == "neighbours" else predicted.get(owner or "", {prediction})
            if cue == "label" and match.group() != label:
                yield "The text gives a true label that the facts do not."
            elif cue == "prediction" and match.group() not in said:
                yield "The text gives a predicted class that the facts do not."
            elif cue is None and match.group() not in {*said, prediction, label}:
                yield "The text gives a class that is neither the prediction nor the true label."
        previous = clause


def _fits_supposition(
    text: str, found: re.Match[str], cue: str | None, supposed: str, prediction: str, label: str | None
) -> bool:
    """Check a class in a clause on what would be predicted: it must be that, unless it is denied or said to be lost."""
    said = found.group()
    if words.DENIAL.search(text, 0, found.start()):
        return said != supposed
    if words.FORMER.search(text, 0, found.start()):
        return said == prediction
    if cue == "label" and not (words.PREDICTION.search(text) or words.SUPPOSED.search(text)):
        return said == label
    return said == supposed and (cue != "label" or said == label)


def _nearest_cue(text: str, position: int) -> str | None:
    """Return whether the words nearest to a class speak of the prediction or of the true label."""
    cues = [
        (min(abs(position - match.start()), abs(position - match.end())), name)
        for name, pattern in (("label", words.LABEL), ("prediction", words.PREDICTION))
        for match in pattern.finditer(text)
    ]
    return min(cues)[1] if cues else None


def _owner(before: str, predicted: dict[str, set[str]]) -> str | None:
    """Return whose prediction is meant: a mark, ``neighbours``, or None where the clause does not say."""
    named = [(match.start(), match.group()) for match in MARK.finditer(before) if match.group() in predicted]
    named += [(match.start(), "neighbours") for match in words.NEIGHBOURS.finditer(before)]
    return max(named)[1] if named else None
