"""What the self-test finds of models that can be batched and drafted, of those that cannot, and of broken ones."""

import inspect
import logging

import pytest
import torch

from copy_eval.errors import UserError
from copy_eval.model_adapters.forward import CachedModel
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.self_test import Capabilities, find_capabilities
from tests.model_adapters.architectures import build_model
from tests.model_adapters.support import answer

EVERYTHING = Capabilities(stepwise=True, batched=True, drafted=True)


def find(model, tokenizer, **options):
    return PythiaLM(pretrained=model, tokenizer=tokenizer, **options)._capabilities


@pytest.mark.parametrize(
    "name",
    ["llama", "mistral", "gemma2", "llama4", "gpt_neo", "bloom", "mpt", "gpt2", "falcon_h1", "bamba", "qwen3_next",
     "lfm2", "longrope", "dynamic", "mamba2"],
)  # fmt: skip
def test_windows_relative_positions_and_hybrids_are_batched_and_drafted(name, tokenizer):
    assert find(build_model(name), tokenizer) == EVERYTHING


@pytest.mark.parametrize("name", ["jamba", "nemotron_h"])
def test_a_hybrid_that_cannot_take_several_tokens_after_a_cache_is_batched_only(name, tokenizer):
    assert find(build_model(name), tokenizer) == Capabilities(stepwise=True, batched=True, drafted=False)


def test_a_model_whose_own_cache_mixes_rows_goes_one_prompt_at_a_time(tokenizer):
    assert not find(build_model("minimax"), tokenizer).batched


def test_a_sparse_attention_goes_one_prompt_at_a_time(tokenizer):
    found = find(build_model("deepseek_v32"), tokenizer)
    assert (found.batched, found.drafted) == (False, False)


def test_a_scale_that_follows_slots_beyond_the_test_goes_one_prompt_at_a_time(tokenizer):
    model = build_model("llama4", floor_scale=8192, attn_temperature_tuning=True)
    assert find(model, tokenizer) == Capabilities(stepwise=True, batched=False, drafted=True)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "gpt_neo", "qwen3_next", "bamba"])
def test_the_rounding_of_half_precision_is_no_fault(name, dtype, tokenizer):
    assert find(build_model(name).to(dtype), tokenizer) == EVERYTHING


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_half_precision_hides_no_fault(dtype, tokenizer):
    assert not find(build_model("jamba").to(dtype), tokenizer).drafted
    assert not find(build_model("minimax").to(dtype), tokenizer).batched
    assert not find(without_positions(build_model("gpt2").to(dtype)), tokenizer).batched


def test_half_precision_does_not_hide_positions_that_are_one_off(tokenizer):
    network = build_model("llama", hidden_size=256, num_hidden_layers=8, head_dim=64, intermediate_size=768)
    with torch.no_grad():  # where attention is not so sharp, a shift moves the logits less
        for name, weight in network.named_parameters():
            if weight.ndim == 2 and "embed" not in name:
                weight /= 1.5
    network.to(torch.bfloat16)
    forward = network.forward

    def shift(position_ids=None, past_key_values=None, logits_to_keep=0, **options):
        behind = past_key_values is not None and past_key_values.get_seq_length() > 0
        if behind and position_ids.shape[1] > 1:
            position_ids = position_ids + 1
        return forward(
            position_ids=position_ids, past_key_values=past_key_values, logits_to_keep=logits_to_keep, **options
        )

    shift.__signature__ = inspect.signature(forward)
    network.forward = shift
    assert find(network, tokenizer) == Capabilities(stepwise=True, batched=True, drafted=False)


def without_positions(model):
    """Let a model with absolute positions count slots, as those without ``position_ids`` do."""
    forward = model.forward

    def count_slots(input_ids, attention_mask=None, past_key_values=None, use_cache=None):
        return forward(input_ids, attention_mask=attention_mask, past_key_values=past_key_values, use_cache=use_cache)

    model.forward = count_slots
    return model


def test_a_model_with_absolute_positions_that_takes_none_is_drafted_one_prompt_at_a_time(tokenizer):
    network = without_positions(build_model("gpt2"))
    model = PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=8)
    assert model._capabilities == Capabilities(stepwise=True, batched=False, drafted=True)
    assert answer(model) == answer(PythiaLM(pretrained=build_model("gpt2"), tokenizer=tokenizer, batch_size=8))


def test_a_compiled_model_whose_arguments_are_hidden_is_looked_through(tokenizer):
    expected = answer(PythiaLM(pretrained=build_model("gpt2"), tokenizer=tokenizer, batch_size=8))
    model = PythiaLM(pretrained=torch.compile(build_model("gpt2")), tokenizer=tokenizer, batch_size=8)
    assert model._capabilities == EVERYTHING
    assert answer(model) == expected


def test_what_a_model_is_not_good_for_is_said_in_one_line_and_in_the_result(tokenizer, caplog):
    with caplog.at_level(logging.WARNING):
        model = PythiaLM(pretrained=build_model("jamba"), tokenizer=tokenizer)
    assert [record.message for record in caplog.records if record.name.startswith("copy_eval")] == [
        "this model is run without drafts, which would change its answers"
    ]
    noted = model.get_model_info()["copy_eval"]
    assert (noted["batched"], noted["drafted"]) == (True, False)


