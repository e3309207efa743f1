"""The adapters inside lm-eval's own evaluation loop: its cache, its limit, its samples, and two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

import copy_eval
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_run import MambaRun
from tests.model_adapters.support import MAMBA1

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
    for alias in (name, f"copy_eval_{name}"):
        results = simple_evaluate(
            alias, {"pretrained": pretrained}, tasks=["phonebook_copy_10"], task_manager=tasks, device="cpu",
            limit=1, bootstrap_iters=0,
        )  # fmt: skip
        noted = json.loads(json.dumps(results["config"]["copy_eval"]))
        assert noted == {
            "adapter": name, "version": copy_eval.__version__, "context_length": context_length,
            "batched": True, "drafted": True,
        }  # fmt: skip


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
