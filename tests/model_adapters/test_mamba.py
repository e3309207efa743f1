import logging

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from safetensors.torch import load_file

from copy_eval.errors import UserError
from copy_eval.model_adapters.mamba import MambaLM
from tests.model_adapters.reference_mamba import draw_weights, reference_logits
from tests.model_adapters.support import (
    MAMBA1,
    MAMBA2,
    PROMPTS,
    answer,
    assert_same_answers,
    cache_as_hub_repository,
    logits_after_each,
    split_weights,
)


def load(folder, **options):
    return MambaLM(pretrained=str(folder), device="cpu", **options)


@pytest.fixture(scope="session")
def model(mamba_folder):
    return load(mamba_folder, batch_size=5)


@pytest.mark.parametrize("weights_file", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize(
    "config",
    [
        MAMBA1,
        MAMBA1 | {"ssm_cfg": {"layer": "Mamba1", "d_state": 16, "d_conv": 3, "expand": 3}},
        MAMBA1 | {"tie_embeddings": False},
        MAMBA2,
        MAMBA2 | {"ssm_cfg": {"layer": "Mamba2", "d_state": 8, "headdim": 16, "ngroups": 1}, "tie_embeddings": False},
    ],
)
def test_a_state_spaces_checkpoint_gives_the_logits_of_an_independent_mamba(config, weights_file, state_spaces_folder):
    model = load(state_spaces_folder(config, weights_file))

    for prompt in PROMPTS:
        expected = reference_logits(config, draw_weights(config), model.tok_encode(prompt))
        torch.testing.assert_close(logits_after_each(model, prompt), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weights_file", ["pytorch_model.bin", "model.safetensors"])
@pytest.mark.parametrize("place", ["folder", "subfolder", "hub"])
def test_shards_give_the_logits_of_the_whole_file(place, weights_file, state_spaces_folder, tmp_path, monkeypatch):
    whole = load(state_spaces_folder(MAMBA2))
    folder = split_weights(state_spaces_folder(MAMBA2, weights_file))
    name, options = folder, {}
    if place == "subfolder":
        name, options = folder.parent, {"subfolder": folder.name}
    elif place == "hub":
        name = cache_as_hub_repository(folder, tmp_path, monkeypatch)

    assert torch.equal(logits_after_each(load(name, **options), PROMPTS[0]), logits_after_each(whole, PROMPTS[0]))


def test_the_vocabulary_is_padded_as_mamba_ssm_pads_it(state_spaces_folder):
    assert load(state_spaces_folder(MAMBA1)).model.config.vocab_size == 304
    assert load(state_spaces_folder(MAMBA1, vocab_size=304)).model.config.vocab_size == 304


def test_a_batch_answers_like_one_prompt_at_a_time_and_like_hf_on_the_converted_model(model, mamba_folder, tmp_path):
    model.model.save_pretrained(tmp_path)
    model.tokenizer.save_pretrained(tmp_path)
    hf = HFLM(pretrained=str(tmp_path), device="cpu", dtype="float32", batch_size=1)

    expected = answer(hf, max_gen_toks=20)

    assert len(set(expected)) == len(PROMPTS), "answers that are all alike would compare nothing"
    for other in (
        model,
        load(mamba_folder, batch_size=1),
        load(mamba_folder, batch_size=1, draft=0),
        load(tmp_path, batch_size=5),  # the transformers layout
    ):
        assert_same_answers(model, PROMPTS, answer(other, max_gen_toks=20), expected)


def test_every_token_of_an_answer_is_the_argmax_of_a_full_forward_pass(model):
    for prompt, text in zip(PROMPTS, answer(model, until=[], max_gen_toks=20), strict=True):
        tokens = model.tok_encode(prompt)
        grown = list(tokens)
        for _ in range(20):
            logits = model._model_call(torch.tensor([grown]))[0, -1]
            best, second = logits.topk(2).values
            assert best - second > 1e-4, "a tie would prove nothing"
            grown.append(int(logits.argmax()))
            if grown[-1] == model.eot_token_id:
                break
        assert text == model.tok_decode(grown[len(tokens) :])


def test_loglikelihood_in_a_batch_is_that_of_the_independent_mamba(state_spaces_folder):
    model = load(state_spaces_folder(MAMBA1), batch_size=4)
    requests = [
        Instance("loglikelihood", {}, (prompt, continuation), index)
        for index, (prompt, continuation) in enumerate(
            (prompt, end) for prompt in PROMPTS for end in (" mat", " 7", "\nx")
        )
    ]

    results = model.loglikelihood(requests, disable_tqdm=True)

    weights = draw_weights(MAMBA1)
    for request, (logprob, is_greedy) in zip(requests, results, strict=True):
        context, continuation = model._encode_pair(*request.args)
        logits = reference_logits(MAMBA1, weights, context + continuation)[len(context) - 1 : -1]
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(continuation)[:, None]).sum()
        assert logprob == pytest.approx(float(chosen), abs=1e-3)
        assert is_greedy == (logits.argmax(-1).tolist() == continuation)


def test_a_state_has_no_end_so_a_long_prompt_is_answered_unless_max_length_says_otherwise(state_spaces_folder):
    folder = state_spaces_folder(MAMBA1)
    long = "the cat sat on the mat " * 120

    free, bounded = load(folder), load(folder, max_length=200)

    assert len(free.tok_encode(long)) > 200
    assert "over context" not in answer(free, [long])[0]
    assert "over context" in answer(bounded, [long])[0]
    assert answer(bounded, PROMPTS) == answer(free, PROMPTS)


def test_half_precision_keeps_the_parameters_of_the_recurrence_in_float32(mamba_folder):
    parameters = dict(load(mamba_folder, dtype="bfloat16").model.named_parameters())

    kept = {name.split(".")[-1] for name, tensor in parameters.items() if tensor.dtype == torch.float32}
    assert kept >= {"A_log", "D"}
    assert kept <= {"A_log", "D", "dt_bias"}


def test_as_stored_means_as_the_embedding_is_stored(state_spaces_folder):
    folder = state_spaces_folder(MAMBA1, "model.safetensors")
    weights = load_file(folder / "model.safetensors")
    mixed = {name: tensor if name.endswith("A_log") else tensor.bfloat16() for name, tensor in weights.items()}
    in_order = dict(sorted(mixed.items(), key=lambda item: not item[0].endswith("A_log")))
    (folder / "model.safetensors").unlink()
    torch.save(in_order, folder / "pytorch_model.bin")

    class OnAnAccelerator(MambaLM):
        """Asks for ``auto`` as where half precision is quick."""

        def _load_weights(self, pretrained, **options):
            super()._load_weights(pretrained, **options | {"dtype": "auto"})

    model = OnAnAccelerator(pretrained=str(folder), device="cpu")
    assert model.get_model_info()["model_dtype"] == torch.bfloat16


@pytest.mark.parametrize("layout", ["state-spaces", "transformers"])
def test_double_precision_is_refused_in_one_line(layout, model, mamba_folder, tmp_path):
    if layout == "transformers":
        model.model.save_pretrained(tmp_path)
        model.tokenizer.save_pretrained(tmp_path)
        mamba_folder = tmp_path
    with pytest.raises(UserError, match=r"dtype=float64: .* use dtype=float32"):
        load(mamba_folder, dtype="float64")


def test_half_precision_weights_run_in_float32_on_a_cpu(state_spaces_folder):
    folder = state_spaces_folder(MAMBA1, "model.safetensors")
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()

    assert {tensor.dtype for tensor in load(folder).model.parameters()} == {torch.float32}


def test_sampling_runs_and_follows_the_seed(model):
    torch.manual_seed(3)
    first = answer(model, do_sample=True, temperature=1.0)
    torch.manual_seed(3)
    assert answer(model, do_sample=True, temperature=1.0) == first
    assert answer(model, do_sample=True, temperature=1.0) != first


def test_without_its_own_tokenizer_a_checkpoint_has_the_one_of_the_pile(state_spaces_folder, tmp_path, monkeypatch):
    folder = state_spaces_folder(MAMBA1)
    (folder / "tokenizer.json").unlink()
    pile = state_spaces_folder(MAMBA1)
    monkeypatch.setattr("copy_eval.model_adapters.mamba.PILE_TOKENIZER", str(pile))
    name = cache_as_hub_repository(folder, tmp_path, monkeypatch, revision="step3000")

    assert load(name, revision="step3000").tokenizer.name_or_path == str(pile)


def test_on_a_cpu_nothing_is_said_about_kernels(mamba_folder, caplog):
    with caplog.at_level(logging.WARNING):
        load(mamba_folder)
    assert "mamba-ssm" not in caplog.text
