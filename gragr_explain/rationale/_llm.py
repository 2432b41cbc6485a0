"""Rationales from a local language model, each checked before anybody reads it."""

from collections.abc import Sequence
from pathlib import Path

import torch

from gragr_explain.arguments import check_number, check_type
from gragr_explain.errors import InvalidArgumentError, InvalidTypeError, LanguageModelError
from gragr_explain.rationale._acceptance import from_template
from gragr_explain.rationale._decoding import Decoder
from gragr_explain.rationale._dialect import Dialect
from gragr_explain.rationale._facts import Facts, Rationale
from gragr_explain.rationale._instruct import Instruct
from gragr_explain.rationale._llm_hub import silent_retries
from gragr_explain.rationale._loading import EMBEDDED, load_language_model
from gragr_explain.rationale._slots import SLOT_DIALECT, Slots
from gragr_explain.rationale.grounding import check_grounding

_ANOTHER_CLASS = "The evidence speaks for another class than the prediction, of which language models are not asked."


class LLMWriter:
    """Write rationales with a causal language model through transformers (eq. 17).

    The model is loaded at once, so that a missing or broken one is noticed before any work. It decodes greedily
    unless a temperature is given, and even then the same facts give the same text, whatever else is written with
    them. Every text is checked with :func:`check_grounding`; one that states what the facts do not support, repeats
    itself or does not name the prediction is replaced by the text of :class:`TemplateWriter`, and marked. So is one
    for which memory does not suffice, even for a batch of one, or time, and one whose evidence speaks for another class
    than the prediction, as where the label of a wrong prediction is explained.

    The default model comes with the package. It is small, never sees a name or a number, and writes *slots* for them
    which are filled from the facts; the key ``gragr_dialect`` in the ``config.json`` of a model says that it does so.
    Any other model is asked in plain English, in its chat template if it has one. A prompt that is too long for it
    loses its last examples first, then its weakest features, then its weakest neighbours, which the rationale's
    ``problems`` say; if it still does not fit, the template writes.

    Args:
        model: a model id or a local folder with a configuration, a tokenizer and weights as safetensors; None takes
            the one in the package.
        device: where to run, for example ``"cuda:0"``; None takes a GPU if there is one.
        dtype: type of the weights, for example ``torch.float16``; None keeps the one that they are saved in, where
            the device computes in it.
        batch_size: texts written at a time, fewer where memory does not suffice; None takes 64 for the model in the
            package and 8 for others.
        max_new_tokens: longest text, in tokens; what follows its last whole sentence is cut off.
        max_seconds: time for all the texts of a call; those not written by then are the template's. None sets no
            limit.
        temperature: 0 takes the likeliest word each time, a higher one draws more freely.
        seed: of what is drawn, and of how the model in the package words its texts.
        examples: facts and a good text for each, shown to the model before the question (few-shot).
        progress: whether to show a progress bar on a terminal.

    Raises:
        LanguageModelError: if the model cannot be loaded.
        InvalidTypeError: if an argument is of another type.
        InvalidArgumentError: if another argument cannot be used.

    Example:
        >>> from gragr_explain.rationale import Facts, LLMWriter
        >>> facts = Facts("node 17", "Theory", 0.5, None, (), None, "self", (), ())
        >>> [rationale] = LLMWriter(progress=False)([facts])
        >>> rationale.replaced, "Theory" in rationale.text
        (False, True)
    """

    def __init__(
        self,
        model: str | Path | None = None,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int | None = None,
        max_new_tokens: int = 160,
        max_seconds: float | None = None,
        temperature: float = 0.0,
        seed: int = 0,
        examples: Sequence[tuple[Facts, str]] = (),
        progress: bool = True,
    ) -> None:
        check_number("batch_size", batch_size, whole=True, least=1, optional=True)
        check_number("max_new_tokens", max_new_tokens, whole=True, least=1)
        check_number("max_seconds", max_seconds, within="(0, inf)", optional=True)
        check_number("temperature", temperature, least=0)
        check_number("seed", seed, whole=True, least=0)
        check_type("dtype", dtype, torch.dtype, optional=True)
        check_type("examples", examples, Sequence)
        for number, example in enumerate(examples):
            if not isinstance(example, tuple) or len(example) != 2:
                raise InvalidTypeError(f"expected examples as pairs of Facts and a text, got {example!r}")
            facts, text = example
            if problems := check_grounding(text, facts):
                raise InvalidArgumentError(f"expected examples that are true, got in example {number}: {problems[0]}")
        try:
            place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (RuntimeError, TypeError) as error:
            raise InvalidArgumentError(f"expected the name of a torch device, got {device!r}") from error
        source = EMBEDDED if model is None else model
        with silent_retries():
            loaded, tokenizer = load_language_model(source, place, dtype)
        windows = [tokenizer.model_max_length, getattr(loaded.config, "max_position_embeddings", None)]
        self._room = max(min(window for window in windows if window) - max_new_tokens, 0)
        dialect = getattr(loaded.config, "gragr_dialect", None)
        if dialect not in (None, SLOT_DIALECT):
            raise LanguageModelError(f"Expected a model of the dialect {SLOT_DIALECT!r} or none, got {dialect!r}.")
        if dialect and examples:
            raise InvalidArgumentError(
                f"expected no examples for a model of the dialect {dialect!r}, got {len(examples)}"
            )
        self._dialect: Dialect = Slots(tokenizer, seed) if dialect else Instruct(tokenizer, examples, self._room)
        self._decode = Decoder(
            loaded,
            tokenizer,
            place,
            batch_size or self._dialect.batch_size,
            max_new_tokens,
            max_seconds,
            temperature,
            seed,
            progress,
        )

        named = "embedded" if model is None else str(source)
        self._settings = f"{named!r}, {dtype=}, {max_new_tokens=}, {temperature=}, {seed=}, examples={len(examples)}"

    def __repr__(self) -> str:
        """What its texts depend on, by which exports are told apart."""
        return f"{type(self).__name__}({self._settings})"

    def __call__(self, facts: Sequence[Facts]) -> list[Rationale]:
        """Write one rationale for each of ``facts``.

        Raises:
            LanguageModelError: if the model fails.
        """
        too_long = f"The prompt is longer than the {self._room} tokens that the language model has room for."
        prompts = [self._dialect.prompt(each) for each in facts]
        fitting = [
            row
            for row, (each, prompt) in enumerate(zip(facts, prompts, strict=True))
            if each.explained is None and 0 < len(prompt.tokens) <= self._room
        ]
        answers = dict(zip(fitting, self._decode([prompts[row].tokens for row in fitting]), strict=True))
        rationales = []
        for row, (each, prompt) in enumerate(zip(facts, prompts, strict=True)):
            if each.explained is not None:
                rationales.append(from_template(each, (_ANOTHER_CLASS,)))
            elif row not in answers:
                rationales.append(from_template(each, (too_long,)))
            elif answers[row].problem:
                rationales.append(from_template(each, (answers[row].problem,)))
            else:
                rationales.append(self._dialect.finish(answers[row].text, each, prompt))
        return rationales
