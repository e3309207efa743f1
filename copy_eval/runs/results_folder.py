"""The folder that a suite's results stand in: one folder a model and revision, in it lm-eval's own files.

    DIR/suite.yaml                                    what is evaluated here
    DIR/failures.jsonl                                the cells that failed in the last run
    DIR/pythia-410m@step3000/results_<date>.json      one for each task
    DIR/pythia-410m@step3000/samples_<task>_<date>.jsonl

Which cells are done is read off the result files themselves. ``DIR/.weights`` only spares the next run the reading of
checkpoints whose files have not changed, ``DIR/.answers`` keeps those of a server until their task is done, and
``DIR/.lock`` keeps two runs from evaluating the same cells.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

from copy_eval.checkpoint_fingerprint import fingerprint_model
from copy_eval.errors import UserError
from copy_eval.files import write_whole
from copy_eval.measurement import model_of, requested_setup
from copy_eval.runs.model_entries import folder_name
from copy_eval.runs.suite import Cell, Suite, dump_suite, group_by_model
from copy_eval.runs.task_loading import Prompts, load_task, prompts_of

_SUITE = "suite.yaml"
_FAILURES = "failures.jsonl"
_WEIGHTS = ".weights"
_ANSWERS = ".answers"
_LOCK = ".lock"


@dataclass(frozen=True)
class Result:
    """What one result file says of one task."""

    file: Path
    model: tuple[str, str]
    """Its name and revision."""
    setup: Mapping[str, str]
    """How it was asked to load and to answer; see ``copy_eval.measurement``."""
    task: str
    prompts: Prompts
    weights: str | None
    """The fingerprint of the checkpoint; None where it is on the hub."""


def refuse_other_suite(out: Path, suite: Suite) -> None:
    """Check that ``out`` is new or empty, or holds results of this suite; its models and tasks may have changed.

    Raises:
        UserError: if the folder is of another suite or holds something else.
    """
    marker = out / _SUITE
    try:
        if marker.is_file():
            there = yaml.safe_load(marker.read_text(encoding="utf-8"))["name"]
            if there != suite.name:
                raise UserError(f"{out} holds the results of suite {there!r}: name another folder with --out")
        elif out.exists() and any(not path.name.startswith(".") for path in out.iterdir()):
            raise UserError(f"{out} is not empty, and no folder of results of copy-eval run: name a new one with --out")
    except (yaml.YAMLError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"{marker} is not a suite: name another folder with --out") from error
    except OSError as error:
        raise UserError(f"cannot read {out}: {error.strerror}") from error


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Make the folder, and keep other runs from it until this one has ended, however it does.

    Raises:
        UserError: if another run is at work in it, or it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / _LOCK, timeout=0)
        with suppress(NotImplementedError):  # some network file systems have no locks
            lock.acquire()
    except Timeout as error:
        raise UserError(f"another run writes to {out}: wait for it, or name another folder with --out") from error
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


def claim(out: Path, suite: Suite) -> None:
    """Make ``out`` the folder of this suite's results, and note what is evaluated.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_whole(out / _SUITE, dump_suite(suite))
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error


def folder_of(out: Path, cell: Cell) -> Path:
    """Return the folder of a cell's model and revision; no two have the same, whatever their names hold."""
    return out / "@".join(folder_name(part) for part in (cell.model.name, cell.revision) if part is not None)


def answers_of(out: Path, cell: Cell) -> Path:
    """Return the file that keeps the answers of a server to a cell until its result is written."""
    return folder_of(out / _ANSWERS, cell) / f"{folder_name(cell.task)}.jsonl"


