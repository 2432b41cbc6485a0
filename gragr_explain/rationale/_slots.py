"""A dialect of small language models: an outline comes in, a text with slots for names and numbers comes out.

A small model cannot be trusted with a number or a name, so it never sees one: its prompt is the outline of the facts,
and it writes ``<confidence>`` or ``<near1>`` where the fact is to stand. Nothing in a graph can therefore steer it.
Variety comes from *style* words in the prompt, drawn from a hash of what was predicted of what: the model decodes
greedily, and yet no two texts need be worded alike.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import TYPE_CHECKING

from gragr_explain.rationale._acceptance import accept, from_template
from gragr_explain.rationale._dialect import Prompt
from gragr_explain.rationale._facts import Facts, PsiFact, Rationale
from gragr_explain.rationale._outline import outline_of, unknown_titles, worth_naming
from gragr_explain.rationale._reliability import judge, validation_in_words
from gragr_explain.rationale._wording import (
    PLAIN_NAME,
    clean_name,
    join_words,
    show_name,
    show_number,
    show_percent,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SLOT_DIALECT = "slots-2"
"""What the key ``gragr_dialect`` of a model's ``config.json`` says if the model speaks this dialect."""

SECTIONS = ("order", "outcome", "support", "change", "learning", "role", "verdict", "action")
"""The parts of a text; the style says of each which sentence (a) and which of its words (b) to take."""

STYLES = 8
_SLOT = re.compile(r"<(\w+)>")
_SENTENCE_START = re.compile(r"(?:^|[.!?] )$")


class Slots:
    """How to speak with a model of this dialect.

    Args:
        tokenizer: the model's tokenizer.
        seed: another seed words the same facts in another way.
    """

    batch_size = 64

    def __init__(self, tokenizer: PreTrainedTokenizerBase, seed: int) -> None:
        self._tokenizer, self._seed = tokenizer, seed

    def prompt(self, facts: Facts) -> Prompt:
        """Return the prompt for a text."""
        return Prompt(self._tokenizer(slot_prompt(facts, self._seed))["input_ids"])

    def finish(self, answer: str, facts: Facts, prompt: Prompt) -> Rationale:
        """Return a model's answer with the facts in it, or the template's text where it cannot be shown."""
        text, empty = fill_slots(answer, facts)
        if empty:
            return from_template(
                facts, (f"The language model left {empty[0]} to be filled, for which there is no fact.",)
            )
        return accept(text, facts, prompt.notes)


def slot_prompt(facts: Facts, seed: int = 0) -> str:
    """Build the prompt of a model that speaks this dialect.

    Args:
        facts: what the text may state.
        seed: another seed words the same facts in another way.

    Example:
        >>> from gragr_explain.rationale import Facts
        >>> facts = Facts("node 17", "Theory", 0.93, None, (), None, "self", (), ())
        >>> slot_prompt(facts)[:50]
        '<node><open><sure:high><features:0><change:unmeasu'
    """
    style = style_of(facts, seed).items()
    styled = [f"{section}:{word}" for section, (frame, words) in style for word in (f"a{frame}", f"b{words}")]
    return "".join(f"<{word}>" for word in (*outline_of(facts).words(), *styled, "write"))


def fill_slots(text: str, facts: Facts) -> tuple[str, tuple[str, ...]]:
    """Put the facts into a model's text.

    Args:
        text: what the model wrote.
        facts: what to fill in.

    Returns:
        The text, and the slots for which there is no fact; they are left as they are.

    Example:
        >>> from gragr_explain.rationale import Facts
        >>> facts = Facts("node 17", "Theory", 0.93, None, (), None, "self", (), ())
        >>> fill_slots("<subject> is predicted as <prediction>.", facts)
        ('Node 17 is predicted as "Theory".', ())
    """
    text, values = text.strip(), _values(facts)

    def fill(slot: re.Match[str]) -> str:
        shown = values.get(slot[1], slot[0])
        starts = _SENTENCE_START.search(text, 0, slot.start()) and PLAIN_NAME.fullmatch(shown)
        return shown[0].upper() + shown[1:] if starts else shown

    empty = dict.fromkeys(slot[0] for slot in _SLOT.finditer(text) if slot[1] not in values)
    return _SLOT.sub(fill, text), tuple(empty)


def style_of(facts: Facts, seed: int) -> dict[str, tuple[int, int]]:
    """Draw the style from what was predicted of what: no rounding error elsewhere in the facts can change it.

    Returns:
        For each section, which of its sentences to take and which of their words, both below :data:`STYLES`.
    """
    key = f"{seed}\n{facts.subject}\n{facts.prediction}".encode(errors="surrogatepass")
    drawn = [byte % STYLES for byte in blake2b(key, digest_size=2 * len(SECTIONS)).digest()]
    return dict(zip(SECTIONS, zip(drawn[::2], drawn[1::2], strict=True), strict=True))


def _place(fact: PsiFact) -> str:
    """Where a node stands in the graph."""
    if fact.rank is None:
        return "like many of the nodes"
    above = fact.rank >= 0.5
    share = show_percent(fact.rank if above else 1 - fact.rank)
    return f"{'above' if above else 'below'} {share} of the nodes"


def _values(facts: Facts) -> dict[str, str]:
    """What stands in each slot."""
    values = {"subject": show_name(facts.subject)}
    show = clean_name if facts.confidence is None else show_name
    values["prediction"] = show(facts.prediction)
    if facts.label is not None:
        values["label"] = show(facts.label)
    if facts.confidence is not None:
        values["confidence"] = show_percent(facts.confidence)
    for rank, neighbour in enumerate(worth_naming(facts.neighbours), start=1):
        values |= {f"near{rank}": show_name(neighbour.name), f"weight{rank}": show_number(neighbour.weight)}
        if neighbour.prediction is not None:
            values[f"class{rank}"] = show_name(neighbour.prediction)
    for rank, feature in enumerate(worth_naming(facts.features), start=1):
        values |= {f"feature{rank}": show_name(feature.name), f"share{rank}": show_number(feature.weight)}
    for fact in facts.psi:
        if fact.valid:
            values[f"psi_{fact.name}"] = show_number(fact.value)
            values[f"place_{fact.name}"] = _place(fact)
    if facts.change is not None:
        values |= {
            "removed": str(facts.change.removed),
            "changed": show_name(facts.change.prediction),
            "changed_confidence": show_percent(facts.change.confidence),
        }
    if (validation := validation_in_words(judge(facts))) is not None:
        values["validation"] = validation
    if facts.psi:
        values["unknown"] = join_words(unknown_titles(facts))
    return values
