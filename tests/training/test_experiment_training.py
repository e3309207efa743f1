"""Several models that are trained at a time, in processes of their own: what each learns, and what ends them."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from copy_eval.errors import UserError
from copy_eval.training.experiment import Scale, TrainingRun
from copy_eval.training.experiment_training import train_runs

LONG = 100_000


def runs(examples=40, learning_rate=0.002, architectures=("lstm", "nope"), **changes):
    given = {
        "lengths": [2, 5], "batch": 10, "context": 64, "evaluation_points": [], "tasks": {"string_copy": []},
    }  # fmt: skip
    scale = Scale(**given | {"examples": examples, "learning_rate": learning_rate} | changes)
    return [TrainingRun("string_copy", architecture, 0, "cpu", scale) for architecture in architectures]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def weights(out, step):
    return {file.parts[-3]: file.read_bytes() for file in out.glob(f"string_copy/*/step{step}/model.safetensors")}


def test_models_get_the_same_weights_side_by_side_as_alone_and_one_that_diverges_stops_no_other(threads, tmp_path):
    threads(1)
    assert [diverged for _, diverged in train_runs(runs(), tmp_path / "alone", lambda _: None)] == [None, None]
    threads(2)
    steps = []
    [bad] = runs(learning_rate=1e30, architectures=["rope"])
    outcomes = dict(train_runs([bad, *runs()], tmp_path / "at once", steps.append))
    assert weights(tmp_path / "at once", 40) == weights(tmp_path / "alone", 40)
    assert sorted(weights(tmp_path / "at once", 40)) == ["lstm-seed0", "nope-seed0"]
    assert str(outcomes.pop("string_copy/rope-seed0")).startswith("string_copy/rope-seed0: the loss is ")
    assert outcomes == {"string_copy/lstm-seed0": None, "string_copy/nope-seed0": None}
    assert {(step.name, step.seen) for step in steps if step.checkpoint} == {
        ("string_copy/lstm-seed0", 40), ("string_copy/nope-seed0", 40)
    }  # fmt: skip


def test_what_one_cannot_read_ends_all_and_the_others_go_on_later(threads, tmp_path):
    threads(2)
    broken = tmp_path / "string_copy" / "nope-seed0" / "training.pt"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"")
    with pytest.raises(UserError, match=r"cannot read .*nope-seed0.training.pt"):
        list(train_runs(runs(LONG), tmp_path, lambda _: None))
    # It was in its first steps, or still loading PyTorch.
    assert not (tmp_path / "string_copy" / "lstm-seed0" / f"step{LONG}").exists()


_COMMAND = """
import pathlib, signal, sys, torch
from copy_eval.training.experiment_training import train_runs
from tests.training.test_experiment_training import LONG, runs
torch.set_num_threads(2)
names = set()
def tell(step):
    names.add(step.name)
    if len(names) == 2:
        print("both", flush=True)
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    list(train_runs(runs(LONG), pathlib.Path(sys.argv[1]), tell))
"""


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def trains(pid):
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def training(tmp_path):
    """Train two models with ``_COMMAND``; return it, when both have begun."""
    (tmp_path / "command.py").write_text(_COMMAND)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "command.py"), str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip

    def kill():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    watchdog = threading.Timer(400, kill)
    watchdog.start()
    with process:
        try:
            assert process.stdout.readline() == "both\n", process.communicate()[1]
            yield process
        finally:
            watchdog.cancel()
            kill()


pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU trains one model after the other")

_READS_PROC = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")


@_READS_PROC
@pytest.mark.parametrize("stopped_by", [signal.SIGINT, signal.SIGKILL])
def test_when_the_command_ends_its_processes_save_their_states_and_end_too(training, stopped_by, tmp_path):
    processes = [pid for pid in children(training.pid) if trains(pid)]
    assert len(processes) == 2
    if stopped_by is signal.SIGINT:
        os.killpg(training.pid, signal.SIGINT)  # as Ctrl-C does
    else:
        training.kill()
    _, said = training.communicate()
    assert training.returncode != 0
    while any(map(trains, processes)):
        time.sleep(0.05)
    states = sorted(file.parts[-2] for file in (tmp_path / "out").glob("string_copy/*/training.pt"))
    assert states == ["lstm-seed0", "nope-seed0"]
    assert said.count("Traceback") <= 1  # that of the command's own KeyboardInterrupt


@_READS_PROC
def test_a_process_that_is_killed_is_told_in_one_line(training, tmp_path):
    [first, _] = [pid for pid in children(training.pid) if trains(pid)]
    os.kill(first, signal.SIGKILL)
    _, said = training.communicate()
    assert "UserError: the process that trained string_copy/" in said
    assert "ended with exit code -9" in said
    assert list((tmp_path / "out").glob("string_copy/*/training.pt"))  # the other one saved its state
