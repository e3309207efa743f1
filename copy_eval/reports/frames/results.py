"""Reads lm-eval's result files, of whatever backend, into one tidy frame."""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError
from tqdm import tqdm

from copy_eval.errors import UserError, first_problem
from copy_eval.measurement import setup_of, share_weights, shown_facets
from copy_eval.reports.frames.merging import merge, name_some
from copy_eval.reports.frames.models import add_labels, tell_architecture
from copy_eval.reports.frames.result_files import (
    Metadata,
    ResultFile,
    Task,
    find_result_files,
    keep_printable,
    parse_result_file,
    read_task,
)
from copy_eval.reports.frames.series import add_series

_log = logging.getLogger(__name__)

_STEP_FOLDER = re.compile(r"(.+)[\\/](step[-_]?\d{1,15})[\\/]?")

COLUMNS = {
    "model": "string",  # what `pretrained=` said; of a folder run/step1000, the run
    "revision": "string",  # branch, tag or commit; "main" by default
    "setup": "string",  # how it was loaded and what stood around its prompts, as JSON: see `copy_eval.measurement`
    "label": "string",  # these three for people: unique, short, in one line; see models.add_labels
    "step": "Int64",  # of a revision or a folder like step3000
    "adapter": "string",  # lm-eval's `--model`
    "architecture": "string",  # "transformer", "state space" or "hybrid"; missing where unknown
    "parameters": "Int64",  # missing where unknown
    "task": "string",  # the experiment, without the length: phonebook_copy
    "description": "string",  # what the task asks, in a sentence; missing where it does not say
    "series": "string",  # what may stand in one table: the task in one version on one text; see series.add_series
    "title": "string",  # the series for people
    "task_name": "string",  # lm-eval's: phonebook_copy_40, squad_by_length_100_150
    "length": "Int64",  # of a bucket its lower bound
    "length_name": "string",  # what to call it: 40, and of a bucket 100-150 or 400+
    "unit": "string",  # what a length counts: entries in the phonebook; "length" where the task does not say
    "depth_field": "string",  # the field of a record that tells where in the prompt the answer stands
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "headline": "string",  # the metric that stands for the task: exact_match, or f1 for SQuAD
    "metric": "string",
    "value": "Float64",  # 0 to 1; missing where over context, where nothing could be averaged, and without a number
    "stderr": "Float64",  # lm-eval's standard error; missing where it gives none
    "over_context": "boolean",  # at least one prompt of the length does not fit the model's context
    "context_checked": "boolean",  # whether it is known that no prompt was cut; lm-eval's own backends cut
    "n": "Int64",  # prompts
    "task_version": "string",
    "data_seed": "string",  # which prompts were drawn; missing where the run does not say
    "prompts_sha256": "string",  # fingerprint of the prompts; "pooled:..." if runs with several were pooled
    "date": "datetime64[us, UTC]",  # when the run began; of pooled runs, the newest
    "file": "string",  # path of the result file; of pooled runs, one a line
    "samples_sha256": "string",  # lm-eval's hash of the samples; missing without any; of pooled runs, one a line
}
"""Columns of the frame: a row for each model, revision, setup, task, length, metric, text and task version."""