def test_a_model_that_passes_all_is_silent(tokenizer, caplog):
    model = PythiaLM(pretrained=build_model("bamba"), tokenizer=tokenizer)
    assert not [record for record in caplog.records if record.name.startswith("copy_eval")]
    noted = model.get_model_info()["copy_eval"]
    assert (noted["batched"], noted["drafted"]) == (True, True)


def test_a_model_without_a_cache_is_left_to_transformers(tokenizer):
    network = build_model("llama")
    forward = network.forward

    def forget(*args, past_key_values=None, use_cache=None, **options):  # noqa: ARG001
        return forward(*args, use_cache=False, **options)

    network.forward = forget
    assert find(network, tokenizer) == Capabilities()


def test_a_model_that_nothing_can_decode_is_refused_at_load(tokenizer):
    network = build_model("llama")

    def fail(*_, **__):
        raise AttributeError("'BltConfig' object has no attribute 'num_hidden_layers'")

    network.forward = fail
    with pytest.raises(UserError, match="fails with this llama"):
        find(network, tokenizer)


@pytest.mark.parametrize("place", ["config", "module"])
def test_a_model_that_a_pass_changes_for_good_is_refused(place, tokenizer):
    network = build_model("llama")
    holder = network.config if place == "config" else network.model.layers[1]
    holder.attention_type = "sparse"

    def switch(module, arguments, options):  # noqa: ARG001
        holder.attention_type = "full"

    network.register_forward_pre_hook(switch, with_kwargs=True)
    with pytest.raises(UserError, match="attention_type was sparse and is full"):
        find(network, tokenizer)


def test_a_table_that_grows_with_the_longest_text_is_no_change(tokenizer):
    network = build_model("llama")
    network.longest_text = 0

    def grow(module, arguments, options):  # noqa: ARG001
        module.longest_text = max(module.longest_text, options["input_ids"].shape[1])

    network.register_forward_pre_hook(grow, with_kwargs=True)
    assert find(network, tokenizer) == EVERYTHING
    assert network.longest_text > 0


def disturb(network, change):
    """Let ``change`` alter the logits of a pass, told the tokens [row, column] and how many slots are in the cache."""
    forward = network.forward

    def disturbed(input_ids, past_key_values=None, **options):
        held = 0 if past_key_values is None else past_key_values.get_seq_length()
        output = forward(input_ids, past_key_values=past_key_values, **options)
        change(output.logits, input_ids, held)
        return output

    disturbed.__signature__ = inspect.signature(forward)
    network.forward = disturbed
    return network


def test_steps_that_differ_by_more_than_rounding_are_left_to_transformers(tokenizer):
    def shift(logits, ids, held):  # noqa: ARG001
        if held:
            logits[..., ::2] += 0.1 * logits.std()

    assert find(disturb(build_model("llama"), shift), tokenizer) == Capabilities()


def test_a_batch_that_gives_no_numbers_is_no_batch(tokenizer):
    def spoil(logits, ids, held):  # noqa: ARG001
        if len(ids) > 1:
            logits.fill_(torch.nan)

    assert not find(disturb(build_model("llama"), spoil), tokenizer).batched


def test_a_model_that_does_not_let_rows_end_apart_goes_one_prompt_at_a_time(tokenizer):
    rows = []

    def count(logits, ids, held):
        rows.append(len(ids))
        if held and rows[-1] != rows[-2]:
            logits.zero_()

    assert find(disturb(build_model("llama"), count), tokenizer) == Capabilities(True, batched=False, drafted=True)


def test_a_model_in_which_rejected_tokens_leave_a_trace_is_not_drafted(tokenizer, monkeypatch):
    ends = []

    def go_back(logits, ids, held):
        if held and held < ends[-1]:
            logits.zero_()
        ends.append(held + ids.shape[1])

    network = disturb(build_model("llama"), go_back)
    monkeypatch.setattr(
        "copy_eval.model_adapters.pythia.find_capabilities",
        lambda *arguments, **options: find_capabilities(*arguments, **options | {"batches": False}),
    )
    assert find(network, tokenizer) == Capabilities(stepwise=True, batched=False, drafted=False)


def test_a_run_that_takes_no_draft_in_shows_nothing_of_drafts(tokenizer, monkeypatch):
    monkeypatch.setattr("copy_eval.model_adapters.attention.width_filled", lambda *_: 0)
    assert find(build_model("llama"), tokenizer) == Capabilities(stepwise=True, batched=True, drafted=False)


def test_a_context_too_short_for_the_test_means_neither_batches_nor_drafts(tokenizer):
    assert find(build_model("llama"), tokenizer, max_length=6) == Capabilities()


def test_running_out_of_memory_is_no_finding():
    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    model = CachedModel(build_model("llama"), torch.device("cpu"))
    with pytest.raises(torch.OutOfMemoryError):
        find_capabilities(model, fail, range(100), longest=100)
