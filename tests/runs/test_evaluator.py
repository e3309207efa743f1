"""Whole runs of the packaged checkpoints: equal to lm-eval's own, resumed, and going on after a failure."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lm_eval import simple_evaluate
from lm_eval.loggers import EvaluationTracker
from lm_eval.tasks import TaskManager
from safetensors.torch import load_file, save_file

from copy_eval.checkpoint_fingerprint import fingerprint_checkpoint
from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED
from copy_eval.reports.frames.results import read_results
from copy_eval.reports.report import build_report
from copy_eval.runs.evaluator import evaluate_in_turn, evaluate_model, run_suite
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.progress import Progress
from copy_eval.runs.results_folder import claim
from copy_eval.runs.suite import Cell, Suite
from copy_eval.runs.task_loading import TASKS
from tests.runs.conftest import MAMBA, PYTHIA


def reports(folder: Path) -> dict[str, dict]:
    """Return the reports of a folder by task, and check that each task has one."""
    found = [json.loads(file.read_text()) for file in folder.glob("results_*.json")]
    by_task = {task: report for report in found for task in report["results"]}
    assert len(by_task) == len(found)
    return by_task


def sample_lines(folder: Path, task: str) -> Iterator[str]:
    [file] = folder.glob(f"samples_{task}_2*.jsonl")
    yield from file.read_text().splitlines()


@pytest.mark.parametrize("model", [PYTHIA, MAMBA], ids=lambda model: model.name)
def test_the_files_are_those_of_lm_eval(results, suite, model, tmp_path):
    """lm_eval's command does what stands here; only its index holds all other tasks as well."""
    metadata = {"pretrained": model.pretrained, **suite.settings}
    tracker = EvaluationTracker(output_path=str(tmp_path))
    theirs = simple_evaluate(
        model=model.adapter,
        model_args={"pretrained": model.pretrained},
        tasks=list(suite.tasks),
        batch_size=2,
        task_manager=TaskManager(include_path=TASKS, include_defaults=False, metadata=metadata),
        evaluation_tracker=tracker,
    )
    samples = theirs.pop("samples")
    tracker.save_results_aggregated(theirs, samples)
    for task in suite.tasks:
        tracker.save_results_samples(task, samples[task])
    [their_file] = tmp_path.glob("*/results_*.json")
    their_report = json.loads(their_file.read_text())
    ours = reports(results / model.name)
    assert sorted(ours) == sorted(suite.tasks)
    for task, report in ours.items():
        assert report.keys() == their_report.keys()
        for part in ("results", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes"):
            assert report[part][task] == their_report[part][task]
        # lm-eval mixes the model's arguments into the metadata, from which the task then knows the weights.
        their_metadata = their_report["configs"][task]["metadata"] | {"weights_sha256": None}
        assert report["configs"][task] == {
            **their_report["configs"][task],
            "metadata": {key: value for key, value in their_metadata.items() if key != "pretrained"},
        }
        seeds = {f"{kind}_seed" for kind in ("random", "numpy", "torch", "fewshot")}  # nothing is drawn at random
        assert report["config"].keys() == their_report["config"].keys() - seeds
        assert report["config"]["weights_sha256"] == their_report["config"]["weights_sha256"]
        assert report["config"]["weights_sha256"] == fingerprint_checkpoint(PACKAGED / model.pretrained)
        for name in ("model_name", "model_source", "tokenizer_eos_token", "max_length", "lm_eval_version"):
            assert report[name] == their_report[name]
        assert report["config"]["copy_eval"]["memory_bytes"].keys() == {task}
        assert list(sample_lines(results / model.name, task)) == list(sample_lines(their_file.parent, task))


def test_what_is_done_is_skipped_and_what_is_missing_is_evaluated(results, suite, tmp_path):
    results = shutil.copytree(results, tmp_path / "results")
    before = set(results.rglob("results_*.json"))
    removed = next(file for file in sorted(before) if "tiny-mamba" in str(file))
    removed.unlink()
    progress = Progress()
    assert run_suite(replace(suite, models=(replace(PYTHIA, batch_size=1), MAMBA)), results, progress) == []
    assert (progress.done_before, progress.evaluated) == (3, 1)
    after = set(results.rglob("results_*.json"))
    assert before - after == {removed}
    assert len(after - before) == 1


def test_a_run_ends_at_a_models_context_and_goes_on_with_the_next_model(tmp_path, caplog):
    settings = {"num_books": 1, "depths": "[0, 1]", "length_tokenizer": "tiny-pythia"}
    short = replace(PYTHIA, name="short", model_args={"max_length": 500})
    tasks = ("phonebook_tokens_1k", "phonebook_tokens_2k")
    progress = Progress()
    models = (short, replace(PYTHIA, model_args={"max_length": 1500}), MAMBA)
    assert run_suite(Suite("contexts", models, tasks, settings), tmp_path / "out", progress) == []
    assert (progress.evaluated, progress.failed) == (6, 0)
    lines = [message for message in caplog.messages if "exceed the model's context" in message]
    assert lines == [
        f"{task}: 2 prompts with their answers exceed the model's context of {context} tokens; they are not scored"
        for task, context in ((tasks[0], 500), (tasks[1], 500), (tasks[1], 1500))
    ]
    report = build_report([tmp_path / "out"])
    refused = report.accuracy.set_index(["label", "length"])["over_context"]
    assert set(refused[refused].index) == {("short", 1024), ("short", 2048), ("tiny-pythia", 2048)}
    board = report.leaderboard.set_index("label")
    assert board["phonebook_tokens_effective_length_90"].to_dict() == {
        "tiny-pythia": 1024,
        "short": "over context",
        "tiny-mamba": "none",
    }


def test_weights_are_known_by_what_they_are(suite, tmp_path):
    checkpoint = shutil.copytree(PACKAGED / "tiny-pythia", tmp_path / "checkpoint")
    other = tmp_path / "other.safetensors"
    tensors = load_file(checkpoint / "model.safetensors")
    save_file({name: tensor * 1.5 for name, tensor in tensors.items()}, other, metadata={"format": "pt"})
    os.utime(other, (1, 1))
    models = tuple(ModelEntry(name, name, str(checkpoint), batch_size=4) for name in ("pythia", "hf"))
    out, small = tmp_path / "results", replace(suite, models=models, tasks=("phonebook_copy_10",))

    def evaluated() -> int:
        progress = Progress()
        assert run_suite(small, out, progress) == []
        return progress.evaluated

    assert evaluated() == 2
    (checkpoint / "train.log").write_text("step 8000")
    (checkpoint / "checkpoint-500").mkdir()
    os.utime(checkpoint / "model.safetensors")
    assert evaluated() == 0
    shutil.copy2(other, checkpoint / "model.safetensors")
    assert evaluated() == 2
    assert evaluated() == 0
    shutil.copy2(PACKAGED / "tiny-pythia" / "model.safetensors", checkpoint)
    assert evaluated() == 0  # the first results are those of these weights


def test_a_run_of_lm_eval_with_fewer_prompts_does_not_count(suite, tmp_path):
    out, small = tmp_path / "results", replace(suite, models=(PYTHIA,), tasks=("phonebook_copy_10",))
    claim(out, small)
    tracker = EvaluationTracker(output_path=str(out / "tiny-pythia" / "results.json"))
    theirs = simple_evaluate(
        model="pythia",
        model_args={"pretrained": "tiny-pythia"},
        tasks=list(small.tasks),
        limit=1,
        task_manager=TaskManager(include_path=TASKS, include_defaults=False, metadata=dict(suite.settings)),
        evaluation_tracker=tracker,
    )
    theirs.pop("samples")
    tracker.save_results_aggregated(theirs, None)
    [file] = (out / "tiny-pythia").glob("results_*.json")
    progress = Progress()
    assert run_suite(small, out, progress) == []
    assert (progress.done_before, progress.evaluated) == (0, 1)
    whole = json.loads(file.read_text())
    assert whole["n-samples"]["phonebook_copy_10"]["effective"] == 1


def test_what_cannot_be_read_is_told_once_and_left_alone(results, suite, tmp_path, capsys):
    results = shutil.copytree(results, tmp_path / "results")
    file = next((results / "tiny-mamba").glob("results_*.json"))
    file.write_text("{")
    (results / "tiny-mamba" / "results_hellaswag.json").write_text('{"results": {"hellaswag": {"acc,none": 0.3}}}')
    progress = Progress()
    assert run_suite(suite, results, progress) == []
    assert (progress.done_before, progress.evaluated) == (3, 1)
    assert capsys.readouterr().err.count("not read: ") == 1
    assert file.read_text() == "{"


def test_a_checkpoint_that_cannot_be_read_fails_and_the_others_go_on(results, suite, tmp_path):
    results = shutil.copytree(results, tmp_path / "results")
    broken = shutil.copytree(PACKAGED / "tiny-pythia", tmp_path / "broken")
    there = replace(PYTHIA, name="tiny-pythia", pretrained=str(broken))
    (broken / "pytorch_model.bin").symlink_to("/proc/self/mem")
    progress = Progress()
    failures = run_suite(replace(suite, models=(there, MAMBA)), results, progress)
    assert {failure.reason.partition(": ")[0] for failure in failures} == {f"cannot read {broken}/pytorch_model.bin"}
    assert (progress.done_before, progress.failed) == (2, 2)


def test_two_entries_for_one_checkpoint_are_two_models_of_the_report(suite, tmp_path):
    plain = replace(PYTHIA, name="undrafted", model_args={"draft": 0})
    out = tmp_path / "results"
    assert run_suite(replace(suite, models=(PYTHIA, plain), tasks=("phonebook_copy_10",)), out, Progress()) == []
    assert sorted(read_results([out])["model"].unique()) == ["tiny-pythia", "undrafted"]


def test_a_model_that_cannot_be_loaded_leaves_its_reason_and_the_others_go_on(suite, tmp_path):
    absent = ModelEntry("absent", "hf", "copy-eval/no-such-model")
    # Any backend of lm-eval's will do.
    there = ModelEntry("tiny-pythia", "hf", str(PACKAGED / "tiny-pythia"), batch_size=4)
    out = tmp_path / "results"
    small = replace(suite, models=(absent, there), tasks=("phonebook_copy_10",))
    [failure] = run_suite(small, out, Progress())
    assert (failure.cell.label, failure.cell.task) == ("absent", "phonebook_copy_10")
    assert reports(out / "tiny-pythia").keys() == {"phonebook_copy_10"}
    [row] = [json.loads(line) for line in (out / "failures.jsonl").read_text().splitlines()]
    assert (row["model"], row["revision"], row["task"]) == ("absent", None, "phonebook_copy_10")
    assert row["reason"].startswith("OSError: ")
    assert "\n" not in row["reason"]
    assert "Traceback" in row["details"]
    assert run_suite(replace(small, models=(there,)), out, Progress()) == []
    assert not (out / "failures.jsonl").exists()


@pytest.mark.parametrize("adapter", ["pythia", "mamba_ssm", "hf"])
def test_every_answer_of_a_running_cell_is_told(adapter, tmp_path):
    name = "tiny-mamba" if adapter == "mamba_ssm" else "tiny-pythia"
    cell = Cell(ModelEntry("m", adapter, str(PACKAGED / name), batch_size=2), None, "phonebook_copy_10")
    events = []
    evaluate_model([cell], {"num_samples": 5}, tmp_path, events.append)
    assert [event.state for event in events] == ["loading", *["running"] * 6, "done"]
    assert [(event.answered, event.prompts) for event in events[1:-1]] == [(count, 5) for count in range(6)]


def test_a_second_run_in_the_same_folder_is_one_line_and_the_first_goes_on(suite, tmp_path):
    out, small = tmp_path / "results", replace(suite, models=(PYTHIA,), tasks=("phonebook_copy_10",))

    def evaluate_both(groups, settings, out, on_event):
        with pytest.raises(UserError, match=f"^another run writes to {out}: wait for it"):
            run_suite(small, out, Progress())
        evaluate_in_turn(groups, settings, out, on_event)

    progress = Progress()
    assert run_suite(small, out, progress, evaluate_both) == []
    assert progress.evaluated == 1
    again = Progress()
    assert run_suite(small, out, again) == []
    assert again.done_before == 1


def test_a_task_without_its_text_fails_for_every_model_and_the_others_go_on(suite, tmp_path):
    text = tmp_path / "short.txt"
    text.write_text("far too short")
    settings = {**suite.settings, "c4_path": str(text), "length_tokenizer": "tiny-pythia"}
    broken = replace(suite, models=(PYTHIA,), tasks=("c4_copy_25", "phonebook_copy_10"), settings=settings)
    [failure] = run_suite(broken, tmp_path / "results", Progress())
    assert failure.cell.task == "c4_copy_25"
    assert "needs more text" in failure.reason
    assert reports(tmp_path / "results" / "tiny-pythia").keys() == {"phonebook_copy_10"}