def read_done(folder: Path, on_unread: Callable[[str], object] = lambda _: None) -> Iterator[Result]:
    """Read the results of our tasks for one model and revision; files of any other content are passed over.

    Args:
        folder: of the model and revision.
        on_unread: is told in one line of each file that cannot be read or is no JSON; it is left alone.
    """
    for file in sorted(folder.glob("results_*.json")):
        try:
            report = json.loads(file.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            on_unread(f"not read: {file} is not a whole result file ({error})")
            continue
        results = report.get("results") if isinstance(report, dict) else None
        for task in results if isinstance(results, dict) else ():
            # Another task, a group, or no result of lm-eval's at all.
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                yield _read_result(file, report, task)


def _read_result(file: Path, report: Mapping[str, Any], task: str) -> Result:
    config = report["config"]
    model_args = dict(config["model_args"])
    prompts = Prompts(
        version=str(report["versions"][task]),
        sha256=report["configs"][task]["metadata"]["prompts_sha256"],
        count=report["n-samples"][task]["effective"],
    )
    setup = requested_setup(
        config["model"],
        model_args,
        report.get("chat_template_sha"),
        report.get("system_instruction_sha"),
        config.get("gen_kwargs"),
    )
    return Result(file, model_of(model_args), setup, task, prompts, config.get("weights_sha256"))


def refuse_other_prompts(out: Path, prompts: Mapping[str, Prompts], on_unread: Callable[[str], object]) -> None:
    """Check that what ``out`` holds rests on the same prompts, so that its models can be compared.

    Args:
        out: the folder of results.
        prompts: of each task.
        on_unread: see ``read_done``.

    Raises:
        UserError: names the first task that was asked otherwise.
    """
    for folder in sorted(out.glob("*/")):
        for result in read_done(folder, on_unread):
            now = prompts.get(result.task, result.prompts)
            if now.version != result.prompts.version:
                what = f"is of version {result.prompts.version} of {result.task}, this is version {now.version}"
            elif now.sha256 != result.prompts.sha256:
                what = f"has other prompts of {result.task}, of other settings or another text"
            else:
                continue
            raise UserError(f"{result.file} {what}: name another folder with --out")


def left_to_do(
    cells: Sequence[Cell],
    settings: Mapping[str, int | str],
    out: Path,
    on_model: Callable[[str], object] = lambda _: None,
) -> list[Cell]:
    """Return the cells without a result in ``out``.

    Args:
        cells: those of one model and revision together.
        settings: of the suite.
        out: its folder of results.
        on_model: is told the label of each model whose checkpoint is compared with its results.

    Raises:
        UserError: if a task's data cannot be had.
    """
    left: list[Cell] = []
    for of_model in group_by_model(cells):
        results = list(read_done(folder_of(out, of_model[0])))
        weights = None
        if results:
            on_model(of_model[0].label)
            with suppress(UserError):  # which is told when the model is loaded
                weights = fingerprint_weights(of_model[0], out)
        for cell in of_model:
            prompts = prompts_of(load_task(cell.task, settings, cell.include_path))
            if not is_done(cell, prompts, weights, results):
                left.append(cell)
    return left


def is_done(cell: Cell, prompts: Prompts, weights: str | None, results: Sequence[Result]) -> bool:
    """Tell whether one of the ``results`` of the cell's folder is the cell's: the same measurement, and whole."""
    arguments = cell.model.arguments(cell.revision)
    setup = requested_setup(cell.model.adapter, arguments)
    asked = (model_of(arguments), setup, cell.task, prompts, weights)
    return any((result.model, result.setup, result.task, result.prompts, result.weights) == asked for result in results)


def fingerprint_weights(cell: Cell, out: Path) -> str | None:
    """Return the fingerprint of a cell's checkpoint, None for one on the hub; ``DIR/.weights`` remembers the hashes.

    Raises:
        UserError: if a file cannot be read.
    """
    return fingerprint_model(cell.model.arguments(cell.revision), folder_of(out / _WEIGHTS, cell))


def write_result(folder: Path, task: str, report: Mapping[str, Any], samples: Sequence[Mapping[str, Any]]) -> None:
    """Write a cell's two files as lm-eval's ``EvaluationTracker`` does, which would only log a full disk.

    The results file, which says that the cell is done, gets its name last.

    Raises:
        UserError: if they cannot be written.
    """
    from lm_eval.utils import handle_non_serializable

    date = datetime.now().isoformat().replace(":", "-")
    lines = [json.dumps(_as_logged(sample), default=handle_non_serializable, ensure_ascii=False) for sample in samples]
    results = json.dumps(report, indent=2, default=handle_non_serializable, ensure_ascii=False)
    try:
        folder.mkdir(exist_ok=True)
        write_whole(folder / f"samples_{task}_{date}.jsonl", "".join(f"{line}\n" for line in lines))
        write_whole(folder / f"results_{date}.json", results)
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}") from error


def _as_logged(sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sample as lm-eval logs it: the arguments by name, the answers and the target as text."""
    from lm_eval.utils import sanitize_list

    arguments = {
        f"gen_args_{request}": {f"arg_{place}": argument for place, argument in enumerate(given)}
        for request, given in enumerate(sample["arguments"])
    }
    return {
        **sample,
        "resps": sanitize_list(sample["resps"]),
        "filtered_resps": sanitize_list(sample["filtered_resps"]),
        "arguments": arguments,
        "target": str(sample["target"]),
    }


def write_failures(out: Path, failures: Sequence[Mapping[str, Any]]) -> None:
    """Write a line for each cell that failed in this run, or remove the file if none did.

    Raises:
        UserError: if it cannot be written.
    """
    file = out / _FAILURES
    try:
        if failures:
            write_whole(file, "".join(f"{json.dumps(failure)}\n" for failure in failures))
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error
