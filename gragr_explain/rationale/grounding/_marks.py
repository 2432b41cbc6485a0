"""Set the names of the facts aside in a text, so that nothing inside a name reads as a claim."""

import re

from gragr_explain.rationale._facts import BANDS, Facts
from gragr_explain.rationale._wording import PLAIN_NAME, clean_name, in_one_way
from gragr_explain.rationale.grounding import _vocabulary as words

MARK = re.compile("[\ue000-\uf8ff]")  # a private-use character stands for a name; no cleaned name contains one
_QUOTED = re.compile(r'"([^"]*)"')
_CUE = (
    r"(?:class|label|category|node|neighbou?r|feature|pixel|(?:mis)?(?:predict|classifi)ed(?: as)?|would(?: \w+)? be"
    r"|predict|becomes?|(?:flips|changes|switches) to)(?: is)? "
)
_ANYWHERE = r"(?<!\w)NAME"
_WITHIN_SENTENCE = r"(?:(?<=[^.!?:\s] )|(?<=['(/])|(?<!\w)(?=\w+ (?:is|was) (?:the|its)\b))NAME"
_AFTER_CUE = rf"(?<!\w){_CUE}NAME"
_CLAIMS = [
    *(pattern for _, _, pattern in words.MENTIONS),
    *(pattern for _, pattern in words.BANDS_OF_WORDS),
    *(words.LABEL, words.PREDICTION, words.NEIGHBOURS, words.FEATURES, words.SHARES, words.DIFFERS),
    *(words.NEGATION, words.HEDGE, words.UNKNOWN, words.ABSENT, words.ROLE, words.CORRECT, words.WRONG),
    *(words.CONNECTIONS, words.REMOVAL, words.SUPPOSED, words.CHANGES, words.STAYS, words.DEPENDS),
    *(words.DENIAL, words.NOW),
    *(words.SPELLED, words.SPELLED_LARGE, words.CLAUSE_END),
]


class Marks:
    """One private-use character for each name of the facts.

    A name is data wherever it stands in quotation marks. Without them it is recognised where nothing else can be
    meant: ``node 17`` and names with a capital letter (one capitalised word not at the start of a sentence), other
    names and numbers after a word such as *class* or *predicted as*, and a name that would itself read as a claim
    (a class called ``hub``) not at all.
    """

    def __init__(self, facts: Facts) -> None:
        named = [facts.subject, facts.prediction]
        named += [each.name for each in facts.neighbours] + [each.name for each in facts.features]
        named += [each.prediction for each in facts.neighbours if each.prediction is not None]
        named += [facts.label] if facts.label is not None else []
        named += [facts.change.prediction] if facts.change is not None else []
        names = sorted({in_one_way(clean_name(name)) for name in named}, key=lambda name: (-len(name), name))
        self._marks = {name: chr(0xE000 + number) for number, name in enumerate(names)}
        self._folded = {name.casefold(): mark for name, mark in self._marks.items()}

    def of(self, name: str) -> str:
        """Return the mark that stands for a name of the facts."""
        return self._marks[in_one_way(clean_name(name))]

    def set_aside(self, text: str) -> tuple[str, list[str]]:
        """Return the text with marks for names, and what stands in quotation marks and is no name of the facts."""
        strangers: list[str] = []

        def unquote(found: re.Match[str]) -> str:
            said = " ".join(found[1].split())
            mark = self._lookup(said) or self._lookup(said.rstrip(".,;:!?"))
            if mark is None and said.casefold() not in BANDS and not words.ROLE.fullmatch(said):
                strangers.append(said)
            return mark or f" {said} "

        text = _QUOTED.sub(unquote, in_one_way(MARK.sub("", " ".join(text.split()))))
        plain = [name for name in self._marks if PLAIN_NAME.fullmatch(name)]
        rest = [name for name in self._marks if name not in plain and not any(claim.search(name) for claim in _CLAIMS)]
        word = [name for name in rest if name.isalpha() and name.istitle()]
        proper = [name for name in rest if name != name.lower() and name not in word]
        other = [name for name in rest if name == name.lower()]
        text = self._mark_names(text, _ANYWHERE, plain, re.IGNORECASE)
        text = self._mark_names(text, _ANYWHERE, proper, re.NOFLAG)
        text = self._mark_names(text, _WITHIN_SENTENCE, word, re.NOFLAG)
        return self._mark_names(text, _AFTER_CUE, other, re.IGNORECASE), strangers

    def _lookup(self, said: str) -> str | None:
        return self._marks.get(said, self._folded.get(said.casefold()))

    def _mark_names(self, text: str, place: str, names: list[str], flags: re.RegexFlag) -> str:
        if not names:
            return text
        choice = rf"(?P<name>{'|'.join(map(re.escape, names))})(?![\w%]|[.,]\d)"

        def mark(found: re.Match[str]) -> str:
            return found.group()[: -len(found["name"])] + (self._lookup(found["name"]) or found["name"])

        return re.sub(place.replace("NAME", choice), mark, text, flags=flags)
