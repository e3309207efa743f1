"""Frequencies that depend on the longest text in a batch: no row may change those of another."""

import pytest
import torch
from transformers import AutoConfig

from copy_eval.model_adapters.attention import AttentionRun
from copy_eval.model_adapters.forward import CachedModel
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.rope import ChangingRope, find_changing_rope
from tests.model_adapters.architectures import build_model
from tests.model_adapters.support import answer, assert_same_answers

LENGTHS = [8, 20, 30, 44, 47, 48, 49, 60, 90]
"""Tokens of prompts on both sides of 48, up to which the first frequencies hold; some answers cross it."""


def make_prompts(tokenizer):
    tokens = tokenizer.encode("the cat sat on the mat, 12345 67890 dogs and Mary Lopez; " * 9)
    prompts = [tokenizer.decode(tokens[start : start + length]) for start, length in enumerate(LENGTHS)]
    assert [len(tokenizer.encode(prompt)) for prompt in prompts] == LENGTHS
    return prompts


@pytest.mark.parametrize("name", ["longrope", "longrope_llama", "dynamic"])
def test_rows_on_either_side_of_the_first_length_answer_as_a_fresh_model_does(name, tokenizer):
    prompts = make_prompts(tokenizer)
    settings = {"until": [], "max_gen_toks": 12}
    network = build_model(name)
    expected = []
    for prompt in prompts:
        tokens = tokenizer(prompt, return_tensors="pt")
        fresh = build_model(name)
        output = fresh.generate(**tokens, max_new_tokens=12, do_sample=False, eos_token_id=None)
        expected.append(tokenizer.decode(output[0, tokens["input_ids"].shape[1] :]))
    expected = [text.split("<|endoftext|>")[0] for text in expected]

    for batch_size in (1, 3, 8):
        model = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=batch_size, max_length=256)
        texts = answer(model, prompts, **settings)
        texts_again = answer(model, prompts[::-1], **settings)[::-1]
        alone = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=1, max_length=256, draft=0)
        assert_same_answers(alone, prompts, texts, expected)
        assert_same_answers(alone, prompts, texts_again, expected)


def test_padding_behind_a_row_that_nearly_crosses_does_not_count_as_its_text(tokenizer, monkeypatch):
    prompts, most = [make_prompts(tokenizer)[place] for place in (0, 2)], 18
    network = build_model("longrope_llama")
    options = {"pretrained": network, "tokenizer": tokenizer, "max_length": 256}
    alone = PythiaLM(**options, batch_size=1, draft=0)
    known = {}
    for prompt in prompts:
        tokens = tokenizer.encode(prompt)
        whole = list(tokens)
        for _ in range(most):
            whole.append(int(alone._model_call(torch.tensor([whole]))[0, -1].argmax()))
        known[tuple(tokens)] = whole

    # The longer row is nearly at 48 tokens when the other, whose first draft was soon wrong, gets a long one.
    def look_up(tokens, most):
        whole = next(whole for whole in known.values() if whole[: len(tokens)] == tokens)
        rest = whole[len(tokens) :]
        if tuple(tokens) in known:
            right = 14 if len(tokens) == 30 else 2
            rest[right] = (rest[right] + 1) % 250
        return rest[:most]

    monkeypatch.setattr("copy_eval.model_adapters.drafting.look_up", look_up)
    settings = {"until": [], "max_gen_toks": most}
    texts = answer(PythiaLM(**options, batch_size=2), prompts, **settings)
    assert_same_answers(alone, prompts, texts, answer(alone, prompts, **settings))


def test_what_changes_and_where_is_read_off_the_config():
    assert find_changing_rope(AutoConfig.for_model("llama")) is None
    assert find_changing_rope(AutoConfig.for_model("gpt2")) is None
    assert find_changing_rope(build_model("longrope").config) == ChangingRope(48, changes_on=False)
    assert find_changing_rope(build_model("dynamic").config) == ChangingRope(48, changes_on=True)


def test_kinds_of_layers_with_frequencies_of_their_own_count_each():
    config = AutoConfig.for_model("gemma3_text")
    config.rope_parameters["full_attention"] |= {"rope_type": "dynamic", "factor": 2.0}
    assert find_changing_rope(config) == ChangingRope(config.max_position_embeddings, changes_on=True)


@pytest.mark.parametrize(
    ("prompt", "limit", "changes_on", "settled"),
    [(40, 8, False, True), (40, 9, False, False), (48, 1, False, False), (49, 9, False, True), (49, 9, True, False)],
)
def test_an_answer_that_crosses_the_length_is_not_settled(prompt, limit, changes_on, settled):
    assert ChangingRope(48, changes_on).is_settled(prompt, limit) is settled


@torch.no_grad()
def test_padding_beyond_a_row_does_not_change_the_frequencies():
    model = CachedModel(build_model("longrope_llama"), torch.device("cpu"))
    run = AttentionRun(model, pad_token=0, context=256, takes_drafts=True)
    near, short, draft = list(range(2, 48)), [3, 4, 5], [7, 8, 9, 10, 11, 12]
    run.logits([near, short], [[], []])
    run.keep([0, 1], [0, 0])

    logits, _ = run.logits([[6], [6]], [[], draft])

    assert torch.allclose(logits[0], model.from_the_start([*near, 6])[-1], atol=1e-4)