def read_results(paths: Iterable[Path], pool: bool = False) -> pd.DataFrame:
    """Read every result file at or below ``paths``, and merge the runs.

    Of several runs of one measurement (``copy_eval.measurement``) on the same prompts the one with most of them
    counts, of these the newest. Of runs on different prompts of the same task, length and text (another ``data_seed``)
    one counts too; with ``pool`` such runs become one, each distinct prompt counted once. A warning names what was
    left out.
    Different versions of a task, and different texts, stay rows of their own.

    What is unusable, a whole file or one of its tasks, is skipped, and a line says what is wrong with it. Files without
    results of our tasks are passed over, and a warning names them.

    Returns:
        A frame with ``COLUMNS``, sorted by architecture, size, model, training step, series, length and metric.

    Raises:
        UserError: if a path does not exist, or nothing usable is found.
    """
    rows: list[dict[str, Any]] = []
    foreign: list[str] = []
    unusable: list[str] = []
    for file in tqdm(find_result_files(paths), desc="reading results", unit="file", delay=2, disable=None):
        found, problems = _read_file(file)
        rows += found
        unusable += problems
        if not (found or problems):
            foreign.append(str(file))
    for problem in unusable:
        _log.warning("skipped %s", keep_printable(problem))
    if not rows:
        if unusable:
            raise UserError(f"no usable results found: {keep_printable(unusable[0])}; evaluate again")
        raise UserError(
            "no results of copy-eval's tasks found; name the folder that lm_eval was given as --output_path"
        )
    if foreign:
        _log.warning("no results of copy-eval's tasks, skipped: %s", name_some(foreign))
    frame = pd.DataFrame(rows).assign(label=None, series=None, title=None).astype(COLUMNS)[list(COLUMNS)]
    frame = _leave_out_namesakes(frame)
    merged = add_series(add_labels(_complete(merge(_share_weights(frame), pool))))
    order = ["architecture", "parameters", "model", "step", "revision", "label", "series", "length", "metric"]
    return merged.sort_values(order, ignore_index=True)


