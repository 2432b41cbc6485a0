"""Tiny causal language models with a tokenizer, built on disk: one with random weights, two that learned two texts."""

import logging

import torch
from rationale_facts import CONFLICT, STABLE

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system message, please') }}{% endif %}" + CHAT
TRUE_TEXTS = {
    STABLE: "Node 17 is predicted as Theory with 93% confidence. Its conflict intensity of 0.0252 is low. Trust it.",
    CONFLICT: "Node 42 was misclassified as 7: its conflict is high (1.94). Please check its label and its neighbours.",
}


def tokenizer_of(texts, chat_template):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "</s>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"]
    bpe = Tokenizer(models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=900, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", eos_token="</s>")
    tokenizer.chat_template = chat_template
    return tokenizer


def random_model(vocabulary, window=1024):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=window, bos_token_id=None, eos_token_id=1, pad_token_id=None,
        tie_word_embeddings=True,
    ))  # fmt: skip


def learn(model, pairs):
    """Fit the model to answer each prompt (token ids) with its text, until it does so with near certainty."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(200):
        loss = torch.zeros(())
        for prompt, answer in pairs:
            tokens = torch.tensor([prompt + answer])
            logits = model(input_ids=tokens).logits[0, len(prompt) - 1 : -1]
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(answer)) / len(pairs)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < 0.05:
            return
    raise AssertionError(f"the tiny model did not learn its texts, loss {loss.item()}")


def save(folder, model, tokenizer):
    logging.getLogger("transformers").setLevel(logging.ERROR)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
