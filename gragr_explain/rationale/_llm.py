"""Rationales from a local language model, each checked before anybody reads it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm.auto import tqdm

from gragr_explain.errors import InvalidArgumentError, LanguageModelError
from gragr_explain.rationale._acceptance import accept, from_template
from gragr_explain.rationale._facts import Facts, Rationale
from gragr_explain.rationale._loading import load_language_model
from gragr_explain.rationale._prompt import build_messages, build_prompt

_SHORTER_LISTS = (5, 2, 0)  # how many neighbours and features a prompt keeps, tried in turn where it is too long


class LLMWriter:
    """Write rationales with a causal language model through transformers (eq. 17).

    The model is loaded at once, so that a missing or broken one is noticed before any work. It decodes greedily,
    hence the same facts give the same text. Every text is checked with :func:`check_grounding`; one that states
    what the facts do not support, repeats itself or does not name the prediction is replaced by the text of
    :class:`TemplateWriter`, and marked. A prompt that is too long for the model keeps only the five, two or none
    strongest neighbours and features; if it still does not fit, the template writes.

    Args:
        model: a model id or a local folder with a configuration, a tokenizer and weights as safetensors.
        device: where to run, for example ``"cuda:0"``; None takes a GPU if there is one.
        dtype: type of the weights, for example ``torch.float16``; None keeps the one that they are loaded in.
        batch_size: texts written at a time.
        max_new_tokens: longest text, in tokens; what follows its last whole sentence is cut off.
        progress: whether to show a progress bar on a terminal.

    Raises:
        LanguageModelError: if the model cannot be loaded.
        InvalidArgumentError: if ``device``, ``batch_size`` or ``max_new_tokens`` cannot be used.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int = 8,
        max_new_tokens: int = 160,
        progress: bool = True,
    ) -> None:
        for name, number in (("batch_size", batch_size), ("max_new_tokens", max_new_tokens)):
            if number < 1:
                raise InvalidArgumentError(f"{name} must be at least 1, got {number}.")
        try:
            self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except RuntimeError as error:
            raise InvalidArgumentError(f"device must name a torch device, got {device!r}.") from error
        self._batch_size, self._max_new_tokens, self._progress = batch_size, max_new_tokens, progress
        self._model, self._tokenizer = load_language_model(model, self._device, dtype)
        windows = [self._tokenizer.model_max_length, getattr(self._model.config, "max_position_embeddings", None)]
        self._room = max(min(window for window in windows if window) - max_new_tokens, 0)
        special = {token.content for token in self._tokenizer.added_tokens_decoder.values() if token.special}
        special |= set(self._tokenizer.all_special_tokens)
        longest_first = sorted(filter(str.strip, special), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def __call__(self, facts: Sequence[Facts]) -> list[Rationale]:
        """Write one rationale for each of ``facts``.

        Raises:
            LanguageModelError: if the device runs out of memory.
        """
        too_long = f"The prompt is longer than the {self._room} tokens that the language model has room for."
        prompts = [self._fitting_prompt(each) for each in facts]
        rationales: dict[int, Rationale] = {}
        fitting = sorted((i for i, prompt in enumerate(prompts) if prompt), key=lambda i: len(prompts[i]))
        starts = range(0, len(fitting), self._batch_size)
        for start in tqdm(starts, desc="rationales", unit="batch", disable=None if self._progress else True):
            batch = fitting[start : start + self._batch_size]
            for i, text in zip(batch, self._generate([prompts[i] for i in batch]), strict=True):
                rationales[i] = accept(text, facts[i])
        return [rationales.get(i) or from_template(each, (too_long,)) for i, each in enumerate(facts)]

    def _fitting_prompt(self, facts: Facts) -> list[int]:
        """Return the tokens of the longest prompt that leaves room for a text, empty if there is none."""
        for most in (None, *_SHORTER_LISTS):
            tokens = self._tokenize(replace(facts, neighbours=facts.neighbours[:most], features=facts.features[:most]))
            if len(tokens) <= self._room:
                return tokens
        return []

    def _tokenize(self, facts: Facts) -> list[int]:
        """Return the tokens of a prompt; names that spell a special token of the tokenizer lose it."""
        if self._tokenizer.chat_template is None:
            return self._tokenizer(self._special.sub(" ", build_prompt(facts)))["input_ids"]
        messages = [
            {**message, "content": self._special.sub(" ", message["content"])} for message in build_messages(facts)
        ]
        prompt = self._apply_template(messages)
        return self._tokenizer(prompt, add_special_tokens=False)["input_ids"]

    def _apply_template(self, messages: list[dict[str, str]]) -> str:
        together = [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]
        for attempt in (messages, together):  # some chat templates refuse a system message
            try:
                return str(self._tokenizer.apply_chat_template(attempt, tokenize=False, add_generation_prompt=True))
            except Exception as error:  # a template is a program of the model's maker and may raise anything
                reason = error
        raise LanguageModelError(f"The chat template of the language model cannot be used: {reason}") from reason

    def _generate(self, prompts: list[list[int]]) -> list[str]:
        """Continue a batch of prompts, padded on the left, greedily."""
        width = max(map(len, prompts))
        pad = self._tokenizer.pad_token_id
        tokens = torch.tensor([[pad] * (width - len(prompt)) + prompt for prompt in prompts], device=self._device)
        real = torch.tensor(
            [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=self._device
        )
        try:
            with torch.inference_mode():
                output = self._model.generate(
                    input_ids=tokens,
                    attention_mask=real,
                    max_new_tokens=self._max_new_tokens,
                    do_sample=False,
                    num_beams=1,
                    temperature=None,
                    top_p=None,
                    top_k=None,
                    pad_token_id=pad,
                )
        except torch.OutOfMemoryError as error:
            raise LanguageModelError(
                f"{self._device} has not enough memory for {len(prompts)} texts at a time; lower batch_size."
            ) from error
        return self._tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)
