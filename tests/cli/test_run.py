"""``copy-eval run`` as a command: exit codes, one line for bad input, and runs that are stopped midway."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from copy_eval.cli import main
from copy_eval.packaged import PACKAGED
from tests.completions_server import Book, serve

COMMAND = [sys.executable, "-c", "import sys; from copy_eval.cli import main; sys.exit(main())", "run"]
TINY = ["--model", "pythia", "--pretrained", "tiny-pythia", "--batch-size", "4", "--settings", "num_samples=2"]

THREE_TASKS = ["phonebook_copy_10", "phonebook_copy_80", "phonebook_copy_20"]

_WAITS_IN_THE_SECOND_TASK = """
import sys, time
from copy_eval.cli import main
from copy_eval.model_adapters.adapter import ExactLM

answer = ExactLM.generate_until

def answer_the_first(model, requests, disable_tqdm=False):
    if requests[0].task_name != "phonebook_copy_10":
        time.sleep(100)  # until the signal comes
    return answer(model, requests, disable_tqdm)

ExactLM.generate_until = answer_the_first
sys.exit(main())
"""


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    # The command sets it for its process, which is the tests' own here.
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
    tasks = "phonebook_copy_10,phonebook_copy_20"
    command = ["run", "--model", "pythia", "--pretrained", str(tmp_path), "--tasks", tasks]
    assert main([*command, "--settings", "num_samples=1", "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.err.count("FAILED") == 1
    assert f"{tmp_path.name}  FAILED: pretrained={tmp_path}: " in said.err
    assert said.out.startswith("evaluated: 0, done before: 0, failed: 2;")
    failures = (tmp_path / "out" / "failures.jsonl").read_text().splitlines()
    assert [json.loads(line)["task"] for line in failures] == tasks.split(",")


def test_a_server_that_dies_is_one_line_and_the_same_command_goes_on(tmp_path, capfd):
    book = Book(fails_after=3)
    with serve(book) as address:
        command = ["run", "--model", "local-completions", "--pretrained", "tiny-pythia", "--base-url", address]
        command += ["--model-args", "tokenized_requests=false,max_retries=1", "--tasks", "phonebook_copy_10"]
        command += ["--settings", "num_samples=4", "--out", str(tmp_path / "out")]
        assert main(command) == 1
        said = capfd.readouterr()
        [line] = [line for line in said.err.splitlines() if "begins" not in line and "loading" not in line]
        assert line.startswith(f"tiny-pythia  FAILED: the server at {address} cannot be reached")
        book.fails_after = None
        assert main(command) == 0
    assert book.prompts == 4
    assert "phonebook_copy_10  1.000  (4 prompts" in capfd.readouterr().err


def _own_process(arguments, **options):
    # The tests may have imported tqdm with another setting.
    env = {name: value for name, value in os.environ.items() if name != "TQDM_DISABLE"} | {"COLUMNS": "100"}
    return subprocess.Popen([*COMMAND, *arguments], env=env, **options)


def test_without_a_terminal_there_is_a_line_for_each_step_and_no_bar(tmp_path):
    # lm-eval's own adapter, with all its bars.
    arguments = ["--model", "hf", "--pretrained", str(PACKAGED / "tiny-pythia"), "--settings", "num_samples=2"]
    arguments += ["--tasks", "phonebook_copy_10", "--out", str(tmp_path / "out")]
    with _own_process(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        _, said = process.communicate()
    assert said.splitlines()[:2] == ["tiny-pythia  loading the weights", "tiny-pythia  phonebook_copy_10  begins"]
    assert said.splitlines()[2].startswith("tiny-pythia  phonebook_copy_10  1.000  (2 prompts, ")
    assert said.count("\n") == 3


def test_a_terminal_shows_how_many_prompts_are_answered(tmp_path):
    ours, theirs = pty.openpty()
    # A batch takes a while, so that the table is drawn between two of them.
    arguments = [*TINY, "num_samples=16", "--tasks", "phonebook_copy_160", "--out", str(tmp_path / "out")]
    with _own_process(arguments, stderr=theirs, stdout=subprocess.DEVNULL) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while part := os.read(ours, 4096):
                shown += part
    os.close(ours)
    assert process.returncode == 0
    answered = {int(count) for count in re.findall(rb"phonebook_copy_160, (\d+) of 16 prompts", shown)}
    assert answered & {4, 8, 12}
    assert b"it/s" not in shown
    assert b"begins" not in shown


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
            [sys.executable, "-c", _WAITS_IN_THE_SECOND_TASK, "run", *arguments],
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
