"""The texts that the embedded model learns to write: for every outline, sentences that say it in several ways.

A section of a text has a few *frames*, of which the style picks one, and in it the words. Which frames there are is
decided by the outline alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchmarks.embedded_model import _frames as frames_of
from gragr_explain.rationale._outline import Outline
from gragr_explain.rationale._slots import STYLES

T = TypeVar("T")
_CHOICE = re.compile(r"\{([^{}]*)\}")
_BITS = 3  # of the style of a section's words; the first choice in a frame is made by all of them, the next by fewer


def compose(outline: Outline, style: dict[str, tuple[int, int]]) -> str:
    """The text of an outline in one style.

    Args:
        outline: What to say.
        style: For each section, which frame to take and which of its words.
    """
    return "".join(
        " " + expand(choose(frames, style[section][0]), style[section][1])
        for section, frames in sections(outline, style["order"][0])
        if frames
    )


def sentences(outline: Outline) -> set[str]:
    """Every text of a section that some style gives to an outline."""
    return {expand(frame, words) for _, frames in sections(outline, 0) for frame in frames for words in range(STYLES)}


def sections(outline: Outline, order: int) -> Iterator[tuple[str, list[str]]]:
    """The frames of each section, in the order in which they are to be told."""
    writers: dict[str, Callable[[Outline], list[str]]] = {
        "outcome": frames_of.outcome,
        "support": frames_of.support,
        "change": frames_of.change,
        "learning": frames_of.learning,
        "role": frames_of.role,
        "verdict": frames_of.verdict,
        "action": frames_of.action,
    }
    middle = (
        ("support", "change", "learning", "role", "verdict"),
        ("verdict", "support", "change", "learning", "role"),
        ("learning", "role", "support", "change", "verdict"),
        ("support", "learning", "role", "change", "verdict"),
    )
    for section in ("outcome", *choose(middle, order), "action"):
        yield section, writers[section](outline)


def choose(options: Sequence[T], number: int) -> T:
    """One of some options, by a number that may be larger than their count."""
    return options[number % len(options)]


def expand(frame: str, words: int) -> str:
    """Make the choices of a frame.

    Example:
        >>> expand("{It|This} is {so|thus}.", 0), expand("{It|This} is {so|thus}.", 1)
        ('It is so.', 'This is so.')
    """
    made = 0

    def make(choice: re.Match[str]) -> str:
        nonlocal made
        options = choice[1].split("|")
        made += 1
        return options[(words >> ((made - 1) % _BITS)) % len(options)]

    return _CHOICE.sub(make, frame)
