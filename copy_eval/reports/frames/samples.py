"""Reads the samples that lm-eval logs beside its results with ``--log_samples``: one row a prompt."""

import hashlib
import json
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.result_files import MOST, keep_printable, samples_file

_log = logging.getLogger(__name__)

OTHER_ENTRY = "another entry's number"
NOT_IN_BOOK = "nowhere in the book"
RIGHT_NUMBER = "the right number in other words"
ELSEWHERE = "a fragment of the book"
"""Kinds of wrong answers to a phonebook question; the last is for example half a number."""

_SHARED = {
    "label": "string",
    "model": "string",
    "revision": "string",
    "setup": "string",
    "step": "Int64",
    "task": "string",
    "series": "string",
    "title": "string",
    "task_name": "string",
    "length": "Int64",
    "length_name": "string",
    "unit": "string",
    "text": "string",
    "task_version": "string",
    "prompts_sha256": "string",
    "over_context": "boolean",  # as in the results: of the length, not of the prompt
}
COLUMNS = _SHARED | {
    "index": "Int64",  # the prompt's place; with the same prompts_sha256 it is the same prompt
    "exact_match": "Float64",  # 0 or 1; missing for a prompt that does not fit the context
    "score": "Float64",  # of the metric that stands for the task, 0 to 1; missing likewise
    "depth": "Float64",  # place of the answer in the prompt, from 0 (of a phonebook, its first line) to 1; else missing
    "kind": "string",  # phonebook: one of the kinds for a wrong answer; else missing
    "cluster": "string",  # what the prompt shares with others: a phonebook, an article; missing where independent
}
"""Columns of the frame; the first ones are those of ``results.COLUMNS``."""


class Sample(NamedTuple):
    """One prompt and what became of it."""

    place: int
    prompt: str
    """Hash of the text that the model saw."""
    scores: Mapping[str, float | None]
    """Each metric: None where it does not apply to the answer, and everywhere for a prompt over the context."""
    depth: float | None
    cluster: str | None


def read_samples(results: pd.DataFrame) -> pd.DataFrame:
    """Read the samples of all runs in a frame of results that have some.

    Of pooled runs each distinct prompt counts once, as in the results, and ``index`` goes on counting. Files of samples
    that are unusable are named in a line each and left out.

    Args:
        results: as ``read_results`` returns it.

    Returns:
        A frame with ``COLUMNS``, in the order of the results; empty where no run logged samples.
    """
    cells = results[results["metric"] == results["headline"]].reset_index(drop=True)
    places: list[int] = []
    rows: list[tuple[Any, ...]] = []
    progress = tqdm(cells.itertuples(), total=len(cells), desc="reading samples", unit="file", delay=2, disable=None)
    for cell in progress:
        samples = _read_cell(cell)
        places += [cell.Index] * len(samples)
        rows += [_row(place, sample, cell.headline) for place, sample in samples]
    shared = cells.loc[places, list(_SHARED)].reset_index(drop=True)
    return shared.join(pd.DataFrame(rows, columns=list(COLUMNS)[len(_SHARED) :])).astype(COLUMNS)


def _row(place: int, sample: Sample, headline: str) -> tuple[Any, ...]:
    scores = sample.scores
    return place, scores.get("exact_match"), scores.get(headline), sample.depth, _kind(scores), sample.cluster


def _kind(scores: Mapping[str, float | None]) -> str | None:
    """Name the kind of a wrong answer to a phonebook question; None for a right one, and for other tasks."""
    if scores.get("wrong_is_other_entry") is None:
        return None
    kinds = {"wrong_is_other_entry": OTHER_ENTRY, "wrong_not_in_book": NOT_IN_BOOK, "contains": RIGHT_NUMBER}
    return next((kind for metric, kind in kinds.items() if scores.get(metric)), ELSEWHERE)


def _read_cell(cell: Any) -> list[tuple[int, Sample]]:
    """Return the samples of a row of the results with their places; a row of pooled runs has several files."""
    if not cell.prompts_sha256.startswith("pooled:"):
        return [(sample.place, sample) for sample in read_run(Path(cell.file), cell) or []]
    files = zip(cell.file.split("\n"), cell.samples_sha256.split("\n"), strict=False)
    runs = [read_samples_file(Path(file), cell.task_name, sha, _fields(cell)) for file, sha in files]
    known = [run for run in runs if run is not None]
    return list(enumerate(distinct(known))) if len(known) == len(runs) else []


