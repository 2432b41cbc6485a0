"""Train the embedded model and put it into the package: ``python -m benchmarks.embedded_model``.

The same seed gives the same model on the same version of PyTorch, with one thread.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import torch
from transformers import PreTrainedTokenizerFast

from benchmarks.embedded_model._tokenizer import phrase_tokenizer
from benchmarks.embedded_model._training import WINDOW, Size, examples, train
from gragr_explain.rationale._loading import EMBEDDED

_VOCABULARY_TEXTS, _PHRASES = 10_000, 400


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=Size.steps)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=EMBEDDED, help="where to write the model")
    options = parser.parse_args()

    torch.set_num_threads(1)
    prompts, texts = zip(*islice(examples(Random(f"vocabulary {options.seed}")), _VOCABULARY_TEXTS), strict=True)
    tokenizer = phrase_tokenizer(prompts, texts, _PHRASES, WINDOW)
    model, losses = train(tokenizer, replace(Size(), steps=options.steps), options.seed)
    model.half().save_pretrained(options.out)
    _save_tokenizer(tokenizer, options.out)
    last = losses[-100:]
    print(f"{model.num_parameters():,} parameters, {len(tokenizer):,} tokens, loss {sum(last) / len(last):.5f}")
    for file in sorted(options.out.iterdir()):
        print(f"{file.stat().st_size:>10,}  {file.name}")


def _save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Save a tokenizer under the name of its class that every version of transformers knows."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    config = {**json.loads(file.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
