"""What a text claims, read back from its words with its slots still open.

This reader knows the phrases of the grammar and what must stand around a slot. It shares nothing with the package's own
check of a text, and can therefore say whether that check is right.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.embedded_model._frames import CONFLICT, DOUBTS, ROLES, STABILITY, TELL
from benchmarks.embedded_model._grammar import expand, sentences
from gragr_explain.rationale._outline import Outline
from gragr_explain.rationale._slots import STYLES
from gragr_explain.rationale._wording import TITLES


def _options(phrase: str) -> set[str]:
    """The options of a phrase that is one choice, even those that no style picks."""
    return set(phrase[1:-1].split("|")) if phrase.startswith("{") and phrase.endswith("}") else set()


_SAID = [
    *(("conflict", band, phrase) for band, phrase in CONFLICT.items()),
    *(("stability", band, phrase) for band, phrase in STABILITY.items()),
    *((topic, band, phrase) for (topic, band), phrase in TELL.items()),
    *(("role", role, phrase.split(",")[0]) for role, phrase in ROLES.items()),
    ("conflict", "high", DOUBTS["conflict"]),
    ("stability", "low", DOUBTS["instability"]),
    (
        "sure",
        "low",
        "{a low confidence|only <confidence>|of only <confidence>|its confidence is low|the confidence is low}",
    ),
    ("sure", "medium", "{a moderate confidence|confidence is only medium|confidence is only moderate}"),
    ("sure", "high", "a high confidence"),
    ("reliability", "low", "{reliability is low|of this prediction is low|is not reliable|not be relied}"),
    (
        "reliability",
        "medium",
        "{reliability is medium|reliability is moderate|reliability of this prediction is medium}",
    ),
    ("reliability", "high", "{reliability is high|this prediction is reliable|reliability of this prediction is high}"),
    (
        "outcome",
        "right",
        "{is correct|correctly|is right about|rightly|label is the same|matches its label|agreement with its label}",
    ),
    ("outcome", "wrong", "{is wrong|wrongly|incorrectly|mistake|misclassified}"),
]
_CLAIMS = [
    (topic, value, re.compile(rf"(?<!\w){re.escape(option)}", re.IGNORECASE))
    for topic, value, phrase in _SAID
    for option in {expand(phrase, words) for words in range(STYLES)} | _options(phrase)
]


def claimed_phrases(sentence: str, outline: Outline) -> Iterator[tuple[str, str, str | None]]:
    """What a sentence says of bands, role and outcome: the topic, what it says, and what is the case."""
    facts = {**dict(outline.psi), "sure": outline.sure, "reliability": outline.reliability, "outcome": outline.outcome}
    for topic, value, pattern in _CLAIMS:
        if topic == "outcome" and "whether" in sentence:
            continue
        for _ in pattern.finditer(sentence):
            yield topic, value, facts.get(topic)


_AROUND = {  # what must stand before a slot, or after it
    **{f"weight{k}": rf"<near{k}> \((?:weight )?$" for k in (1, 2, 3)},
    **{f"class{k}": rf"<near{k}> \((?:weight )?<weight{k}>, predicted as $" for k in (1, 2, 3)},
    **{f"share{k}": rf"<feature{k}> \(weight $" for k in (1, 2, 3)},
    **{f"psi_{name}": rf"\({title} $" for name, title in TITLES.items()},
    **{f"place_{name}": rf"{title} <psi_{name}>, $" for name, title in TITLES.items()},
    "confidence": r"^(?!.*(?:[Ww]ithout|Take away)).*(?:confidence of (?:only )?|[Ww]ith (?:only )?)$",
    "changed_confidence": r"<(?:changed|prediction)>(?:[^.<]*), (?:with|at) (?:a confidence of )?$",
    "changed": r"(?:[Ww]ithout|Take away)[^.]*$",
    "removed": r"(?:[Ww]ithout its|Take away the|hangs? on its) $",
    "label": r"(?:label|value)[^.]*$|^$",
}
JUDGED = ("band", "role", "class", "outcome")
_NUMBERS = re.compile(r"weight|share|psi_|place_|confidence|changed_confidence|removed|validation")
_CLASSES = re.compile(r"class|label|changed$|prediction")


@dataclass(frozen=True)
class Claims:
    """How many claims a text makes, and how many of them are wrong, by kind."""

    made: Counter[str]
    wrong: Counter[str]


def read_claims(raw: str, outline: Outline) -> Claims:
    """Read what a text with its slots still open claims."""
    made: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    for sentence in re.split(r"(?<=[.]) ", raw.strip()):
        for slot in re.finditer(r"<(\w+)>", sentence):
            kind = "number" if _NUMBERS.match(slot[1]) else "class" if _CLASSES.match(slot[1]) else ""
            made[kind] += 1
            around = _AROUND.get(slot[1])
            if around and not re.search(around, sentence[: slot.start()]) and not _said_elsewhere(slot[1], sentence):
                wrong[kind] += 1
        for topic, value, truth in claimed_phrases(sentence, outline):
            kind = {"role": "role", "outcome": "outcome"}.get(topic, "band")
            made[kind] += 1
            wrong[kind] += value != truth
    del made[""]
    return Claims(made, wrong)


def _said_elsewhere(slot: str, sentence: str) -> bool:
    """A label may stand anywhere in a sentence that speaks of labels."""
    return slot == "label" and "label" in sentence


def foreign_sentences(raw: str, outline: Outline) -> list[str]:
    """What the grammar of the training texts would not have said of an outline."""
    known, foreign, rest = sorted(sentences(outline), key=len, reverse=True), [], raw.strip()
    while rest:
        said = next((text for text in known if rest.startswith(text)), None)
        if said is None:
            said = re.split(r"(?<=[.]) ", rest)[0]
            foreign.append(said)
        rest = rest[len(said) :].strip()
    return foreign
