"""How to speak with a language model."""

from typing import NamedTuple, Protocol

from gragr_explain.rationale._facts import Facts, Rationale


class Prompt(NamedTuple):
    """The tokens of a prompt, none if it does not fit the model, and what a reader should know of it."""

    tokens: list[int]
    notes: tuple[str, ...] = ()


class Dialect(Protocol):
    """What a model is asked, and what is made of its answers."""

    batch_size: int

    def prompt(self, facts: Facts) -> Prompt:
        """Return the prompt for a text."""

    def finish(self, answer: str, facts: Facts, prompt: Prompt) -> Rationale:
        """Return the rationale that comes of an answer."""
