"""The one report of all that needs a GPU, with steps that need none."""

from pathlib import Path

import pytest
import torch

from benchmarks import gpu, model_sizes
from benchmarks.gpu import Step, plan_steps, run_steps

ROOT = Path(__file__).parents[2]
SLOW = ("timeit", "-n", "1", "-r", "1", "-s", "print('begun', flush=True)", "import time; time.sleep(60)")


def test_a_step_that_fails_or_takes_too_long_costs_the_others_nothing(tmp_path, capsys):
    steps = [
        Step("A table", ("calendar", "2026", "11")),
        Step("A failure", ("no_such_module",)),
        Step("A long one", SLOW),
        Step("Too late", ("calendar",)),
    ]
    assert run_steps(steps, tmp_path / "gpu.md", seconds=3) == 1

    report = (tmp_path / "gpu.md").read_text()
    headings = [line.rsplit(" after ")[0] for line in report.splitlines() if line.startswith("## ")]
    assert headings == [
        "## A table: succeeded", "## A failure: failed with 1", "## A long one: cut", "## Too late: cut",
    ]  # fmt: skip
    assert "November 2026" in report
    assert "No module named no_such_module" in report
    assert "begun" in report, "what a step printed before it was cut"
    assert f"| torch | {torch.__version__.split('+')[0]}" in report
    assert "November 2026" in capsys.readouterr().out


def test_all_steps_that_succeed_are_a_success(tmp_path):
    assert run_steps([Step("A table", ("calendar", "2026", "11"))], tmp_path / "gpu.md", seconds=60) == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["gpu"])
    assert gpu.main() == 2
    assert capsys.readouterr().err == "benchmarks.gpu: this needs a GPU, and PyTorch finds none here\n"


def test_the_steps_name_what_there_is(monkeypatch):
    ran = []
    monkeypatch.setattr(model_sizes, "run_model", lambda name, weights, *_: ran.append((name, weights)) or [])
    for step in plan_steps("tiny-pythia"):
        module, *arguments = step.command
        if module == "pytest":
            assert all((ROOT / path).exists() for path in arguments if path.startswith("tests"))
        else:
            monkeypatch.setattr("sys.argv", [module, *arguments])
            model_sizes.main()
    assert {("mamba-2.8b", "copier"), ("pythia-2.8b", "copier"), ("mamba2-370m", "random")} <= set(ran)
