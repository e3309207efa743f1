"""Reads lm-eval's result files, of whatever backend, into one tidy frame."""

import logging
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from copy_eval.errors import UserError
from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.architectures import tell_architecture
from copy_eval.reports.frames.labels import add_labels, keep_printable
from copy_eval.reports.frames.merging import merge
from copy_eval.reports.frames.result_files import find_result_files, parse_result_file
from copy_eval.reports.frames.series import add_series

_log = logging.getLogger(__name__)

COLUMNS = {
    "model": "string",  # what `pretrained=` said
    "revision": "string",  # branch, tag or commit; "main" by default
    "label": "string",  # the model and revision for people: unique, short, in one line; see labels.add_labels
    "step": "Int64",  # of a revision like step3000
    "adapter": "string",  # lm-eval's `--model`
    "architecture": "string",  # "transformer", "state space" or "hybrid"; missing where unknown
    "parameters": "Int64",  # missing where unknown
    "task": "string",  # the experiment, without the length: phonebook_copy
    "series": "string",  # what may stand in one table: the task in one version on one text; see series.add_series
    "title": "string",  # the series for people
    "task_name": "string",  # lm-eval's: phonebook_copy_40, squad_by_length_100_150
    "length": "Int64",  # entries, or tokens; of a bucket its lower bound
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "metric": "string",
    "value": "Float64",  # missing where over context, where nothing could be averaged, and where lm-eval has no number
    "stderr": "Float64",  # lm-eval's standard error; missing where it gives none
    "over_context": "boolean",  # at least one prompt of the length does not fit the model's context
    "n": "Int64",  # prompts
    "task_version": "string",
    "prompts_sha256": "string",  # fingerprint of the prompts; "pooled:..." if runs with several were pooled
    "date": "datetime64[us, UTC]",  # when the run began; of pooled runs, the newest
    "file": "string",  # path of the result file; of pooled runs, one a line
    "samples_sha256": "string",  # lm-eval's hash of the samples; missing without any; of pooled runs, one a line
}
"""Columns of the frame: a row for each model, revision, task, length, metric, text and task version."""


def read_results(paths: Iterable[Path], pool: bool = False) -> pd.DataFrame:
    """Read every result file at or below ``paths``, and merge the runs.

    Where the same model and revision was evaluated on the same prompts more than once, the newest run counts. Where it
    was evaluated on different prompts of the same task, length and text (another ``data_seed``), the newest run counts
    too, and a warning names what was left out; with ``pool`` such runs become one, weighted by their prompts. Different
    versions of a task, and different texts, stay rows of their own. Files without results of our tasks are passed over,
    and a warning names them.

    Returns:
        A frame with ``COLUMNS``, sorted by architecture, size, model, training step, series, length and metric.

    Raises:
        UserError: if a path does not exist, a file is no JSON or no whole result file, or nothing is found.
    """
    rows: list[dict[str, Any]] = []
    foreign: list[Path] = []
    files = find_result_files(paths)
    for file in tqdm(files, desc="reading results", unit="file", delay=2, disable=None):
        found = _read_file(file)
        rows += found
        if not found:
            foreign.append(file)
    if not rows:
        raise UserError(
            "no results of copy-eval's tasks found; name the folder that lm_eval was given as --output_path"
        )
    if foreign:
        _log.warning("no results of copy-eval's tasks, skipped: %s", _enumerate(foreign))
    frame = pd.DataFrame(rows).assign(label=None, series=None, title=None).astype(COLUMNS)[list(COLUMNS)]
    merged = add_series(add_labels(_complete(merge(frame, pool))))
    order = ["architecture", "parameters", "model", "step", "revision", "series", "length", "metric"]
    return merged.sort_values(order, ignore_index=True)


