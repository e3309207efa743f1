"""The LSTM through transformers' cache: steps, padding and batches leave its answers as they are."""

import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from copy_eval.architectures import LSTMConfig, LSTMForCausalLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, VOCABULARY_SIZE, build_tokenizer
from tests.architectures.answers import answers_in_batch_and_alone


def new_model():
    torch.manual_seed(0)
    config = LSTMConfig(
        vocab_size=VOCABULARY_SIZE, hidden_size=48, initializer_range=0.5, eos_token_id=END_OF_TEXT_ID,
        pad_token_id=END_OF_TEXT_ID,
    )  # fmt: skip
    return LSTMForCausalLM(config).eval()


@torch.no_grad()
def test_token_by_token_with_a_cache_it_says_what_it_says_of_the_whole_text():
    model, text = new_model(), torch.randint(26, (2, 15))
    cache, steps = None, []
    for token in text.split(1, dim=1):
        output = model(token, cache_params=cache, use_cache=True)
        cache = output.cache_params
        steps.append(output.logits)
    torch.testing.assert_close(torch.cat(steps, dim=1), model(text).logits)


@torch.no_grad()
def test_padding_on_the_left_changes_neither_what_it_says_nor_its_state():
    model, text = new_model(), torch.randint(26, (1, 9))
    rows = torch.cat([torch.full((1, 4), END_OF_TEXT_ID), text], dim=1).repeat(2, 1)
    rows[1, :4] = 3  # the second row has a text of full length
    mask = torch.ones_like(rows)
    mask[0, :4] = 0
    padded, alone = (model(ids, attention_mask=m, use_cache=True) for ids, m in ((rows, mask), (text, None)))
    torch.testing.assert_close(padded.logits[:1, 4:], alone.logits)
    for layer, expected in zip(padded.cache_params.layers, alone.cache_params.layers, strict=True):
        torch.testing.assert_close(layer.recurrent_states[0][:1], expected.recurrent_states[0])


def test_its_forget_gates_are_open_at_first():
    lstm = new_model().model.layers[0].lstm
    _, forget, _, _ = lstm.bias_ih_l0.chunk(4)
    assert forget.eq(1).all()
    assert lstm.bias_hh_l0.eq(0).all()


def test_the_adapter_batches_and_drafts_with_the_answers_of_transformers_alone(tmp_path):
    new_model().save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    adapter = PythiaLM(str(tmp_path), device="cpu", batch_size=4)
    assert adapter._capabilities.batched
    assert adapter._capabilities.drafted
    together, expected = answers_in_batch_and_alone(adapter, AutoModelForCausalLM.from_pretrained(tmp_path))
    assert together == expected


@pytest.mark.parametrize(
    ("connect", "loaded"),
    [
        ("import copy_eval; copy_eval.register(); import lm_eval.models.huggingface", True),
        ("import copy_eval.architectures", True),
        # Whoever does not use lm-eval does not pay for the bridge.
        ("import copy_eval; copy_eval.register()", False),
    ],
)
def test_transformers_loads_it_without_remote_code_where_lm_evals_hf_does(tmp_path, connect, loaded):
    new_model().save_pretrained(tmp_path)
    code = (
        f"{connect}\nfrom transformers import AutoModelForCausalLM\n"
        f"print(type(AutoModelForCausalLM.from_pretrained({str(tmp_path)!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode == 0) == ("LSTMForCausalLM\n" if loaded else "", loaded)
