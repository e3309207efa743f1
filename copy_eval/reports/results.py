"""Reads lm-eval's result files into one tidy frame."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from copy_eval.errors import UserError

COLUMNS = {
    "model": "string",  # what `pretrained=` named
    "adapter": "string",  # lm-eval's `--model`
    "task": "string",  # the experiment, without the length: phonebook_copy
    "length": "Int64",  # entries, or tokens; of a bucket its lower bound
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "metric": "string",
    "value": "Float64",  # missing where the length does not fit the model's context
    "over_context": "boolean",
    "n": "Int64",  # prompts
    "task_version": "string",
    "prompts_sha256": "string",
    "date": "Float64",  # seconds since 1970, when the run began
}
"""Columns of the frame: a row for each model, task, length and metric."""


def read_results(paths: Iterable[Path]) -> pd.DataFrame:
    """Read every result file at or below ``paths``.

    Where a model was evaluated on the same task and prompts more than once, the newest counts.

    Returns:
        A frame with ``COLUMNS``, sorted by model, task, length and metric.

    Raises:
        UserError: if a path does not exist, a file is no JSON, or no result of our tasks is found.
    """
    rows = [row for path in paths for file in _result_files(path) for row in _rows(file)]
    if not rows:
        raise UserError(
            "no results of copy-eval's tasks found; name the folder that lm_eval was given as --output_path"
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    key = ["model", "task", "length", "metric"]
    newest = frame.sort_values("date", kind="stable").drop_duplicates([*key, "prompts_sha256"], keep="last")
    return newest.sort_values(key, ignore_index=True)


def _result_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"no such file or folder: {path}")
    return sorted(path.rglob("results*.json"))


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{file} is not a whole JSON file ({error}); delete it or evaluate again") from error
    for name, metrics in report["results"].items():
        config = report["configs"].get(name, {})
        metadata = config.get("metadata") or {}
        # Our tasks are known by the fingerprint that each of them logs, whatever their names.
        if "prompts_sha256" not in metadata:
            continue
        length = config["dataset_kwargs"]["length"]
        common = {
            "model": report["config"]["model_args"].get("pretrained", report["model_name"]),
            "adapter": report["config"]["model"],
            # squad_by_length_100_150 and _400_plus are named after both bounds of their bucket.
            "task": re.sub(rf"_{length}(_[a-z0-9]+)?$", "", name),
            "length": length,
            "text": metadata.get("text_source"),
            "n": report["n-samples"][name]["effective"],
            "task_version": str(report["versions"][name]),
            "prompts_sha256": metadata["prompts_sha256"],
            "date": report["date"],
        }
        for key, value in metrics.items():
            metric, _, filter_name = key.partition(",")
            if filter_name and not metric.endswith("_stderr"):
                is_number = isinstance(value, int | float)
                yield common | {"metric": metric, "value": value if is_number else None, "over_context": not is_number}
