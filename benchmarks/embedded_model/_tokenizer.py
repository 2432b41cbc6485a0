"""A tokenizer of words, and of phrases that stand together often: fewer tokens to learn and to write."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

_WORD = r" ?<[^<>\s]+>| ?[\w'-]+| ?[^\w\s]"  # a slot or a word of a prompt, a word, a punctuation mark
_FIRST_SIGN = 0x4E00  # one sign a word, for the search for phrases
UNKNOWN, END, PAD = "<unk>", "<end>", "<pad>"


def phrase_tokenizer(
    prompts: Sequence[str], texts: Sequence[str], phrases: int, window: int
) -> PreTrainedTokenizerFast:
    """The tokenizer of all the words in prompts and texts, each with the space before it, and of frequent phrases.

    Args:
        prompts: Prompts in which every word of a prompt occurs.
        texts: Texts in which every word of a text occurs.
        phrases: How many phrases to look for in the texts; byte-pair encoding over words finds them.
        window: How many tokens the model reads.
    """
    words = sorted({word for text in (*prompts, *texts) for word in re.findall(_WORD, text)})
    longer = sorted(set(_phrases(texts, phrases)) - set(words), key=lambda phrase: (-len(phrase), phrase))
    vocabulary = {word: number for number, word in enumerate([UNKNOWN, END, PAD, *words, *longer])}
    whole = "|".join(re.escape(phrase) + (r"(?![\w'-])" if phrase[-1].isalnum() else "") for phrase in longer)
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{whole}|{_WORD}" if whole else _WORD), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        eos_token=END,
        pad_token=PAD,
        padding_side="left",
        model_max_length=window,
        clean_up_tokenization_spaces=False,
    )


def _phrases(texts: Sequence[str], count: int) -> list[str]:
    """Phrases that are worth a token; none goes on after the end of a sentence."""
    rows = [re.findall(_WORD, sentence) for text in texts for sentence in re.split(r"(?<=[.])(?= )", text)]
    words = sorted({word for row in rows for word in row})
    signs = {word: chr(_FIRST_SIGN + number) for number, word in enumerate(words)}
    search = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(vocab_size=len(words) + count, min_frequency=2, show_progress=False)
    search.train_from_iterator(("".join(signs[word] for word in row) for row in rows), trainer)
    return ["".join(words[ord(sign) - _FIRST_SIGN] for sign in token) for token in search.get_vocab()]
