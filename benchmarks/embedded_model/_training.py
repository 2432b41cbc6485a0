"""The training of the embedded model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from benchmarks.embedded_model._contexts import random_facts
from benchmarks.embedded_model._grammar import compose
from benchmarks.embedded_model._tokenizer import END
from gragr_explain.rationale._outline import outline_of
from gragr_explain.rationale._slots import SLOT_DIALECT, slot_prompt, style_of

WINDOW = 384
_SHUFFLED = 16  # batches that are cut from texts sorted by length, so that little is padded
_WARM_UP = 0.03  # of the steps
_IGNORED = -100


@dataclass(frozen=True)
class Size:
    """How large a model is, and how long it learns."""

    width: int = 96
    inner: int = 256
    layers: int = 4
    heads: int = 4
    batch_size: int = 64
    steps: int = 3_000
    lr: float = 5e-3


def examples(draw: Random) -> Iterator[tuple[str, str]]:
    """Prompts and the texts that answer them, without end."""
    while True:
        facts, seed = random_facts(draw), draw.randrange(2**32)
        yield slot_prompt(facts, seed), compose(outline_of(facts), style_of(facts, seed))


def train(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int) -> tuple[LlamaForCausalLM, list[float]]:
    """Train a model on texts of which it sees each once.

    Args:
        tokenizer: Its tokenizer.
        size: How large it is, and how long it learns.
        seed: Of the weights and the texts.

    Returns:
        The model, and the loss of every step: the mean of the negative log-likelihood of a text's words.
    """
    torch.manual_seed(seed)
    model = LlamaForCausalLM(_config(tokenizer, size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=size.lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step / size.steps))
    batches, losses = _batches(tokenizer, size.batch_size, Random(seed)), []
    bar = tqdm(range(size.steps), desc="training", unit="step")
    for _ in bar:
        tokens, wanted = next(batches)
        learned = wanted[:, 1:] != _IGNORED
        hidden = model.model(input_ids=tokens).last_hidden_state[:, :-1][learned]
        loss = F.cross_entropy(model.lm_head(hidden), wanted[:, 1:][learned])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{losses[-1]:.4f}", refresh=False)
    return model.eval(), losses


def _config(tokenizer: PreTrainedTokenizerFast, size: Size) -> LlamaConfig:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.width,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        max_position_embeddings=WINDOW,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    config.gragr_dialect = SLOT_DIALECT
    return config


def _rate(done: float) -> float:
    """The share of the learning rate: it warms up, then falls along a cosine."""
    return min(done / _WARM_UP, 0.5 + 0.5 * math.cos(math.pi * done)) + 1e-3


def _batches(tokenizer: PreTrainedTokenizerFast, size: int, draw: Random) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of texts of about the same length, without end."""
    texts = examples(draw)
    while True:
        pairs = list(islice(texts, size * _SHUFFLED))
        prompts = tokenizer([prompt for prompt, _ in pairs])["input_ids"]
        answers = tokenizer([text + END for _, text in pairs])["input_ids"]
        rows = sorted(zip(prompts, answers, strict=True), key=lambda row: len(row[0]) + len(row[1]))
        starts = list(range(0, len(rows), size))
        draw.shuffle(starts)
        yield from (_batch(rows[start : start + size], tokenizer) for start in starts)


def _batch(rows: list[tuple[list[int], list[int]]], tokenizer: PreTrainedTokenizerFast) -> tuple[Tensor, Tensor]:
    """The tokens of prompts and texts, ``[batch_size, length]``, and of these the ones to learn.

    They are padded on the right, where no token of a text can see it.
    """
    longest = max(len(prompt) + len(text) for prompt, text in rows)
    tokens = torch.full((len(rows), longest), tokenizer.pad_token_id)
    wanted = torch.full_like(tokens, _IGNORED)
    for number, (prompt, text) in enumerate(rows):
        assert tokenizer.unk_token_id not in prompt + text, "the vocabulary was drawn from too few texts"
        end = len(prompt) + len(text)
        tokens[number, :end] = torch.tensor(prompt + text)
        wanted[number, len(prompt) : end] = torch.tensor(text)
    return tokens, wanted
