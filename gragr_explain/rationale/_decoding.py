"""Let a language model continue prompts: in batches, within the memory and the time that there are."""

from __future__ import annotations

import gc
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from tqdm.auto import tqdm

from gragr_explain.errors import LanguageModelError
from gragr_explain.rationale._loading import CausalModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_NO_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)


class Answer(NamedTuple):
    """What a model wrote, or why it wrote nothing."""

    text: str
    problem: str = ""


@dataclass(frozen=True)
class Decoder:
    """Continue prompts with a language model.

    Args:
        model: the model.
        tokenizer: its tokenizer.
        device: where the model is.
        batch_size: prompts continued at a time; halved where memory does not suffice.
        max_new_tokens: longest continuation.
        max_seconds: time for all prompts of a call.
        temperature: 0 takes the likeliest token each time, a higher one draws more freely.
        seed: what is drawn depends on it and on the prompt, not on the batch.
        progress: whether to show a progress bar on a terminal.
    """

    model: CausalModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    batch_size: int
    max_new_tokens: int
    max_seconds: float | None
    temperature: float
    seed: int
    progress: bool

    def __call__(self, prompts: Sequence[list[int]]) -> list[Answer]:
        """Continue prompts, those of about the same length together.

        Raises:
            LanguageModelError: if the model fails for another reason than want of memory.
        """
        end = None if self.max_seconds is None else time.monotonic() + self.max_seconds
        waiting = sorted(range(len(prompts)), key=lambda row: len(prompts[row]))
        answers, size = [Answer("")] * len(prompts), self.batch_size
        with tqdm(total=len(prompts), desc="rationales", unit="text", disable=None if self.progress else True) as bar:
            while waiting:
                left = None if end is None else end - time.monotonic()
                batch = waiting[:size]
                if left is not None and left <= 0:
                    batch, found = waiting, [Answer("", "The time for the language model was up.")] * len(waiting)
                else:
                    texts = self._continued([prompts[row] for row in batch], left)
                    if texts is None and len(batch) > 1:
                        size = len(batch) // 2
                        continue
                    found = [Answer("", "The language model ran out of memory.")] if texts is None else texts
                for row, answer in zip(batch, found, strict=True):
                    answers[row] = answer
                waiting = waiting[len(batch) :]
                bar.update(len(batch))
        return answers

    def _continued(self, prompts: list[list[int]], seconds: float | None) -> list[Answer] | None:
        """Continue a batch, or return None where there is not enough memory for it."""
        try:
            return [Answer(text) for text in self._generate(prompts, seconds)]
        except (RuntimeError, MemoryError) as error:
            if not isinstance(error, torch.OutOfMemoryError | MemoryError) and not _NO_MEMORY.search(str(error)):
                raise LanguageModelError(f"The language model failed on {self.device}: {error}") from error
        gc.collect()  # only now, when the error no longer holds the tensors of the batch
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        return None

    def _generate(self, prompts: list[list[int]], seconds: float | None) -> list[str]:
        """Continue a batch of prompts, padded on the left."""
        width, pad = max(map(len, prompts)), self.tokenizer.pad_token_id
        rows = [[pad] * (width - len(prompt)) + prompt for prompt in prompts]
        real = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        drawing = [_Draw(prompts, self.temperature, self.seed)] if self.temperature > 0 else []
        with torch.inference_mode():
            output = self.model.generate(
                input_ids=torch.tensor(rows, device=self.device),
                attention_mask=torch.tensor(real, device=self.device),
                max_new_tokens=self.max_new_tokens,
                max_time=seconds,
                logits_processor=drawing,
                do_sample=False,
                num_beams=1,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=pad,
            )
        return self.tokenizer.batch_decode(output[:, width:], skip_special_tokens=True)


class _Draw:
    """Draw each next token: the largest of logits with Gumbel noise is a draw from their softmax.

    Args:
        prompts: the prompts of a batch; each has its own random numbers.
        temperature: by which the logits are divided.
        seed: of the random numbers.
    """

    def __init__(self, prompts: list[list[int]], temperature: float, seed: int) -> None:
        self._temperature = temperature
        self._generators = [torch.Generator().manual_seed(_digest(seed, prompt)) for prompt in prompts]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return the logits of shape ``[batch_size, num_tokens]`` with noise."""
        noise = torch.stack(
            [torch.empty(scores.size(1), device="cpu").exponential_(generator=each) for each in self._generators]
        )
        return scores.float() / self._temperature - noise.to(scores.device).log()


def _digest(seed: int, prompt: list[int]) -> int:
    return int.from_bytes(blake2b(f"{seed} {prompt}".encode(), digest_size=8).digest(), "big", signed=True)
