"""Reads the samples that lm-eval logs beside its results with ``--log_samples``: one row a prompt."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from tqdm import tqdm

from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.result_files import samples_file

OTHER_ENTRY = "another entry's number"
NOT_IN_BOOK = "nowhere in the book"
ELSEWHERE = "elsewhere in the book"
"""Kinds of wrong answers to a phonebook question; the last is a fragment of the book, such as half a number."""

COLUMNS = {
    "label": "string",
    "model": "string",
    "revision": "string",
    "step": "Int64",
    "task": "string",
    "series": "string",
    "title": "string",
    "task_name": "string",
    "length": "Int64",
    "text": "string",
    "task_version": "string",
    "prompts_sha256": "string",
    "over_context": "boolean",  # as in the results: of the length, not of the prompt
    "index": "Int64",  # the prompt's place; with the same prompts_sha256 it is the same prompt
    "exact_match": "Float64",  # 0 or 1; missing for a prompt that does not fit the context
    "depth": "Float64",  # phonebook: place of the entry asked for, from 0 (first line of the book) to 1; else missing
    "kind": "string",  # phonebook: OTHER_ENTRY, NOT_IN_BOOK or ELSEWHERE for a wrong answer; else missing
}
"""Columns of the frame; the first 13 are those of ``results.COLUMNS``."""

_SHARED = list(COLUMNS)[:13]


class _Sample(NamedTuple):
    place: int
    exact_match: float | None
    depth: float | None
    kind: str | None


def read_samples(results: pd.DataFrame) -> pd.DataFrame:
    """Read the samples of all runs in a frame of results that have some.

    The samples of pooled runs follow each other in the order of their fingerprints, and ``index`` goes on counting.

    Args:
        results: as ``read_results`` returns it.

    Returns:
        A frame with ``COLUMNS``, in the order of the results; empty where no run logged samples.

    Raises:
        UserError: if a file of samples is damaged, or is not of the results that it stands beside.
    """
    cells = results[results["metric"] == "exact_match"].reset_index(drop=True)
    places: list[int] = []
    samples: list[_Sample] = []
    progress = tqdm(cells.itertuples(), total=len(cells), desc="reading samples", unit="file", delay=2, disable=None)
    for cell in progress:
        found = _read_cell(cell)
        places += [cell.Index] * len(found)
        samples += found
    shared = cells.loc[places, _SHARED].reset_index(drop=True)
    return shared.join(pd.DataFrame(samples, columns=list(COLUMNS)[13:])).astype(COLUMNS)


def _read_cell(cell: Any) -> list[_Sample]:
    """Read the samples of one model, task and length; a row of pooled runs has several files."""
    files = [samples_file(Path(file), cell.task_name) for file in cell.file.split("\n")]
    if not all(file.is_file() for file in files):
        return []
    hashes = [""] if pd.isna(cell.samples_sha256) else cell.samples_sha256.split("\n")
    samples: list[_Sample] = []
    for file, samples_sha256 in zip(files, hashes, strict=True):
        samples += _read_file(file, samples_sha256, first_index=len(samples))
    _check(samples, cell, files)
    return samples


def _check(samples: Sequence[_Sample], cell: Any, files: Sequence[Path]) -> None:
    """Refuse samples that do not add up to the result of their cell."""
    named = " and ".join(map(str, files))
    if len(samples) != cell.n:
        raise UserError(f"{named}: {len(samples)} samples, but the results are of {cell.n}; evaluate again")
    if pd.isna(cell.value):
        return
    scores = [sample.exact_match for sample in samples if sample.exact_match is not None]
    mean = sum(scores) / len(samples)
    if len(scores) < len(samples) or not math.isclose(mean, cell.value, abs_tol=1e-6):
        raise UserError(f"{named}: exact match is {mean:.4f}, but {cell.value:.4f} in the results; evaluate again")


def _read_file(file: Path, samples_sha256: str, first_index: int) -> list[_Sample]:
    digest = hashlib.sha256()
    samples = []
    try:
        with file.open("rb") as lines:
            for line in lines:
                content = json.loads(line)
                # lm-eval's own hash of a task: over the hashes that it gives each document, prompt and target.
                digest.update((content["doc_hash"] + content["prompt_hash"] + content["target_hash"]).encode())
                samples.append(_sample(content, first_index))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{file}, line {len(samples) + 1}: not a sample as lm-eval logs it ({error!r}); evaluate again"
        ) from error
    if samples_sha256 and digest.hexdigest() != samples_sha256:
        raise UserError(f"{file}: not the samples of the results beside it (their hashes differ); evaluate again")
    return samples


def _sample(content: Mapping[str, Any], first_index: int) -> _Sample:
    doc = content["doc"]
    return _Sample(
        place=first_index + doc["index"],
        exact_match=None if content["exact_match"] == OVER_CONTEXT else float(content["exact_match"]),
        depth=doc.get("depth"),
        kind=_kind(content.get("wrong_is_other_entry"), content.get("wrong_not_in_book")),
    )


def _kind(is_other_entry: float | None, is_not_in_book: float | None) -> str | None:
    """Name the kind of a wrong answer; the two metrics are None for a right one."""
    if is_other_entry not in (0.0, 1.0):
        return None
    return OTHER_ENTRY if is_other_entry else NOT_IN_BOOK if is_not_in_book else ELSEWHERE
