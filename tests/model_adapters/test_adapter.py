"""The adapters inside lm-eval's own evaluation loop: its cache, its limit, its samples, and two processes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

import copy_eval
from copy_eval.errors import UserError
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_run import MambaRun
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.training_record import TrainingRecord, write_record
from tests.model_adapters.support import MAMBA1, PROMPTS, answer

ROOT = Path(__file__).parents[2]

IN_EACH_PROCESS = """
import json, sys
from tests.model_adapters.test_adapter import evaluate
results = evaluate(sys.argv[1])
if results:
    print("RESULTS", json.dumps(results))
"""


def evaluate(folder, **options):
    """Evaluate on the first books of ten entries; return each prompt with its answer, and the scores."""
    tasks = TaskManager(include_path=str(ROOT / "copy_eval" / "tasks"), include_defaults=False)
    model = MambaLM(pretrained=str(folder), device="cpu", batch_size=3)
    results = simple_evaluate(
        model, tasks=["phonebook_copy_10"], task_manager=tasks, limit=5, bootstrap_iters=0, log_samples=True, **options
    )
    if results is None:  # in all processes but the first
        return None
    samples = {sample["arguments"][0][0]: sample["resps"] for sample in results["samples"]["phonebook_copy_10"]}
    scores = {name: value for name, value in results["results"]["phonebook_copy_10"].items() if name != "alias"}
    return [samples, scores]


@pytest.fixture(scope="session")
def folder(state_spaces_folder):
    return state_spaces_folder(MAMBA1)


@pytest.fixture(scope="session")
def expected(folder):
    return evaluate(folder)


def test_the_limit_holds_and_every_sample_is_logged(expected):
    samples, scores = expected
    assert len(samples) == 5
    assert scores["exact_match,none"] == 0, "random weights have no number right"


@pytest.mark.parametrize(
    ("name", "pretrained", "context_length"), [("mamba_ssm", "tiny-mamba", None), ("pythia", "tiny-pythia", 3072)]
)
def test_the_result_says_which_adapter_ran_by_whatever_name(name, pretrained, context_length):
    copy_eval.register()
    tasks = TaskManager(include_path=str(ROOT / "copy_eval" / "tasks"), include_defaults=False)
    for alias in (name, f"copy_eval_{name}", *(["copy_hf"] if name == "pythia" else [])):
        results = simple_evaluate(
            alias, {"pretrained": pretrained}, tasks=["phonebook_copy_10"], task_manager=tasks, device="cpu",
            limit=1, bootstrap_iters=0,
        )  # fmt: skip
        noted = json.loads(json.dumps(results["config"]["copy_eval"]))
        assert noted == {
            "adapter": name, "version": copy_eval.__version__, "context_length": context_length,
            "batched": True, "drafted": True, **({"kernels": None} if name == "mamba_ssm" else {}),
            "memory_bytes": noted["memory_bytes"],
        }  # fmt: skip


def test_the_result_says_what_trained_a_checkpoint_of_copy_eval_train(neox_folder, tmp_path):
    record = TrainingRecord(
        experiment="mine", size="cpu", task="string_copy", architecture="rope", seed=1, lengths=(5, 20), examples=1000
    )
    folder = shutil.copytree(neox_folder, tmp_path / "step1000")
    assert "trained" not in PythiaLM(pretrained=str(folder), device="cpu").get_model_info()["copy_eval"]
    write_record(tmp_path, record)
    noted = json.dumps(PythiaLM(pretrained=str(folder), device="cpu").get_model_info()["copy_eval"]["trained"])
    assert TrainingRecord.model_validate_json(noted) == record


NEUTRAL = [
    {"cache_implementation": "hybrid"}, {"cache_implementation": "static"}, {"disable_compile": True},
    {"prefill_chunk_size": 64}, {"trust_remote_code": True}, {"repetition_penalty": 1.0}, {"num_beams": 1},
    {"num_return_sequences": 1}, {"guidance_scale": 1.0}, {"epsilon_cutoff": 3e-4}, {"length_penalty": 2.0},
    {"no_repeat_ngram_size": 0}, {"min_new_tokens": 0}, {"max_new_tokens": 3}, {"do_sample": True, "top_k": 40},
]  # fmt: skip
NOT_NEUTRAL = [
    {"repetition_penalty": 1.3}, {"num_beams": 2}, {"no_repeat_ngram_size": 3}, {"min_new_tokens": 4},
    {"suppress_tokens": [5]}, {"forced_eos_token_id": 1}, {"encoder_repetition_penalty": 2.0}, {"guidance_scale": 1.5},
    {"cache_implementation": "quantized"}, {"stop_strings": ["7"]}, {"sequence_bias": [[[4], -9.0]]},
]  # fmt: skip


@pytest.fixture
def preset_model(neox_folder, tmp_path):
    """Return a function that loads a checkpoint with entries of a generation_config.json."""

    def load(**entries):
        folder = shutil.copytree(neox_folder, tmp_path / "neox", dirs_exist_ok=True)
        (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 1} | entries))
        return PythiaLM(pretrained=str(folder), device="cpu", batch_size=4)

    return load


@pytest.mark.parametrize("entries", [*NEUTRAL, *NOT_NEUTRAL], ids=str)
def test_only_presets_that_change_greedy_answers_need_transformers_generate(entries, preset_model):
    model = preset_model(**entries)
    assert model._is_plain(model._settings({"do_sample": False})) is (entries in NEUTRAL)


@pytest.mark.parametrize(
    ("asked", "plain"),
    [
        ({"repetition_penalty": 1.0, "num_beams": 1, "use_cache": True, "temperature": 0.0}, True),
        ({"repetition_penalty": 1.1}, False),
        ({"max_length": 50}, False),
        ({"no_such_argument": 0}, False),
        ({"eos_token_id": 5}, False),
    ],
)
def test_what_a_request_asks_for_is_judged_by_its_value_too(asked, plain, preset_model):
    model = preset_model()
    assert model._is_plain(model._settings({"do_sample": False} | asked)) is plain


def test_the_limit_is_that_of_the_request_not_a_preset_one(preset_model):
    for presets in ({"max_new_tokens": 30}, {"max_new_tokens": 3}, {"max_length": 4, "return_dict_in_generate": True}):
        model = preset_model(repetition_penalty=1.2, **presets)
        answers = model._answer([[5, 6, 7, 8]] * 2, model._settings({"until": [], "max_gen_toks": 8}))
        assert [len(answer.tokens) for answer in answers] == [8, 8]
        assert not any(answer.ended for answer in answers)


@pytest.mark.parametrize("asked", [{"no_such_argument": 1}, {"max_length": 3}, {"repetition_penalty": -1.0}], ids=str)
def test_what_transformers_refuses_to_follow_is_said_in_one_line(asked, preset_model):
    with pytest.raises(UserError, match="transformers' generate refuses the request"):
        answer(preset_model(), **asked)


def test_a_preset_stop_string_ends_an_answer(preset_model):
    prompt = PROMPTS[2]
    [whole] = answer(preset_model(), [prompt], until=[])
    stop = next(character for character in whole[1:] if character.isascii() and character.isalnum())
    model = preset_model(stop_strings=[stop])
    tokens = model.tok_encode(prompt)
    [ended] = model._answer([tokens], model._settings({"until": [], "max_gen_toks": 12}))
    assert ended.ended
    assert stop in model.tok_decode(ended.tokens[-1:])


@pytest.mark.parametrize("add_bos_token", [None, True, False])
def test_a_prompt_has_the_tokens_that_lm_eval_gives_it(add_bos_token, neox_folder):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu", add_bos_token=add_bos_token)
    model.tokenizer.bos_token = "<|endoftext|>"
    for prompt in (*PROMPTS, "<|endoftext|>the cat"):
        assert model._encode(prompt) == model.tok_batch_encode([prompt])[0][0].tolist()
    assert model._encode("") == [model.prefix_token_id]


def test_lm_eval_answers_from_its_own_cache_the_second_time(folder, expected, tmp_path, monkeypatch):
    assert evaluate(folder, use_cache=str(tmp_path / "cache")) == expected
    monkeypatch.setattr(MambaRun, "feed", None)

    assert evaluate(folder, use_cache=str(tmp_path / "cache")) == expected


def test_two_processes_share_the_work_and_give_what_one_gives(folder, expected, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(IN_EACH_PROCESS)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]

    done = subprocess.run(
        [*launch, script, folder],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=600, check=False,
    )  # fmt: skip

    printed = [line.removeprefix("RESULTS ") for line in done.stdout.splitlines() if line.startswith("RESULTS ")]
    assert len(printed) == 1, done.stderr[-2000:]
    samples, scores = json.loads(printed[0])
    assert [samples, scores] == json.loads(json.dumps(expected))
