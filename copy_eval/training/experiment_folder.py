"""The folder of an experiment: all its runs, and suites that evaluate their checkpoints.

::

    DIR/
      experiment.yaml         what is trained here
      suite-string_copy.yaml  for ``copy-eval run``: all checkpoints on the experiment's tasks
      string_copy/
        rope-seed0/           see ``trainer``; and copy_eval.json, which tells reports what was trained
        mamba-seed0/
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from copy_eval.errors import UserError, first_line
from copy_eval.files import write_whole
from copy_eval.runs.results_folder import locked
from copy_eval.training.architectures import ARCHITECTURES
from copy_eval.training.experiment import Experiment, Size, TrainingRun, runs_of
from copy_eval.training.trainer import DivergedError, is_done, train_run
from copy_eval.training_record import TrainingRecord, write_record

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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if size == "paper" and device.type == "cpu":
        raise UserError("size paper trains on a GPU, and PyTorch finds none here; leave out --size paper")
    content = {"name": name, "size": size, **experiment.model_dump()}
    _check(out, content)
    with locked(out):
        write_whole(out / MARKER, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
        runs = runs_of(experiment, size)
        outcome = Outcome(0, 0, 0, [])
        for number, run in enumerate(runs, 1):
            write_record(out / run.name, _record(name, run))
            if is_done(run, out / run.name):
                outcome.done_before += 1
                continue
            try:
                train_run(run, out / run.name, device, f"{run.name} ({number}/{len(runs)})")
                outcome.trained += 1
            except DivergedError as error:
                outcome.failed += 1
                print(f"copy-eval: {error}", file=sys.stderr)
            outcome.suites = _write_suites(f"{name}-{size}", runs, out)
        outcome.suites = outcome.suites or _write_suites(f"{name}-{size}", runs, out)
        return outcome


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
    for task, evaluated in runs[0].scale.tasks.items():
        done = {run.architecture: None for run in runs if run.task == task and is_done(run, out / run.name)}
        if not done or not evaluated:
            continue
        models = [
            {
                "adapter": ARCHITECTURES[architecture].adapter,
                # Without a name, each model is called by what the pattern left open: rope-seed0/step1000.
                "pretrained": f"{task}/{architecture}-seed*/step*",
                "batch_size": _BATCH_SIZE,
            }
            for architecture in done
        ]
        file = out / f"suite-{task}.yaml"
        suite = {"name": f"{name}-{task}", "models": models, "tasks": evaluated}
        write_whole(file, yaml.safe_dump(suite, sort_keys=False))
        written.append(file)
    return written
