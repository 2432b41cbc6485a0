"""How to speak with an instruct model: in plain English, with or without a chat template."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gragr_explain.errors import LanguageModelError
from gragr_explain.rationale._acceptance import accept
from gragr_explain.rationale._dialect import Prompt
from gragr_explain.rationale._facts import Facts, Rationale
from gragr_explain.rationale._prompt import build_messages, build_prompt
from gragr_explain.rationale._wording import join_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Example = tuple[Facts, str]
"""Facts, and a text that would be a good answer to them."""


class Instruct:
    """How to speak with a model that follows instructions.

    A prompt that is too long loses its last examples first, then its weakest features, then its weakest neighbours;
    psi and the outcome stay.

    Args:
        tokenizer: the model's tokenizer.
        examples: answers to learn from, shown before the question.
        room: how many tokens a prompt may have.
    """

    batch_size = 8

    def __init__(self, tokenizer: PreTrainedTokenizerBase, examples: Sequence[Example], room: int) -> None:
        self._tokenizer, self._examples, self._room = tokenizer, list(examples), room
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        special |= set(tokenizer.all_special_tokens)
        longest_first = sorted(filter(str.strip, special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def prompt(self, facts: Facts) -> Prompt:
        """Return the longest prompt that leaves room for a text."""
        parts = len(self._examples) + len(facts.features) + len(facts.neighbours)
        dropped = bisect_left(range(parts + 1), True, key=lambda dropped: self._fits(facts, dropped))
        if dropped > parts:
            return Prompt([])
        notes = (
            (f"The prompt was too long and lacks {join_words(list(self._lost(facts, dropped)))}.",) if dropped else ()
        )
        return Prompt(self._tokens(facts, dropped), notes)

    def finish(self, answer: str, facts: Facts, prompt: Prompt) -> Rationale:
        """Return an answer that may be shown, or the template's text in its place."""
        return accept(answer, facts, prompt.notes)

    def _fits(self, facts: Facts, dropped: int) -> bool:
        return len(self._tokens(facts, dropped)) <= self._room

    def _shortened(self, facts: Facts, dropped: int) -> tuple[list[Example], Facts]:
        """Leave out so many parts, in the order of the rule."""
        examples = max(len(self._examples) - dropped, 0)
        features = max(len(facts.features) - max(dropped - len(self._examples), 0), 0)
        neighbours = len(self._examples) + len(facts.features) + len(facts.neighbours) - dropped
        shorter = replace(facts, features=facts.features[:features], neighbours=facts.neighbours[: max(neighbours, 0)])
        return self._examples[:examples], shorter

    def _lost(self, facts: Facts, dropped: int) -> Iterator[str]:
        examples, shorter = self._shortened(facts, dropped)
        counts = {
            "example": len(self._examples) - len(examples),
            "weakest feature": len(facts.features) - len(shorter.features),
            "weakest neighbour": len(facts.neighbours) - len(shorter.neighbours),
        }
        yield from (f"{count} {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count)

    def _tokens(self, facts: Facts, dropped: int) -> list[int]:
        """Return the tokens of a prompt; names that spell a special token of the tokenizer lose it."""
        examples, shorter = self._shortened(facts, dropped)
        if self._tokenizer.chat_template is None:
            shown = [f"{build_prompt(given)} {answer}\n\n" for given, answer in examples]
            return self._tokenizer(self._special.sub(" ", "".join([*shown, build_prompt(shorter)])))["input_ids"]
        system, question = build_messages(shorter)
        turns = [turn for given, answer in examples for turn in (build_messages(given)[1], _answer(answer))]
        messages = [
            {**message, "content": self._special.sub(" ", message["content"])} for message in (system, *turns, question)
        ]
        return self._tokenizer(self._in_chat_template(messages), add_special_tokens=False)["input_ids"]

    def _in_chat_template(self, messages: list[dict[str, str]]) -> str:
        system, first, *rest = messages
        together = [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]
        for attempt in (messages, together):  # some chat templates refuse a system message
            try:
                return str(self._tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=True))
            except Exception as error:  # a template is a program of the model's maker and may raise anything
                reason = error
        raise LanguageModelError(f"The chat template of the language model cannot be used: {reason}") from reason


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}