def read_runs(cells: Iterable[Any]) -> list[list[Sample]] | None:
    """Return the samples of several runs, None if one of them has none."""
    runs = [read_run(Path(cell.file), cell) for cell in cells]
    return None if any(run is None for run in runs) else [run for run in runs if run is not None]


def distinct(runs: Sequence[Sequence[Sample]]) -> list[Sample]:
    """Return the samples of several runs, each prompt once: its answer is that of the first run that has it."""
    found: dict[str, Sample] = {}
    for sample in chain.from_iterable(runs):
        found.setdefault(sample.prompt, sample)
    return list(found.values())


def read_run(file: Path, cell: Any) -> list[Sample] | None:
    """Return the samples of one run, None where there are none that add up to its result.

    Args:
        file: the result file.
        cell: the row of the results that holds the metric of the task.
    """
    sha256 = "" if pd.isna(cell.samples_sha256) else cell.samples_sha256
    samples = read_samples_file(file, cell.task_name, sha256, _fields(cell))
    if samples is None:
        return None
    problem = _discrepancy(samples, cell)
    if problem:
        _log.warning("skipped %s: %s", keep_printable(str(samples_file(file, cell.task_name))), problem)
        return None
    return samples


class _Fields(NamedTuple):
    """The fields of a record that a task's description names."""

    depth: str
    cluster: str | None


def _fields(cell: Any) -> _Fields:
    return _Fields(cell.depth_field, None if pd.isna(cell.cluster_field) else cell.cluster_field)


def _discrepancy(samples: Sequence[Sample], cell: Any) -> str | None:
    if len(samples) != cell.n:
        return f"{len(samples)} samples, but the results are of {cell.n}"
    if len({sample.place for sample in samples}) < len(samples):
        return "a prompt stands there twice"
    if pd.isna(cell.value):
        return None
    scores = [score for sample in samples if (score := sample.scores.get(cell.headline)) is not None]
    mean = sum(scores) / len(samples)
    if len(scores) < len(samples) or not math.isclose(mean, cell.value, abs_tol=1e-6):
        return f"{cell.headline} is {mean:.4f}, but {cell.value:.4f} in the results"
    return None


def read_samples_file(results_file: Path, task_name: str, sha256: str, fields: _Fields) -> list[Sample] | None:
    """Return the samples of a task that stand beside a result file; None where there are none that can be used.

    Args:
        results_file: where lm-eval wrote the results.
        task_name: lm-eval's name of the task.
        sha256: the hash of the samples that the results name; empty if they name none.
        fields: those of a record that hold its depth and its cluster.
    """
    file = samples_file(results_file, task_name)
    try:
        return _read_file(file, sha256, fields) if file.is_file() else None
    except UserError as error:
        _log.warning("skipped %s", keep_printable(str(error)))
    except OSError as error:
        _log.warning("skipped %s: %s", keep_printable(str(file)), error.strerror)
    return None


def _read_file(file: Path, sha256: str, fields: _Fields) -> list[Sample]:
    digest = hashlib.sha256()
    samples: list[Sample] = []
    try:
        with file.open("rb") as lines:
            for line in lines:
                content = json.loads(line)
                # lm-eval's own hash of a task: over the hashes that it gives each document, prompt and target.
                digest.update((content["doc_hash"] + content["prompt_hash"] + content["target_hash"]).encode())
                samples.append(_sample(content, fields))
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"{file}, line {len(samples) + 1}: not a sample as lm-eval logs it ({error!r})") from error
    if sha256 and digest.hexdigest() != sha256:
        raise UserError(f"{file}: not the samples of the results beside it (their hashes differ)")
    return samples


def _sample(content: Mapping[str, Any], fields: _Fields) -> Sample:
    doc = content["doc"]
    index, depth = doc["index"], doc.get(fields.depth)
    cluster = None if fields.cluster is None else doc.get(fields.cluster)
    if type(index) is not int or not 0 <= index < MOST:
        raise ValueError(f"index {index!r:.60}")
    if cluster is not None and not isinstance(cluster, str):
        raise ValueError(f"{fields.cluster} {cluster!r:.60}")
    return Sample(
        place=index,
        prompt=content["prompt_hash"],
        scores={metric: _score(content[metric], metric) for metric in content["metrics"]},
        depth=_score(depth, fields.depth),
        cluster=None if cluster is None else keep_printable(cluster),
    )


def _score(value: object, name: str) -> float | None:
    if value is None or value == OVER_CONTEXT:
        return None
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"{name} {value!r:.60}")
    return float(value)
