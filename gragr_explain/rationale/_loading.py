"""Load a causal language model and its tokenizer, or say in one sentence why that is impossible."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor, nn

from gragr_explain.errors import LanguageModelError
from gragr_explain.files import as_path

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


EMBEDDED = Path(__file__).parent / "embedded"
"""The folder of the language model that comes with the package."""


class CausalModel(Protocol):
    """What is asked of a language model once it is loaded."""

    config: PreTrainedConfig

    def generate(self, *, input_ids: Tensor, attention_mask: Tensor, **options: object) -> Tensor:
        """Continue a batch of token sequences."""


def load_language_model(
    model: str | Path, device: torch.device, dtype: torch.dtype | None
) -> tuple[CausalModel, PreTrainedTokenizerBase]:
    """Load from a local folder or a model id; only safetensors, and never code that comes with the weights.

    Raises:
        LanguageModelError: if transformers is not installed, or if the tokenizer or the weights are missing,
            damaged, incomplete or do not fit each other.
    """
    try:
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise LanguageModelError(
            "A language model needs the package transformers; install it with: pip install 'gragr-explain[llm]'."
        ) from error
    source = _source(model)
    try:  # transformers raises errors of many kinds here, and whatever they are, the model cannot be used
        with _silence() if source == str(EMBEDDED) else nullcontext():
            tokenizer = AutoTokenizer.from_pretrained(source, padding_side="left", trust_remote_code=False)
            loaded, report = cast(
                "tuple[PreTrainedModel, dict[str, set[str]]]",
                AutoModelForCausalLM.from_pretrained(
                    source, use_safetensors=True, trust_remote_code=False, output_loading_info=True
                ),
            )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise LanguageModelError(f"The language model {source!r} cannot be loaded: {reason}") from error
    if report["missing_keys"]:
        raise LanguageModelError(
            f"The weights of the language model {source!r} are incomplete: {len(report['missing_keys'])} tensors are "
            f"missing, the first is {min(report['missing_keys'])!r}."
        )
    rows = cast(nn.Embedding, loaded.get_input_embeddings()).num_embeddings
    if len(tokenizer) > rows:
        raise LanguageModelError(
            f"The tokenizer of the language model {source!r} does not fit its weights: it has {len(tokenizer)} "
            f"tokens, the model embeds {rows}."
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    if dtype is None and device.type == "cpu" and loaded.dtype == torch.float16:
        dtype = torch.float32  # a CPU computes in half precision slowly, if at all
    try:
        cast(nn.Module, loaded).to(device=device, dtype=dtype).eval()
    except (RuntimeError, AssertionError) as error:
        raise LanguageModelError(f"The language model {source!r} cannot be moved to {device}: {error}") from error
    return cast(CausalModel, loaded), tokenizer


@contextmanager
def _silence() -> Iterator[None]:
    """No progress bar of transformers, for a model that is there at once."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _source(model: str | Path) -> str:
    """Return what transformers shall load; a folder is looked through first, as its errors speak of the network."""
    folder = as_path(model).expanduser()
    if not folder.exists():
        looks_local = isinstance(model, Path) or folder.is_absolute() or model[:1] in ".~" or model.count("/") > 1
        if looks_local:
            raise LanguageModelError(f"Expected a folder with a language model, but {str(model)!r} does not exist.")
        return str(model)
    if not folder.is_dir():
        raise LanguageModelError(f"Expected a folder with a language model, but {str(model)!r} is a file.")
    config = folder / "config.json"
    if not config.is_file():
        raise LanguageModelError(f"The folder {str(model)!r} holds no language model: config.json is missing.")
    for file in (config, folder / "tokenizer_config.json"):
        try:
            said = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        except ValueError as error:
            raise LanguageModelError(f"The {file.name} in {str(model)!r} is not valid JSON: {error}.") from error
        if isinstance(said, dict) and said.get("auto_map"):
            raise LanguageModelError(
                f"The language model {str(model)!r} comes with code of its own, which is never run: {file.name} has "
                f"the entry auto_map {said['auto_map']!r}. Without that entry, transformers takes its own code, if it "
                "has any."
            )
    for pattern, what in (("*.safetensors", "weights in safetensors format"), ("*token*", "tokenizer")):
        if not any(folder.glob(pattern)):
            raise LanguageModelError(f"The folder {str(model)!r} holds no {what} (no file {pattern}).")
    return str(folder)
