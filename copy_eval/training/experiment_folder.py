"""The folder that ``copy-eval train`` writes: all runs of an experiment, and suites that evaluate their checkpoints.

::

    DIR/
      experiment.yaml         what is trained here
      suite-string_copy.yaml  for ``copy-eval run``: all checkpoints on the experiment's tasks
      string_copy/
        rope-seed0/           see ``trainer``; and copy_eval.json, which tells reports what was trained
        mamba-seed0/

A packaged checkpoint that is trained anew is the only run of its folder.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
import yaml

from copy_eval.errors import UserError, first_line
from copy_eval.files import write_whole
from copy_eval.runs.results_folder import locked
from copy_eval.training import packaged_checkpoints
from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.experiment import Experiment, Size, TrainingRun, runs_of
from copy_eval.training.experiment_training import train_in_this_process, train_runs, training_of
from copy_eval.training.progress import TrainingProgress
from copy_eval.training.trainer import is_done, writing
from copy_eval.training_record import RECORD, TrainingRecord, write_record

MARKER = "experiment.yaml"

_BATCH_SIZE = 16  # of the evaluation


@dataclass(slots=True)
class Outcome:
    """How many runs were trained now, had been trained before, and cannot be trained; and what evaluates them."""

    trained: int
    done_before: int
    failed: int
    suites: list[Path]


def train_experiment(name: str, experiment: Experiment, size: Size, out: Path) -> Outcome:
    """Train what is left of an experiment.

    Args:
        name: of the experiment.
        experiment: what is trained.
        size: one of its sizes.
        out: folder of the checkpoints; a new one, or one to go on in.

    Raises:
        UserError: if the folder holds something else, or something cannot be read or written.
    """
    if size == "paper":
        _check_gpu(experiment)
    runs = runs_of(experiment, size)
    with _opened(out, {"name": name, "size": size, **experiment.model_dump()}):
        for run in runs:
            with writing(out / run.name / f".{RECORD}"):
                write_record(out / run.name, _record(name, run))
        left = [run for run in runs if not is_done(training_of(run), out / run.name)]
        outcome = Outcome(0, len(runs) - len(left), 0, _write_suites(f"{name}-{size}", runs, out))
        with TrainingProgress([run.name for run in runs]) as progress:
            for name_of_run, diverged in train_runs(left, out, progress.show):
                if diverged is None:
                    outcome.trained += 1
                else:
                    outcome.failed += 1
                    progress.end(name_of_run, f"copy-eval: {diverged}")
                outcome.suites = _write_suites(f"{name}-{size}", runs, out)
    return outcome


def _check_gpu(experiment: Experiment) -> None:
    """Check that models of the paper's size can be trained here.

    Raises:
        UserError: if there is no GPU, or the kernels are missing that an architecture needs.
    """
    if not torch.cuda.is_available():
        raise UserError("size paper trains on a GPU, and PyTorch finds none here; leave out --size paper")
    needing = [name for name in experiment.architectures if ARCHITECTURES[name].kernels]
    if needing and not (find_spec("mamba_ssm") and find_spec("causal_conv1d")):
        raise UserError(
            f"size paper takes the kernels of mamba-ssm and causal-conv1d for {', '.join(needing)}: "
            "pip install --no-build-isolation 'copy-eval[cuda]'"
        )


def train_checkpoint(name: str, out: Path) -> Outcome:
    """Train a packaged checkpoint anew; ``out`` gets a folder of its name.

    Raises:
        UserError: if the folder holds something else, or something cannot be read or written.
    """
    training = packaged_checkpoints.training_of(name)
    with _opened(out, {"name": name}):
        if is_done(training, out):
            return Outcome(0, 1, 0, [])
        with TrainingProgress([name]) as progress:
            diverged = train_in_this_process(training, out, progress.show)
            if diverged is not None:
                progress.end(name, f"copy-eval: {diverged}")
        return Outcome(int(diverged is None), 0, int(diverged is not None), [])


@contextmanager
def _opened(out: Path, content: Mapping[str, Any]) -> Iterator[None]:
    """Hold a folder for what is trained in it, and note that.

    Raises:
        UserError: if it holds something else, or cannot be written.
    """
    _check(out, content)
    with locked(out):
        with writing(out / f".{MARKER}"):
            write_whole(out / MARKER, yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True))
        yield


def _record(experiment: str, run: TrainingRun) -> TrainingRecord:
    """Return what reports are told of a run."""
    return TrainingRecord(
        experiment=experiment,
        size=run.size,
        task=run.task,
        architecture=run.architecture,
        seed=run.seed,
        lengths=(run.scale.lengths[0], run.scale.lengths[1]),
        examples=run.scale.examples,
    )


def _check(out: Path, content: Mapping[str, Any]) -> None:
    """Check that a folder is new, empty, or of this experiment.

    Raises:
        UserError: if it is not; says in what the experiments differ.
    """
    marker = out / MARKER
    try:
        if not marker.is_file():
            if out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
                raise UserError(f"{out} is not empty, and no folder of copy-eval train: name a new one with --out")
            return
        there = yaml.safe_load(marker.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"cannot read {out}: {first_line(error)}") from error
    if not isinstance(there, dict):
        raise UserError(f"{marker} is no experiment: name another folder with --out")
    for key, value in content.items():
        if there.get(key) != value:
            raise UserError(
                f"{out} holds checkpoints of another experiment, with {_differing(key, there.get(key), value)}: "
                "name another folder with --out"
            )


def _differing(key: str, there: object, here: object) -> str:
    """Return the first value that differs, with its keys: ``sizes.cpu.examples 400 and not 800``."""
    if isinstance(there, dict) and isinstance(here, dict):
        inner = next(inner for inner in [*here, *there] if there.get(inner) != here.get(inner))
        return _differing(f"{key}.{inner}", there.get(inner), here.get(inner))
    return f"{key} {there!r:.80} and not {here!r:.80}"


def _write_suites(name: str, runs: list[TrainingRun], out: Path) -> list[Path]:
    """Write a suite for each task that was learned, with every architecture that is done once; return their files."""
    written = []
    learned = runs[0].scale.tasks
    for task, evaluated in learned.items():
        done = {run.architecture for run in runs if run.task == task and is_done(training_of(run), out / run.name)}
        if not done or not evaluated:
            continue
        models = []
        for architecture in dict.fromkeys(run.architecture for run in runs if run.architecture in done):
            model: dict[str, Any] = {
                "adapter": ARCHITECTURES[architecture].adapter,
                # A model is called by what the pattern leaves open, rope-seed0/step1000, behind the name if it has one.
                "pretrained": f"{task}/{architecture}-seed*/step*",
                "batch_size": _BATCH_SIZE,
            }
            models.append({"name": task} | model if len(learned) > 1 else model)
        file = out / f"suite-{task}.yaml"
        suite = {"name": f"{name}-{task}", "models": models, "tasks": evaluated}
        with writing(out / f".{file.name}"):
            write_whole(file, yaml.safe_dump(suite, sort_keys=False))
        written.append(file)
    return written
