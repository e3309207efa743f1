"""``copy-eval run`` as a command: exit codes, one line for bad input, and runs that are stopped midway."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copy_eval.cli import main

COMMAND = [sys.executable, "-c", "import sys; from copy_eval.cli import main; sys.exit(main())", "run"]
TINY = ["--model", "pythia", "--pretrained", "tiny-pythia", "--batch-size", "4", "--settings", "num_samples=2"]

THREE_TASKS = ["phonebook_copy_10", "phonebook_copy_80", "phonebook_copy_20"]


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    # The command sets them for its process, which is the tests' own here.
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


def evaluated_tasks(out: Path) -> list[str]:
    return sorted(task for file in out.glob("*/results_*.json") for task in json.loads(file.read_text())["results"])


def test_a_run_writes_results_and_a_second_one_has_nothing_to_do(tmp_path, capsys):
    command = ["run", *TINY, "--tasks", "phonebook_copy_10", "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert capsys.readouterr().out == f"evaluated: 1, done before: 0, failed: 0; results in {tmp_path / 'out'}\n"
    assert main(command) == 0
    assert capsys.readouterr().out == f"evaluated: 0, done before: 1, failed: 0; results in {tmp_path / 'out'}\n"
    assert evaluated_tasks(tmp_path / "out") == ["phonebook_copy_10"]


def test_a_cell_that_fails_is_exit_code_1(tmp_path, capsys):
    (tmp_path / "config.json").write_text('{"model_type": "gpt_neox"}')
    command = ["run", "--model", "pythia", "--pretrained", str(tmp_path), "--tasks", "phonebook_copy_10"]
    assert main([*command, "--settings", "num_samples=1", "--out", str(tmp_path / "out")]) == 1
    assert f"{tmp_path.name}  phonebook_copy_10  FAILED: pretrained={tmp_path}: " in capsys.readouterr().err
    assert (tmp_path / "out" / "failures.jsonl").exists()


BAD = [
    ([], "name a suite, or what to evaluate: --model, --pretrained, --tasks missing"),
    (["--model", "pythia", "--tasks", "phonebook_copy"], "name a suite, or what to evaluate: --pretrained missing"),
    (["tiny", *TINY], "name either a suite or --model, --pretrained and --tasks, not both"),
    ([*TINY, "--tasks", "phonebook_copi"], "unknown task 'phonebook_copi'; did you mean 'phonebook_copy'?"),
    (["tiny", "--settings", "num_samples"], "--settings num_samples: write KEY=VALUE"),
    (["tiny", "--settings", "n_samples=2"], "unknown setting 'n_samples'; did you mean 'num_samples'?"),
    (["--model", "pythia", "--pretrained", "$NOT_SET/a", "--tasks", "phonebook_copy"],
     "pretrained=$NOT_SET/a: the variable NOT_SET is not set"),
    (["tiny", "--settings", "c4_path=$NOT_SET"], "c4_path=$NOT_SET: the variable NOT_SET is not set"),
    (["tinny"], "unknown suite 'tinny'; did you mean 'tiny'?"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "line"), BAD)
def test_bad_input_is_one_line_and_exit_code_2_and_nothing_is_written(arguments, line, tmp_path, capsys):
    assert main(["run", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == f"copy-eval: {line}\n"
    assert list(tmp_path.iterdir()) == []


def test_without_a_folder_for_the_results_nothing_runs(capsys):
    assert main(["run", "tiny"]) == 2
    assert capsys.readouterr().err == "copy-eval: name a folder for the results with --out\n"


def test_one_process_only(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["run", "tiny", "--out", str(tmp_path / "out")]) == 2
    assert "accelerate launch -m lm_eval" in capsys.readouterr().err


def test_a_mistake_is_found_before_torch_is_loaded():
    script = "import sys; from copy_eval.cli import main; main(['run', 'tiny']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def stopped(tmp_path):
    """Start a run of three cells and stop it by a signal in the second; returns the run and its arguments."""

    def stop(how):
        out = tmp_path / "out"
        arguments = [*TINY, "num_samples=4", "--tasks", ",".join(THREE_TASKS), "--out", str(out)]
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background process ignores it
        )
        deadline = time.monotonic() + 100
        while not evaluated_tasks(out):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(how)
        _, said = process.communicate()
        assert evaluated_tasks(out) == THREE_TASKS[:1]
        return subprocess.CompletedProcess(arguments, process.returncode, stderr=said), arguments

    return stop


def test_a_killed_run_goes_on_where_it_stopped(stopped, tmp_path, capsys):
    _, arguments = stopped(signal.SIGKILL)
    first = {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/*/*.json*")}
    assert main(["run", *arguments]) == 0
    assert "evaluated: 2, done before: 1, failed: 0" in capsys.readouterr().out
    assert evaluated_tasks(tmp_path / "out") == sorted(THREE_TASKS)
    assert first.items() <= {file: file.stat().st_mtime_ns for file in tmp_path.glob("out/*/*.json*")}.items()


def test_ctrl_c_says_how_to_go_on(stopped):
    run, _ = stopped(signal.SIGINT)
    assert run.returncode == 130
    assert run.stderr.endswith("stopped; the same command goes on with the cells that are left\n")
