import random

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.over_context import is_over_context
from tests.model_adapters.support import PROMPTS, answer, assert_same_answers, make_requests


@pytest.fixture(scope="session")
def model(neox_folder):
    return PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=5)


@pytest.fixture(scope="session")
def hf(neox_folder):
    return HFLM(pretrained=str(neox_folder), device="cpu", dtype="float32", batch_size=1)


@pytest.mark.parametrize(
    "gen_kwargs",
    [{}, {"until": ["\n"]}, {"until": ["t", "at", "5"]}, {"until": []}, {"max_gen_toks": 3}, {"until": "e"}],
)
def test_a_batch_answers_like_one_prompt_at_a_time_and_like_hf(gen_kwargs, model, hf, neox_folder):
    expected = answer(hf, **gen_kwargs)
    one_by_one = PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=1)

    assert len(set(expected)) > 3, "answers that are all alike would compare nothing"
    for other in (model, one_by_one):
        assert_same_answers(model, PROMPTS, answer(other, **gen_kwargs), expected)


def test_another_transformer_answers_like_hf_too(tokenizer, tmp_path):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=300, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    expected = answer(HFLM(pretrained=str(tmp_path), device="cpu", batch_size=1))

    model = PythiaLM(pretrained=str(tmp_path), device="cpu", batch_size=4)
    assert_same_answers(model, PROMPTS, answer(model), expected)


def test_a_model_that_is_spread_over_places_answers_like_a_whole_one(tmp_path):
    # As over several GPUs, accelerate's hooks move what goes from a layer in memory to one on the disk.
    places = {"parallelize": True, "max_cpu_memory": "4MB", "offload_folder": str(tmp_path)}
    spread = PythiaLM("tiny-pythia", batch_size=5, **places)
    assert {"cpu", "disk"} == set(spread.model.hf_device_map.values())
    assert answer(spread) == answer(PythiaLM("tiny-pythia", device="cpu", batch_size=5))


def test_requests_with_different_settings_keep_their_order(model):
    short, long = make_requests(PROMPTS, max_gen_toks=2), make_requests(PROMPTS, max_gen_toks=9)
    mixed = [request for pair in zip(short, long, strict=True) for request in pair]

    texts = model.generate_until(mixed, disable_tqdm=True)

    assert texts[::2] == answer(model, max_gen_toks=2)
    assert texts[1::2] == answer(model, max_gen_toks=9)


def test_a_prompt_longer_than_the_context_is_refused_and_the_others_still_run(model):
    too_long = "the cat sat on the mat " * 30
    assert len(model.tok_encode(too_long)) > 96

    texts = answer(model, [PROMPTS[0], too_long, PROMPTS[3]])

    assert is_over_context(texts[1])
    assert "takes 96" in texts[1]
    assert [texts[0], texts[2]] == answer(model, [PROMPTS[0], PROMPTS[3]])


def test_prompts_far_beyond_the_context_are_refused_unread_and_the_decision_is_that_of_their_tokens(
    neox_folder, monkeypatch
):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", max_length=24)
    rng = random.Random(0)
    pieces = ["the cat ", "7", "James", " é", "----", "\n"]
    prompts = ["".join(rng.choices(pieces, k=rng.randrange(1, 300))) for _ in range(60)]
    read = []
    encode = model._encode
    monkeypatch.setattr(model, "_encode", lambda prompt: read.append(prompt) or encode(prompt))

    refused = [is_over_context(text) for text in answer(model, prompts, max_gen_toks=1)]

    assert refused == [len(model.tok_encode(prompt)) >= 24 for prompt in prompts]
    unread = set(prompts) - set(read)
    assert 10 < len(unread) < sum(refused)


def test_a_prompt_whose_answer_ends_before_the_context_does_is_not_refused(model):
    free = model.max_length - len(model.tok_encode(PROMPTS[0]))
    whole = answer(model, PROMPTS[:1], until=[], max_gen_toks=free)[0]

    assert answer(model, PROMPTS[:1], until=[whole[3]], max_gen_toks=256) == [whole.split(whole[3])[0]]


def test_an_answer_that_the_context_cuts_off_is_refused_with_what_it_needs(model, caplog):
    texts = answer(model, PROMPTS[:2], until=["no such text"], max_gen_toks=256)

    assert texts[0].endswith("needs at least 97 tokens, the model takes 96")
    assert "some_task: 2 prompts" in caplog.text


def test_max_length_bounds_the_context(neox_folder):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", max_length=24)
    assert [is_over_context(text) for text in answer(model, max_gen_toks=1)] == [
        len(model.tok_encode(prompt)) >= 24 for prompt in PROMPTS
    ]


def test_loglikelihoods_are_those_of_hf(model, hf):
    pairs = [(prompt, end) for prompt in PROMPTS for end in (" mat", "7", " cat sat", "\n")]
    requests = [Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)]
    rolling = [Instance("loglikelihood_rolling", {}, (prompt,), 0) for prompt in PROMPTS]

    for ours, theirs in zip(
        model.loglikelihood(requests, disable_tqdm=True), hf.loglikelihood(requests, disable_tqdm=True), strict=True
    ):
        assert ours[0] == pytest.approx(theirs[0], abs=1e-4)
        assert ours[1] == theirs[1]
    assert model.loglikelihood_rolling(rolling, disable_tqdm=True) == pytest.approx(
        hf.loglikelihood_rolling(rolling, disable_tqdm=True), abs=1e-3
    )


def test_each_answer_reaches_the_cache_of_lm_eval(model, monkeypatch):
    kept = {}
    monkeypatch.setattr(model.cache_hook, "add_partial", lambda _, key, text: kept.update({key[0]: text}))

    texts = answer(model)

    assert kept == dict(zip(PROMPTS, texts, strict=True))


def test_sampling_follows_the_seed_and_the_stop_text(model):
    torch.manual_seed(5)
    first = answer(model, do_sample=True, temperature=1.5, top_k=0)
    torch.manual_seed(5)
    assert answer(model, do_sample=True, temperature=1.5, top_k=0) == first
    assert answer(model, do_sample=True, temperature=1.5, top_k=0) != first
    assert not any("\n" in text for text in first)


def test_a_preset_that_changes_greedy_decoding_is_honoured(neox_folder, tokenizer, tmp_path):
    network = AutoModelForCausalLM.from_pretrained(neox_folder, dtype=torch.float32)
    network.generation_config.repetition_penalty = 5.0
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)

    expected = answer(HFLM(pretrained=str(tmp_path), device="cpu", batch_size=1))
    model = PythiaLM(pretrained=str(tmp_path), device="cpu", batch_size=5)

    assert expected != answer(PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=5))
    assert answer(model) == expected


def test_a_loaded_model_can_be_passed(neox_folder, tokenizer, model):
    network = AutoModelForCausalLM.from_pretrained(neox_folder, dtype=torch.float32)
    assert answer(PythiaLM(pretrained=network, tokenizer=tokenizer, batch_size=3)) == answer(model)


@pytest.mark.parametrize("batch_size", ["auto", "auto:2", 64])
def test_every_form_of_batch_size_gives_the_same_answers(batch_size, neox_folder, model):
    assert answer(PythiaLM(pretrained=str(neox_folder), device="cpu", batch_size=batch_size)) == answer(model)