def _leave_out_namesakes(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave out tasks that give themselves the title and length of another: they would pass for the same measurement.

    A task that includes another's YAML file includes its title.
    """
    key = ["task", "length"]
    names = frame[[*key, "task_name"]].drop_duplicates().sort_values([*key, "task_name"])
    # Of two, the one that is named like its title has it for certain.
    is_named = [name.startswith(task) for name, task in zip(names["task_name"], names["task"], strict=True)]
    names = names.assign(named=is_named).sort_values("named", ascending=False, kind="stable")
    taken = names.drop_duplicates(key)
    for row in names.drop(taken.index).itertuples():
        _log.warning(
            "skipped %s: it calls itself %s of length %d, as another task does; give it a title of its own",
            row.task_name, row.task, row.length,
        )  # fmt: skip
    return frame.merge(taken[[*key, "task_name"]], on=[*key, "task_name"])


def _share_weights(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the runs of a model that do not say their weights those that its other runs name."""
    known = frame[["model", "revision", "setup"]].drop_duplicates()
    for _, of_model in known.groupby(["model", "revision"]):
        shared = share_weights(map(json.loads, of_model["setup"]))
        known.loc[of_model.index, "shared"] = [_as_json(setup) for setup in shared]
    completed = frame.merge(known, on=["model", "revision", "setup"])
    return completed.assign(setup=completed["shared"].astype("string"))[frame.columns]


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Give every row of a model what only some of its runs tell: not every backend logs architecture and parameters."""
    known = ["architecture", "parameters"]
    return frame.assign(**frame.groupby(["model", "revision"])[known].transform("first"))


def _read_file(file: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows of a file, and a line for each thing in it that is unusable."""
    try:
        report = parse_result_file(file)
    except UserError as error:
        return [], [str(error)]
    # Our tasks are known by the fingerprint that each of them logs, whatever their names.
    ours = [name for name in report.get("results", {}) if _has_fingerprint(report, name)]
    if not ours:
        return [], []
    try:
        run = _describe_run(ResultFile.model_validate(report), _weights_seen_by_tasks(report, ours))
        run["file"] = str(file)
    except ValidationError as error:
        return [], [f"{file}: {first_problem(error)}"]
    rows: list[dict[str, Any]] = []
    problems = []
    for name in ours:
        try:
            task = read_task(report, name)
            shown = shown_facets(task.config.num_fewshot, task.config.description, task.config.gen_prefix)
            setup = _as_json(json.loads(run["setup"]) | shown)
            rows += [run | {"setup": setup} | row for row in _task_rows(task)]
        except ValidationError as error:
            problems.append(f"{file}, {name}: {first_problem(error)}")
        except ValueError as error:
            problems.append(f"{file}, {name}: {error}")
    return rows, problems


def _has_fingerprint(report: Mapping[str, Any], name: str) -> bool:
    place: Any = report
    for key in ("configs", name, "metadata"):
        place = place.get(key) if isinstance(place, dict) else None
    return isinstance(place, dict) and "prompts_sha256" in place


def _weights_seen_by_tasks(report: Mapping[str, Any], ours: Iterable[str]) -> str | None:
    """Return the fingerprint of the weights as our tasks noted it: lm-eval's own backends do not say it."""
    noted = (report["configs"][name]["metadata"].get("weights_sha256") for name in ours)
    return next((weights for weights in noted if isinstance(weights, str)), None)


def _describe_run(report: ResultFile, weights: str | None) -> dict[str, Any]:
    """Return the columns that all tasks of a result file share."""
    config = report.config
    model_args = config.model_args or {}
    if isinstance(model_args, str):
        model_args = dict(pair.partition("=")[::2] for pair in model_args.split(","))
    model = report.model_name or config.model
    revision = str(config.model_revision or model_args.get("revision") or "main")
    if revision == "main" and (folder := _STEP_FOLDER.fullmatch(model)):
        # A folder has no revisions: those of a training run stand beside each other, as step1000, step2000 ...
        model, revision = folder.groups()
    step = re.fullmatch(r"step[-_]?(\d{1,15})", revision)
    logged = config.model_dump() | {"weights_sha256": config.weights_sha256 or weights}
    setup = setup_of(logged, model_args, report.chat_template_sha, report.system_instruction_sha)
    parameters = config.model_num_parameters or 0
    return {
        "model": model,
        "revision": revision.encode("utf-8", "backslashreplace").decode(),
        "setup": _as_json(setup),
        "step": int(step[1]) if step else None,
        "adapter": keep_printable(setup["adapter"]),
        "architecture": tell_architecture(config.model_architecture, config.model, model),
        "parameters": parameters if parameters > 0 else None,
        "date": pd.Timestamp(report.date, unit="s", tz="UTC"),
        # Our adapters refuse what does not fit, whether the task was asked to look or not.
        "context_checked": config.copy_eval is not None,
    }


def _as_json(setup: Mapping[str, str]) -> str:
    return json.dumps(setup, sort_keys=True)


def _task_rows(task: Task) -> Iterator[dict[str, Any]]:
    """Yield a row for each metric of a task.

    Raises:
        ValueError: if it lacks the metric that stands for the task.
    """
    metadata, arguments = task.config.metadata, task.config.dataset_kwargs
    about = metadata.description
    if about.headline_metric not in task.metrics:
        hint = " (--predict_only)" if "bypass" in task.metrics else ""
        raise ValueError(f"results has no {keep_printable(about.headline_metric)}{hint}")
    described = {
        "task": keep_printable(task.title),
        "description": None if about.description is None else keep_printable(about.description),
        "task_name": keep_printable(task.name),
        "length": arguments.length,
        "length_name": arguments.length_name,
        "unit": keep_printable(about.unit),
        "depth_field": about.depth,
        "text": _describe_text(metadata),
        "headline": keep_printable(about.headline_metric),
        "over_context": task.over_context,
        "n": task.samples.effective,
        "task_version": keep_printable(str(task.version)),
        "data_seed": None if metadata.data_seed is None else keep_printable(str(metadata.data_seed)),
        "prompts_sha256": metadata.prompts_sha256,
        "samples_sha256": task.task_hash,
    }
    if metadata.context_checked:
        described["context_checked"] = True
    for metric, (value, stderr) in task.metrics.items():
        yield described | {"metric": keep_printable(metric), "value": value, "stderr": stderr}


def _describe_text(metadata: Metadata) -> str | None:
    """Name a text so that one name is one text, and one way of measuring its length, on every machine."""
    source = metadata.text_source
    if source is None:
        return None
    repository, at, revision = source.partition(" @ ")
    name = f"{repository}{at}{revision[:12]}" if at else f"{Path(source).name} (SHA-256 {metadata.text_sha256[:8]})"
    tokenizer = metadata.length_tokenizer or _TOKENIZER
    if tokenizer != _TOKENIZER:
        name += f", measured with {Path(tokenizer).name} (SHA-256 {metadata.length_tokenizer_sha256[:8]})"
    return keep_printable(name)


_TOKENIZER = "EleutherAI/gpt-neox-20b"
"""Measures the length of texts unless a run was told otherwise."""
