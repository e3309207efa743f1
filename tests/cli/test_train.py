"""``copy-eval train`` as a command: exit codes, one line for bad input, and folders that hold something else."""

import shutil
from importlib.util import find_spec

import pytest
import yaml

from copy_eval.cli import main
from copy_eval.runs.results_folder import locked
from copy_eval.runs.suite import load_suite
from copy_eval.training import trainer
from copy_eval.training_record import RECORD, TrainingRecord, read_record

TEXT = """\
description: Copying one to three letters.
architectures: [lstm]
seeds: [0, 1]
sizes:
  cpu:
    lengths: [1, 3]
    examples: 40
    batch: 10
    context: 32
    learning_rate: 0.002
    evaluation_points: [20]
    tasks:
      string_copy: [string_copy_10]
"""


@pytest.fixture(autouse=True)
def _in_this_process():
    torch = pytest.importorskip("torch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several would mean several models at a time, each in a process
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "mine.yaml").write_text(TEXT)
    return tmp_path / "mine.yaml"


def test_it_trains_every_model_once_and_writes_a_suite_of_all_checkpoints(experiment, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["train", str(experiment), "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"trained: 2, done before: 0, failed: 0; checkpoints in {out}\n")
    assert f"copy-eval run {out}/suite-string_copy.yaml --out RESULTS" in said
    suite = load_suite(str(out / "suite-string_copy.yaml"), {})
    assert [cell.label for cell in suite.cells()] == [
        "lstm-seed0/step20", "lstm-seed0/step40", "lstm-seed1/step20", "lstm-seed1/step40",
    ]  # fmt: skip
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("trained: 0, done before: 2, failed: 0;")


def test_it_says_beside_the_checkpoints_what_was_trained_and_says_it_again_of_what_is_done(experiment, tmp_path):
    out = tmp_path / "out"
    command = ["train", str(experiment), "--out", str(out)]
    assert main(command) == 0
    checkpoint = out / "string_copy" / "lstm-seed1" / "step20"
    expected = TrainingRecord(
        experiment="mine", size="cpu", task="string_copy", architecture="lstm", seed=1, lengths=(1, 3), examples=40
    )
    assert read_record(str(checkpoint)) == expected
    (checkpoint.parent / RECORD).unlink()
    assert main(command) == 0
    assert read_record(str(checkpoint)) == expected


def test_a_folder_of_another_experiment_is_told_and_left(experiment, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["train", str(experiment), "--out", str(out)]) == 0
    before = (out / "experiment.yaml").read_text()
    experiment.write_text(TEXT.replace("examples: 40", "examples: 60"))
    capsys.readouterr()
    assert main(["train", str(experiment), "--out", str(out)]) == 2
    assert capsys.readouterr().err == (
        f"copy-eval: {out} holds checkpoints of another experiment, with sizes.cpu.examples 40 and not 60: "
        "name another folder with --out\n"
    )
    assert (out / "experiment.yaml").read_text() == before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("notes.txt", "mine", "is not empty, and no folder of copy-eval train: name a new one with --out"),
        ("experiment.yaml", "- 1", "is no experiment: name another folder with --out"),
        ("experiment.yaml", "a: b: c", "cannot read "),
    ],
)
def test_a_folder_of_something_else_is_told_and_left(experiment, tmp_path, capsys, name, content, said):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text(content)
    assert main(["train", str(experiment), "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in out.iterdir()] == [name]


def test_a_model_that_diverges_is_exit_code_1_and_the_others_are_trained(experiment, tmp_path, capsys):
    content = yaml.safe_load(TEXT)
    content["sizes"]["cpu"] |= {"learning_rate": 1e30}
    experiment.write_text(yaml.safe_dump(content))
    assert main(["train", str(experiment), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("trained: 0, done before: 0, failed: 2;")
    lines = [line for line in said.err.splitlines() if line.startswith("copy-eval: ")]
    assert sorted(line.split()[1] for line in lines) == ["string_copy/lstm-seed0:", "string_copy/lstm-seed1:"]


def test_a_gpu_out_of_memory_is_one_line_and_what_was_trained_is_kept(experiment, tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    from copy_eval.training import trainer

    command = ["train", str(experiment), "--out", str(tmp_path / "out")]
    measure, steps = trainer.measure, []

    def run_out_of_memory(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore of this.")

    def measure_until_memory_is_full(*batch, **options):
        steps.append(1)
        return measure(*batch, **options) if len(steps) <= 6 else run_out_of_memory()  # amid the second model

    monkeypatch.setattr(trainer, "measure", measure_until_memory_is_full)
    monkeypatch.setattr(trainer, "_SECONDS_BETWEEN_SAVES", 0)
    assert main(command) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line]
    assert line.startswith("copy-eval: string_copy/lstm-seed1: out of GPU memory (CUDA out of memory. Tried")
    assert "a smaller batch" in line
    assert len([*tmp_path.glob("out/*/*/step*")]) == 3
    monkeypatch.setattr(torch, "load", run_out_of_memory)
    assert main(command) == 2
    assert "delete it" not in capsys.readouterr().err, "the saved state is whole"
    monkeypatch.undo()
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("trained: 1, done before: 1, failed: 0;")


@pytest.mark.parametrize("name", ["string_copy", "string_copy/lstm-seed0"])
def test_a_file_in_the_place_of_a_folder_is_told_and_left(experiment, tmp_path, capsys, name):
    out = tmp_path / "out"
    assert main(["train", str(experiment), "--out", str(out)]) == 0
    shutil.rmtree(out / name)
    (out / name).write_text("mine")
    capsys.readouterr()
    assert main(["train", str(experiment), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"copy-eval: cannot write {out}/string_copy/lstm-seed0: ")
    assert (out / name).read_text() == "mine"


def test_a_run_that_is_stopped_is_exit_code_130_and_the_next_one_goes_on(experiment, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out"
    command = ["train", str(experiment), "--out", str(out)]
    measure, measured = trainer.measure, []

    def measure_until_stopped(*arguments, **options):
        measured.append(arguments)
        if len(measured) > 6:  # of 8
            raise KeyboardInterrupt
        return measure(*arguments, **options)

    monkeypatch.setattr(trainer, "measure", measure_until_stopped)
    assert main(command) == 130
    said = capsys.readouterr()
    assert said.err.endswith("stopped; the same command goes on with the models that are left\n")
    assert [path.name for path in out.glob("suite-*.yaml")] == ["suite-string_copy.yaml"]
    monkeypatch.setattr(trainer, "measure", measure)
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("trained: 1, done before: 1, failed: 0;")


def test_two_runs_do_not_train_in_one_folder(experiment, tmp_path, capsys):
    out = tmp_path / "out"
    with locked(out):
        assert main(["train", str(experiment), "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"copy-eval: another run writes to {out}: wait for it, or name another")
    assert [path.name for path in out.iterdir()] == [".lock"]


def test_paper_size_without_a_gpu_is_refused(capsys, tmp_path):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    assert main(["train", "recall", "--size", "paper", "--out", str(tmp_path / "out")]) == 2
    assert "size paper trains on a GPU, and PyTorch finds none here" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_paper_size_needs_the_kernels_of_a_mamba(capsys, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    if find_spec("mamba_ssm"):
        pytest.skip("they are there")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert main(["train", "recall", "--size", "paper", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "takes the kernels of mamba-ssm and causal-conv1d for mamba, mamba-mimetic, hybrid: pip install" in error
    assert not (tmp_path / "out").exists()


def test_where_several_tasks_are_learned_the_names_of_the_models_tell_which(experiment, tmp_path):
    content = yaml.safe_load(TEXT)
    content["sizes"]["cpu"] |= {
        "lengths": [4, 5], "evaluation_points": [], "tasks": {"ngram_prefix": ["ngram_prefix_10"], "string_copy": []},
    }  # fmt: skip
    experiment.write_text(yaml.safe_dump(content | {"seeds": [0]}))
    assert main(["train", str(experiment), "--out", str(tmp_path / "out")]) == 0
    suite = load_suite(str(tmp_path / "out" / "suite-ngram_prefix.yaml"), {})
    assert [cell.label for cell in suite.cells()] == ["ngram_prefix-lstm-seed0/step40"]
