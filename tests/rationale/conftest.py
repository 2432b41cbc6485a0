from __future__ import annotations

import pytest
from tiny_models import CHAT, NO_SYSTEM, TRUE_TEXTS, learn, random_model, save, tokenizer_of

from gragr_explain.rationale import build_messages, build_prompt


@pytest.fixture(scope="session")
def corpus():
    return [*map(build_prompt, TRUE_TEXTS), *TRUE_TEXTS.values()]


@pytest.fixture(scope="session")
def random_folder(corpus, tmp_path_factory):
    tokenizer = tokenizer_of(corpus, None)
    return save(tmp_path_factory.mktemp("random"), random_model(len(tokenizer)), tokenizer)


@pytest.fixture(scope="session")
def learned_folders(corpus, tmp_path_factory):
    """One model that learned its two texts with and without a chat template, saved with three tokenizers."""
    plain, chat, no_system = (tokenizer_of(corpus, template) for template in (None, CHAT, NO_SYSTEM))
    pairs = []
    for facts, text in TRUE_TEXTS.items():
        answer = [*plain(text)["input_ids"], plain.eos_token_id]
        system, user = build_messages(facts)
        together = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}]
        prompts = [build_prompt(facts)]
        for tokenizer, messages in ((chat, [system, user]), (no_system, together)):
            prompts.append(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        pairs += [(plain(prompt)["input_ids"], answer) for prompt in prompts]
    model = random_model(len(plain))
    learn(model, pairs)
    tokenizers = {"plain": plain, "chat": chat, "no_system": no_system}
    return {name: save(tmp_path_factory.mktemp(name), model, tokenizer) for name, tokenizer in tokenizers.items()}
