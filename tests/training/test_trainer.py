"""One model in training: resuming after a kill, and what goes wrong without a loss of what was there."""

import csv
import resource
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from copy_eval.errors import UserError
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.tasks.synthetic import Example
from copy_eval.training import trainer
from copy_eval.training.alphabet_tokenizer import build_tokenizer
from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.curriculum import Batch
from copy_eval.training.examples import pack
from copy_eval.training.experiment import Scale, TrainingRun
from copy_eval.training.experiment_training import training_of
from copy_eval.training.trainer import DivergedError, is_done, measure, train_model

CPU = torch.device("cpu")

_IN_A_PROCESS = """
import os, pathlib, signal, sys, torch
from copy_eval.training import trainer
from tests.training.test_trainer import new_run
trainer._SECONDS_BETWEEN_SAVES = 0.0
torch.set_num_threads(1)
measure, measured = trainer.measure, []

def measure_until_killed(*arguments, **options):
    measured.append(arguments)
    if len(measured) > 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return measure(*arguments, **options)

trainer.measure = measure_until_killed
trainer.train_model(new_run(), pathlib.Path(sys.argv[1]), torch.device("cpu"))
"""


def new_run(**changes):
    given = {
        "lengths": [2, 5], "examples": 400, "batch": 10, "context": 64, "learning_rate": 0.002,
        "evaluation_points": [200], "tasks": {"string_copy": ["string_copy_10"]},
    }  # fmt: skip
    return training_of(TrainingRun("string_copy", "lstm", 0, "cpu", Scale(**given | changes)))


@pytest.fixture(autouse=True)
def _one_thread():
    # As in the other process: several add up in another order.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_a_killed_run_goes_on_to_the_weights_of_one_that_was_not(tmp_path):
    run = new_run()
    train_model(run, tmp_path / "whole", CPU)
    killed = tmp_path / "killed"
    process = subprocess.run([sys.executable, "-c", _IN_A_PROCESS, str(killed)], check=False)
    assert process.returncode == -signal.SIGKILL
    assert sorted(path.name for path in killed.iterdir()) == ["step200", "training.csv", "training.pt"]
    (killed / ".training.pt").write_bytes(b"what a kill in the midst of writing leaves")

    train_model(run, killed, CPU)
    for step in ("step200", "step400"):
        whole, resumed = ((folder / step / "model.safetensors").read_bytes() for folder in (tmp_path / "whole", killed))
        assert whole == resumed
    assert (killed / "training.csv").read_text() == (tmp_path / "whole" / "training.csv").read_text()
    assert sorted(path.name for path in killed.iterdir()) == ["step200", "step400", "training.csv"]


def test_it_learns_and_writes_its_curve_and_checkpoints_that_the_adapter_loads(tmp_path):
    train_model(new_run(lengths=[1, 1], examples=1600), tmp_path, CPU)
    rows = list(csv.DictReader((tmp_path / "training.csv").open()))
    assert [int(row["examples"]) for row in rows] == list(range(200, 1601, 200))
    assert float(rows[-1]["loss"]) < 0.5 * float(rows[0]["loss"])
    assert float(rows[-1]["string_accuracy"]) > float(rows[0]["string_accuracy"])
    adapter = PythiaLM(str(tmp_path / "step1600"), device="cpu")
    assert adapter.tok_encode("$a|") == [26, 0, 27]


def test_a_loss_that_is_no_number_is_one_line_and_leaves_the_checkpoints(tmp_path):
    with pytest.raises(DivergedError, match=r"string_copy/lstm-seed0: the loss is .* after .* examples") as error:
        train_model(new_run(learning_rate=1e30, evaluation_points=[10]), tmp_path, CPU)
    assert "\n" not in str(error.value)
    assert (tmp_path / "step10" / "model.safetensors").is_file()


@pytest.mark.parametrize(("megabytes", "seconds"), [(5, 0.0), (1, 60.0)], ids=["the state", "the weights"])
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(tmp_path, monkeypatch, megabytes, seconds):
    run, out = new_run(examples=40, evaluation_points=[20]), tmp_path / "out"
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_SAVES", seconds)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A limit on the size of files is met as a full disk is: weights have 3 MB, the state has 10.
    resource.setrlimit(resource.RLIMIT_FSIZE, (megabytes * 10**6, hard))
    try:
        with pytest.raises(UserError, match=f"^cannot write {out}: .* goes on from what was saved before$") as error:
            train_model(run, out, CPU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(error.value)
    assert not [path for path in out.iterdir() if path.name.startswith(".") or path.is_dir()]
    train_model(run, out, CPU)
    assert is_done(run, out)


def test_a_disk_that_is_full_when_the_tokenizer_is_written_is_one_line_too(tmp_path):
    run = replace(
        new_run(evaluation_points=[10]), save=lambda *_: build_tokenizer().backend_tokenizer.save("/dev/full")
    )
    with pytest.raises(UserError, match=f"cannot write {tmp_path}: No space left on device") as error:
        train_model(run, tmp_path, CPU)
    assert "\n" not in str(error.value)


def test_a_state_of_another_experiment_or_of_none_is_told_and_left(tmp_path):
    file = tmp_path / "training.pt"
    torch.save({"run": "another"}, file)
    before = file.read_bytes()
    with pytest.raises(UserError, match=r"training\.pt is of another experiment: name another folder with --out"):
        train_model(new_run(), tmp_path, CPU)
    assert file.read_bytes() == before
    for content in (b"", b"half of a file", before[:200]):
        file.write_bytes(content)
        with pytest.raises(UserError, match="delete it to begin this model anew"):
            train_model(new_run(), tmp_path, CPU)


def test_only_answers_count_and_a_string_is_right_as_a_whole():
    class Oracle(torch.nn.Module):
        """Says what follows in two of the three examples, and is a letter off at one place of the third."""

        def __init__(self, tokens):
            super().__init__()
            self.next = torch.roll(tokens, -1, dims=1)
            self.lm_head = torch.nn.Identity()

        def base_model(self, tokens, use_cache):  # noqa: ARG002
            logits = 30.0 * torch.nn.functional.one_hot(self.next, 30).float()
            return type("Output", (), {"last_hidden_state": logits})

    examples = [Example("$ab|", "ab."), Example("$cd|", "cd."), Example("$ef|", "ef.")]
    packed = pack(examples, context=16)
    # Padding is what stands for nothing to learn.
    batch = Batch(
        *(
            torch.nn.functional.pad(part, (0, 3), value=value)
            for part, value in zip((packed.tokens, packed.weights, packed.answers), (7, 0, -1), strict=True)
        )
    )
    oracle = Oracle(batch.tokens)
    assert measure(oracle, batch, CPU, half=False) == (pytest.approx(0.0, abs=1e-6), 1.0)
    prompt = batch.answers == -1
    oracle.next[torch.roll(prompt, -1, dims=1)] = 29  # wrong wherever a prompt's token is next
    assert measure(oracle, batch, CPU, half=False)[1] == 1.0
    row, place = (batch.answers == 2).nonzero()[1].tolist()
    oracle.next[row, place - 1] = 0
    loss, accuracy = measure(oracle, batch, CPU, half=False)
    assert accuracy == pytest.approx(2 / 3)
    assert loss.item() == pytest.approx(30 / 9, rel=1e-3)


def test_paper_size_transformers_are_those_that_are_compiled():
    assert [name for name, each in ARCHITECTURES.items() if each.compiles] == ["rope", "nope", "alibi", "hard-alibi"]
