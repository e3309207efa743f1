"""A stretch attends to all before it and to itself as with a mask, and only where the mask says no more than that."""

import pytest
import torch
from torch.nn import functional

from copy_eval.model_adapters import forward, mamba_run
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.stretches import UnmaskedStretches
from tests.model_adapters.architectures import build_model
from tests.model_adapters.support import MAMBA1, PROMPTS, answer, assert_same_answers

FLASH = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


def draw(queries, slots, heads=2, width=8):
    torch.manual_seed(queries * slots)
    return [torch.randn(1, heads, size, width) for size in (queries, slots, slots)]


def causal(queries, slots):
    return torch.ones(1, 1, queries, slots, dtype=torch.bool).tril(slots - queries)


@pytest.fixture
def flashes(monkeypatch):
    """Count how often attention is put together from two parts."""
    counts = []
    monkeypatch.setattr(
        torch.ops.aten,
        "_scaled_dot_product_flash_attention_for_cpu",
        lambda *tensors, **options: counts.append(options) or FLASH(*tensors, **options),
    )
    return counts


@pytest.mark.parametrize(("queries", "slots"), [(1, 2), (2, 3), (64, 65), (100, 1000), (600, 700)])
@pytest.mark.parametrize("scale", [None, 3.0])
def test_what_a_stretch_attends_to_is_what_the_mask_shows(queries, slots, scale, flashes):
    tensors, mask = draw(queries, slots), causal(queries, slots)
    expected = functional.scaled_dot_product_attention(*tensors, attn_mask=mask, scale=scale)
    with UnmaskedStretches():
        found = functional.scaled_dot_product_attention(*tensors, attn_mask=mask, dropout_p=0.0, scale=scale)
    assert len(flashes) == 2
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def window(queries, slots):
    return causal(queries, slots).triu(slots - queries - 3)


def padding(queries, slots):
    mask = causal(queries, slots)
    mask[..., 0] = False
    return mask


def in_numbers(queries, slots):
    return torch.where(causal(queries, slots), 0.5, float("-inf"))


def of_each_head(queries, slots):
    return causal(queries, slots).expand(1, 2, -1, -1)


def everything(queries, slots):
    return torch.ones(1, 1, queries, slots, dtype=torch.bool)


@pytest.mark.parametrize("mask", [window, padding, in_numbers, of_each_head, everything])
def test_any_other_mask_is_heeded(mask, flashes):
    tensors, shown = draw(20, 30), mask(20, 30)
    expected = functional.scaled_dot_product_attention(*tensors, shown)
    with UnmaskedStretches():
        assert torch.equal(functional.scaled_dot_product_attention(*tensors, shown), expected)
    assert not flashes


def test_mixed_precision_is_left_to_autocast(flashes):
    # A rotation leaves queries and keys in float32, but not the values.
    (query, key, value), mask = draw(20, 30), causal(20, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = functional.scaled_dot_product_attention(query, key, value.bfloat16(), mask)
        with UnmaskedStretches():
            found = functional.scaled_dot_product_attention(query, key, value.bfloat16(), mask)
    assert torch.equal(found, expected)
    assert not flashes


UNMASKED = ("llama", "falcon_h1", "qwen3_next", "lfm2")
MASKED = ("mistral", "gemma2", "gpt_neo", "mpt")


@pytest.mark.parametrize("name", [*UNMASKED, *MASKED])
def test_answers_are_those_of_prompts_that_go_in_as_a_whole(name, tokenizer, monkeypatch, flashes):
    model = PythiaLM(pretrained=build_model(name), tokenizer=tokenizer, batch_size=1)
    expected = answer(model)
    assert not flashes

    monkeypatch.setattr(forward, "_SHORTEST", 5)
    monkeypatch.setattr(forward, "TOKENS_AT_ONCE", 5)

    assert_same_answers(model, PROMPTS, answer(model), expected)
    assert bool(flashes) is (name in UNMASKED)


@pytest.mark.parametrize("name", ["llama", "falcon_h1", "mamba"])
def test_each_stretch_of_a_long_prompt_is_told_of(name, tokenizer, state_spaces_folder, monkeypatch):
    if name == "mamba":
        model = MambaLM(pretrained=str(state_spaces_folder(MAMBA1)), device="cpu", batch_size=1)
    else:
        model = PythiaLM(pretrained=build_model(name), tokenizer=tokenizer, batch_size=1)
    told, bars = [], []
    model.on_tokens = lambda *tokens: told.append(tokens) or bars.append(model._progress.postfix)
    answer(model, [PROMPTS[0]], max_gen_toks=1)
    assert told == [], "a short one goes in as a whole"

    for module in (forward, mamba_run):
        monkeypatch.setattr(module, "_SHORTEST", 20)
        monkeypatch.setattr(module, "TOKENS_AT_ONCE", 20)
    answer(model, [PROMPTS[0]], max_gen_toks=1)
    size = len(model.tok_encode(PROMPTS[0]))
    assert told[: -(-size // 20)] == [(min(taken + 20, size), size) for taken in range(0, size, 20)]
    assert bars[0] == f"20 of {size} tokens of a prompt"
    assert model._progress.postfix == "", "it has been answered"
