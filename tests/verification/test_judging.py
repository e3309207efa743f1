"""Ties and divergences by the logits of real models, some of whose choices are made equal."""

import math
from dataclasses import replace

import pytest
import torch
from lm_eval.models.huggingface import HFLM
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.packaged import PACKAGED
from copy_eval.verification.comparing import Answers, Request, compare
from copy_eval.verification.judging import ModelJudge, measure_noise
from tests.model_adapters.support import answer

QUESTION = "Anna Brown: 7015550199\nPaul Weber: 9148812036\n\nPaul Weber: 9148812036\n\nAnna Brown:"
REQUEST = Request("phonebook 1", QUESTION, ("\n",), 12)


@pytest.fixture
def model():
    """A model whose output embedding is its own, so that it can be changed alone."""
    model = PythiaLM(pretrained="tiny-pythia", device="cpu")
    head = model.model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    return model


def say(model):
    return answer(model, [REQUEST.prompt])[0]


def prefer(model, token, other, factor=1.0):
    """Make the logit of one token that of another, times a factor."""
    weight = model.model.get_output_embeddings().weight.data
    weight[model.tok_encode(token)[0]] = factor * weight[model.tok_encode(other)[0]]


def compare_one(model, reference, other):
    return compare([REQUEST], Answers("reference", [reference]), Answers("batch", [other]), ModelJudge(model))


def test_two_equal_logits_are_a_tie_and_two_that_differ_are_not(model):
    reference = say(model)
    assert reference == " 7015550199"
    prefer(model, "2", "1", 1.001)
    other = say(model)
    assert other.startswith(" 702")
    (beyond,) = compare_one(model, other, reference).differences
    assert (beyond.verdict, beyond.reference[0], beyond.other[0]) == ("diverged", "2", "1")
    prefer(model, "2", "1")
    (tie,) = compare_one(model, reference, other).differences
    assert (tie.verdict, tie.gap, tie.request) == ("tie", 0, "phonebook 1")
    assert reference[:3] + tie.reference == reference
    assert tie.other.startswith("2")


def test_an_error_after_a_tie_is_found_although_the_first_difference_is_one(model):
    prefer(model, "2", "1")
    reference = say(model)
    tie = reference.replace("1", "2", 1)
    prefer(model, "2", "1", 1.001)
    other = say(model)
    prefer(model, "2", "1")
    assert compare_one(model, reference, other).ties == 1
    wrong = other[:-1] + ("3" if other[-1] != "3" else "4")
    assert compare_one(model, reference, wrong).diverged == 1
    assert tie[:4] == other[:4]


def test_an_answer_that_goes_on_beyond_the_models_context_is_a_divergence():
    tokenizer = AutoTokenizer.from_pretrained(PACKAGED / "tiny-pythia")
    network = GPT2LMHeadModel(GPT2Config(vocab_size=2048, n_positions=64, n_embd=16, n_layer=1, n_head=2))
    judge = ModelJudge(HFLM(pretrained=network, tokenizer=tokenizer, backend="causal"))
    request = Request("loop 1", "Ann", (), 8)
    assert judge.judge(request, " Lee", " Lee" * 200).gap == math.inf


@pytest.mark.parametrize(("other", "index"), [(" 7015550198", 9), (" 70155501", 8), ("", 0), (" 70155501990", 10)])
def test_another_token_an_end_too_early_and_one_too_late_are_divergences(model, other, index):
    (difference,) = compare_one(model, " 7015550199", other).differences
    assert difference.index == index
    assert difference.verdict == "diverged"
    assert difference.gap > 100 * difference.noise


def test_an_answer_that_a_cache_gave_is_found_to_be_the_models_own(model):
    check = ModelJudge(model).check([REQUEST], Answers("reference", [say(model)], 0.5))
    assert (check.equal, check.total, check.seconds) == (1, 1, 0.5)
    wrong = ModelJudge(model).check([REQUEST], Answers("reference", [" 7015550198"]))
    assert [difference.reference for difference in wrong.differences] == ["9"]


def test_rounding_is_measured_small_in_float32_and_large_in_bfloat16_and_leaves_the_model_as_it_was():
    noises = {}
    for dtype in ("float32", "bfloat16"):
        model = PythiaLM(pretrained="tiny-pythia", device="cpu", dtype=dtype)
        prompt, said = model.tok_encode(QUESTION), model.tok_encode(" 7015550198\n")
        before = model._model_call(torch.tensor([prompt]))
        noises[dtype] = measure_noise(model, prompt, said)
        assert len(noises[dtype]) == len(said)
        assert torch.equal(model._model_call(torch.tensor([prompt])), before)
    assert all(1e-6 < noise < 2e-3 for noise in noises["float32"])
    assert max(noises["bfloat16"]) > 100 * max(noises["float32"])


def test_a_special_token_within_an_answer_is_the_models_own_although_no_text_shows_it(model):
    prefer(model, "5", "1", 1.001)
    plain = say(model)
    model.tokenizer.add_special_tokens({"extra_special_tokens": ["5"]})
    said = say(model)
    assert "5" in plain
    assert "5" not in said
    assert ModelJudge(model).check([REQUEST], Answers("reference", [said])).equal == 1
    assert compare_one(model, said, said + "1").diverged == 1


def test_every_end_token_of_the_model_ends_an_answer(model):
    model.tokenizer.add_special_tokens({"extra_special_tokens": ["5"]})
    five = model.tokenizer.convert_tokens_to_ids("5")
    model.model.generation_config.eos_token_id = [model.eot_token_id, five]
    assert ModelJudge(model).check([REQUEST], Answers("reference", [" 701"])).equal == 1
    assert ModelJudge(model).check([REQUEST], Answers("reference", [" 70"])).diverged == 1


def test_an_answer_of_more_tokens_than_were_asked_for_is_a_divergence(model):
    short = Request("phonebook 1", QUESTION, ("\n",), 4)
    answers = [Answers(name, [text]) for name, text in (("reference", " 7015"), ("engine", " 70155"))]
    (difference,) = compare([short], *answers, ModelJudge(model)).differences
    assert (difference.index, difference.verdict, difference.gap) == (4, "diverged", None)


def test_a_model_that_computes_nothing_but_nan_is_not_the_reference_of_anything(model):
    reference = say(model)
    model.model.get_output_embeddings().weight.data.fill_(float("nan"))
    (difference,) = ModelJudge(model).check([REQUEST], Answers("reference", [reference])).differences
    assert (difference.verdict, difference.gap, difference.noise) == ("diverged", None, None)


def test_half_a_character_at_the_last_token_is_the_same_answer_with_its_bytes_and_without(model):
    prefer(model, "\u6f22", " 7", 2.0)
    cut = Request("cut", QUESTION, ("\n",), most=1)
    judge = ModelJudge(model)
    assert answer(model, [QUESTION], max_gen_toks=1) == ["\ufffd"]
    (difference,) = compare([cut], Answers("hf", ["\ufffd"]), Answers("engine", [""]), judge).differences
    assert (difference.verdict, difference.gap) == ("tie", 0)
    [too_early] = compare([replace(cut, most=2)], Answers("hf", [" 7"]), Answers("engine", [""]), judge).differences
    assert too_early.verdict == "diverged"
