"""The folder that a suite's results stand in: one folder a model and revision, in it lm-eval's own files.

    DIR/suite.yaml                                    what is evaluated here
    DIR/failures.jsonl                                the cells that failed in the last run
    DIR/pythia-410m@step3000/results_<date>.json      one for each task
    DIR/pythia-410m@step3000/samples_<task>_<date>.jsonl

Which cells are done is read off the result files themselves.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED
from copy_eval.runs.model_entries import folder_name
from copy_eval.runs.suite import Cell, Suite
from copy_eval.runs.suite_file import dump_suite

_SUITE = "suite.yaml"
_FAILURES = "failures.jsonl"
_WITHOUT_EFFECT = ("device",)  # arguments of an adapter that leave its answers as they are


@dataclass(frozen=True)
class Prompts:
    """What a task asks: its version and the fingerprint of its prompts."""

    version: str
    sha256: str


@dataclass(frozen=True)
class Result:
    """What one result file says of one task."""

    file: Path
    adapter: str
    model_args: Mapping[str, Any]
    task: str
    prompts: Prompts
    date: float


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
    except (yaml.YAMLError, TypeError, KeyError) as error:
        raise UserError(f"{marker} is not a suite: name another folder with --out") from error
    except OSError as error:
        raise UserError(f"cannot read {out}: {error.strerror}") from error


def claim(out: Path, suite: Suite) -> None:
    """Make ``out`` the folder of this suite's results, and note what is evaluated.

    Raises:
        UserError: if it cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        _write_whole(out / _SUITE, dump_suite(suite))
    except OSError as error:
        raise UserError(f"cannot write to {out}: {error.strerror}") from error


def folder_of(out: Path, cell: Cell) -> Path:
    """Return the folder of a cell's model and revision."""
    return out / folder_name(cell.label)


def read_done(folder: Path) -> Iterator[Result]:
    """Read the results of one model and revision.

    Raises:
        UserError: if a file is no result of lm-eval's.
    """
    for file in sorted(folder.glob("results_*.json")):
        try:
            report = json.loads(file.read_text(encoding="utf-8"))
            for task in report["results"]:
                sha256 = report["configs"][task]["metadata"]["prompts_sha256"]
                prompts = Prompts(str(report["versions"][task]), sha256)
                config = report["config"]
                yield Result(file, config["model"], config["model_args"], task, prompts, report["date"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{file} is not a whole result file of lm-eval's: delete it") from error


def refuse_other_prompts(out: Path, prompts: Mapping[str, Prompts]) -> None:
    """Check that what ``out`` holds rests on the same prompts, so that its models can be compared.

    Raises:
        UserError: names the first task that was asked otherwise.
    """
    for folder in sorted(out.glob("*/")):
        for result in read_done(folder):
            now = prompts.get(result.task, result.prompts)
            if now.version != result.prompts.version:
                what = f"is of version {result.prompts.version} of {result.task}, this is version {now.version}"
            elif now != result.prompts:
                what = f"has other prompts of {result.task}, of other settings or another text"
            else:
                continue
            raise UserError(f"{result.file} {what}: name another folder with --out")


def is_done(cell: Cell, prompts: Prompts, results: Sequence[Result]) -> bool:
    """Tell whether one of the ``results`` of the cell's folder is the cell's, and newer than the checkpoint's files."""
    wanted = _identity(cell.model.arguments(cell.revision))
    return any(
        (result.adapter, result.task, result.prompts) == (cell.model.adapter, cell.task, prompts)
        and _identity(result.model_args) == wanted
        and result.date > _last_change(cell.model.pretrained)
        for result in results
    )


def _identity(model_args: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps({key: value for key, value in model_args.items() if key not in _WITHOUT_EFFECT}))


def _last_change(pretrained: str) -> float:
    """Return when a file of the folder ``pretrained`` changed last; 0 for a name on the hub."""
    folder = Path(pretrained) if Path(pretrained).is_dir() else PACKAGED / pretrained
    return max((file.stat().st_mtime for file in folder.iterdir()), default=0) if folder.is_dir() else 0


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
        _write_whole(folder / f"samples_{task}_{date}.jsonl", "".join(f"{line}\n" for line in lines))
        _write_whole(folder / f"results_{date}.json", results)
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
            _write_whole(file, "".join(f"{json.dumps(failure)}\n" for failure in failures))
        else:
            file.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"cannot write {file}: {error.strerror}") from error


def _write_whole(file: Path, text: str) -> None:
    """Write a file under another name first, so that it is never seen half written."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
