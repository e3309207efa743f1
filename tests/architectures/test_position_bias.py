"""ALiBi and Hard-ALiBi against their definitions, and through the adapter that decodes in batches with drafts."""

import pytest
import torch
from transformers import AutoModelForCausalLM
from transformers.models.mpt.modeling_mpt import build_mpt_alibi_tensor

from copy_eval.architectures import PositionBiasConfig, PositionBiasForCausalLM
from copy_eval.architectures.position_bias import position_bias
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, VOCABULARY_SIZE, build_tokenizer
from tests.architectures.answers import answers_in_batch_and_alone

KINDS = ("alibi", "hard_alibi")


def new_model(kind, heads=8):
    torch.manual_seed(0)
    config = PositionBiasConfig(
        vocab_size=VOCABULARY_SIZE, hidden_size=8 * heads, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=heads, intermediate_size=64, max_position_embeddings=256, initializer_range=0.4,
        tie_word_embeddings=True, bos_token_id=None, eos_token_id=END_OF_TEXT_ID, pad_token_id=END_OF_TEXT_ID,
        position_bias=kind,
    )  # fmt: skip
    return PositionBiasForCausalLM(config).eval()


def test_the_masked_half_of_the_heads_sees_exactly_the_last_tokens_and_the_others_all():
    seen = position_bias("hard_alibi", heads=6, queries=9, slots=9, device="cpu") == 0
    for head in range(6):
        for query in range(9):
            first = max(0, query - head) if head < 3 else 0
            assert seen[head, query].nonzero().flatten().tolist() == list(range(first, query + 1))


def test_alibi_has_the_slopes_of_transformers_own():
    ours = position_bias("alibi", heads=8, queries=5, slots=5, device="cpu")
    # MPT's grows with the key's slot alone, which differs from the distance by a constant in each row.
    theirs = build_mpt_alibi_tensor(8, 5).expand(8, 5, 5)
    theirs = theirs.masked_fill(torch.ones(5, 5).triu(1).bool(), torch.finfo(torch.float32).min)
    torch.testing.assert_close(ours.softmax(-1), theirs.softmax(-1))


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_head_cannot_see_does_not_change_what_it_says(kind):
    model = new_model(kind)
    text = torch.randint(26, (1, 20))
    other = text.clone()
    other[0, 12] = (other[0, 12] + 1) % 26
    changed = (model(text).logits - model(other).logits).abs().amax(-1)[0] > 1e-4
    assert not changed[:12].any()
    assert changed[12:].all()


def test_with_masked_heads_alone_two_layers_see_no_further_than_their_windows_reach():
    model = new_model("hard_alibi")
    for layer in model.model.layers:
        weight = layer.self_attn.o_proj.weight
        weight.data[:, weight.shape[1] // 2 :] = 0  # the heads without a mask say nothing
    text = torch.randint(26, (1, 20))
    other = text.clone()
    other[0, 5] = (other[0, 5] + 1) % 26
    changed = (model(text).logits - model(other).logits).abs().amax(-1)[0] > 1e-6
    # The widest window of each layer reaches back by 3 tokens.
    assert changed.nonzero().flatten().tolist() == list(range(5, 5 + 2 * 3 + 1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_the_left_changes_nothing(kind, dtype):
    model = new_model(kind).to(dtype)
    text = torch.randint(26, (1, 12))
    padded = torch.cat([torch.full((1, 5), END_OF_TEXT_ID), text], dim=1)
    mask = (torch.arange(17) >= 5).long()[None]
    alone, in_a_batch = model(text).logits, model(padded, attention_mask=mask).logits[:, 5:]
    difference = (in_a_batch - alone).float().square().mean().sqrt() / alone.float().std()
    assert difference < (1e-5 if dtype == torch.float32 else 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_the_adapter_batches_and_drafts_with_the_answers_of_transformers_alone(kind, tmp_path):
    new_model(kind).save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    adapter = PythiaLM(str(tmp_path), device="cpu", batch_size=4)
    assert adapter._capabilities.batched
    assert adapter._capabilities.drafted
    alone = AutoModelForCausalLM.from_pretrained(tmp_path)
    together, expected = answers_in_batch_and_alone(adapter, alone)
    assert together == expected