def _enumerate(files: Sequence[Path], most: int = 5) -> str:
    named = ", ".join(map(str, files[:most]))
    return named if len(files) <= most else f"{named} and {len(files) - most} more"


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Give every row of a model what only some of its runs tell: not every backend logs architecture and parameters."""
    known = ["architecture", "parameters"]
    return frame.assign(**frame.groupby(["model", "revision"])[known].transform("first"))


def _read_file(file: Path) -> list[dict[str, Any]]:
    report = parse_result_file(file)
    try:
        return list(_rows(report, str(file))) if report else []
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} is not a result file as lm-eval writes it ({error!r}); evaluate again") from error


def _rows(report: Mapping[str, Any], file: str) -> Iterator[dict[str, Any]]:
    configs = report.get("configs", {})
    # Our tasks are known by the fingerprint that each of them logs, whatever their names.
    ours = [name for name in report["results"] if "prompts_sha256" in (configs.get(name, {}).get("metadata") or {})]
    run = _describe_run(report) | {"file": file} if ours else {}
    for name in ours:
        metrics = report["results"][name]
        task = run | _describe_task(report, name)
        over_context = OVER_CONTEXT in metrics.values()
        for key, value in metrics.items():
            metric, _, filter_name = key.partition(",")
            if filter_name and not metric.endswith("_stderr"):
                yield task | {
                    "metric": metric,
                    "value": _number(value),
                    "stderr": _number(metrics.get(f"{metric}_stderr,{filter_name}")),
                    "over_context": over_context,
                }


def _describe_run(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that all tasks of a result file share."""
    config = report["config"]
    model_args = config.get("model_args") or {}
    if isinstance(model_args, str):
        model_args = dict(pair.partition("=")[::2] for pair in model_args.split(","))
    model = str(report.get("model_name") or config["model"])
    revision = str(config.get("model_revision") or model_args.get("revision") or "main")
    step = re.fullmatch(r"step[-_]?(\d{1,15})", revision)
    parameters = config.get("model_num_parameters") or 0
    return {
        "model": _encodable(model),
        "revision": _encodable(revision),
        "step": int(step[1]) if step else None,
        "adapter": keep_printable(str(config["model"])),
        "architecture": tell_architecture(config.get("model_architecture"), config["model"], model),
        "parameters": parameters if parameters > 0 else None,
        "date": pd.Timestamp(report["date"], unit="s", tz="UTC"),
    }


def _describe_task(report: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the columns that all metrics of a task share."""
    config = report["configs"][name]
    metadata = config["metadata"]
    length = config["dataset_kwargs"]["length"]
    return {
        # squad_by_length_100_150 and _400_plus are named after both bounds of their bucket.
        "task": keep_printable(re.sub(rf"_{length}(_[a-z0-9]+)?$", "", name)),
        "task_name": keep_printable(name),
        "length": length,
        "text": _describe_text(metadata),
        "n": report["n-samples"][name]["effective"],
        "task_version": str(report["versions"][name]),
        "prompts_sha256": metadata["prompts_sha256"],
        "samples_sha256": report.get("task_hashes", {}).get(name),
    }


def _describe_text(metadata: Mapping[str, Any]) -> str | None:
    """Name a text so that one name is one text, and one way of measuring its length, on every machine."""
    source = metadata.get("text_source")
    if source is None:
        return None
    repository, at, revision = source.partition(" @ ")
    name = f"{repository}{at}{revision[:12]}" if at else f"{Path(source).name} (SHA-256 {metadata['text_sha256'][:8]})"
    tokenizer = metadata.get("length_tokenizer", _TOKENIZER)
    if tokenizer != _TOKENIZER:
        name += f", measured with {Path(tokenizer).name} (SHA-256 {metadata['length_tokenizer_sha256'][:8]})"
    return keep_printable(name)


_TOKENIZER = "EleutherAI/gpt-neox-20b"
"""Measures the length of texts unless a run was told otherwise."""


def _number(value: object) -> float | None:
    """Return a number, None for "N/A", "over context", NaN and what is missing."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None  # type: ignore[arg-type]


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and no file can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
