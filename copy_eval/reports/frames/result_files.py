"""The result files that lm-eval writes below its ``--output_path``: where they are, and the rows that each gives.

A file is checked as a whole first, then each of its tasks by itself: what is wrong with one task costs that task alone.
Entries that no report reads may be anything.
"""

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from copy_eval.errors import UserError, first_problem
from copy_eval.measurement import setup_of, shown_facets
from copy_eval.over_context import OVER_CONTEXT
from copy_eval.task_description import TaskDescription
from copy_eval.training_record import TrainingRecord

_DATE = re.compile(r"_(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)$")
"""How the name of a result file ends: ``results_2026-11-21T06-25-40.89``; ``x_...`` after ``--output_path x.json``."""

_STEP_FOLDER = re.compile(r"(.+)[\\/](step[-_]?\d{1,15})[\\/]?")
"""A checkpoint of a training run in a folder of its own."""


def find_result_files(paths: Iterable[Path]) -> list[Path]:
    """Return the result files at or below ``paths``, each once, in the order of their names.

    Files of samples (``.jsonl``) may be among the paths, as they are with ``folder/*``; they are passed over.

    Raises:
        UserError: if a path does not exist, or one that is found is no UTF-8.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = sorted(path.rglob("*.json"))
            found |= dict.fromkeys(file for file in files if file.stem.startswith("results") or _DATE.search(file.stem))
        elif not path.is_file():
            raise UserError(f"no such file or folder: {path}")
        elif path.suffix != ".jsonl":
            found[path] = None
    for file in found:
        _check_encoding(file)
    return list({file.resolve(): file for file in found}.values())


def _check_encoding(file: Path) -> None:
    """Refuse a path that no table, page or terminal could show."""
    try:
        str(file).encode("utf-8")
    except UnicodeEncodeError as error:
        shown = os.fsencode(file).decode("utf-8", "backslashreplace")
        raise UserError(f"the path is not in UTF-8: {shown}; rename the folder or file") from error


def samples_file(results_file: Path, task_name: str) -> Path:
    """Return where lm-eval puts the samples of a task with ``--log_samples``, beside the result file."""
    date = _DATE.search(results_file.stem)
    return results_file.with_name(f"samples_{task_name.replace('/', '_')}_{date[1] if date else ''}.jsonl")


def _parse_result_file(file: Path) -> dict[str, Any]:
    """Return the content of a result file; empty if it is some other JSON file.

    Raises:
        UserError: if the file cannot be read or is no JSON.
    """
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{file}: not a whole JSON file ({error})") from error
    return content if isinstance(content, dict) and isinstance(content.get("results"), dict) else {}


def counted(count: int, noun: str) -> str:
    """Return a number of things: "1 length", "2 lengths"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def keep_printable(text: str) -> str:
    """Write line breaks, control characters and what turns the reading direction as Python's escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


MOST = 10**6
"""The largest number of prompts of a length that is taken at its word."""


def _encodable(text: Any) -> Any:
    """Replace lone surrogates, which JSON can hold and no file can."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(text, str) else text


def _known(value: object) -> object:
    """Return None for what lm-eval writes where it has no number: "N/A", "", NaN."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return None if is_nan or value in ("N/A", "") else value


Text = Annotated[str, Field(strict=True, max_length=10_000), BeforeValidator(_encodable)]

Name = Annotated[Text, Field(min_length=1)]

Count = Annotated[int, Field(strict=True, ge=1, le=MOST)]

Length = Annotated[int, Field(strict=True, ge=0, le=10**9)]

Share = Annotated[float | None, Field(strict=True, ge=0, le=1), BeforeValidator(_known)]

Number = Annotated[float | None, Field(strict=True, ge=-1e12, le=1e12), BeforeValidator(_known)]

Parameters = Annotated[int, Field(strict=True, ge=-1, le=10**15)]


class _Entry(BaseModel):
    """An entry with the keys below and any others."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), hide_input_in_errors=False)


class OurAdapter(_Entry):
    """What our adapters say of themselves and of the model."""

    adapter: Name
    memory_bytes: dict[Name, Annotated[float, Field(strict=True, ge=0, le=1e18)]] = Field(default_factory=dict)
    """What the model keeps of a prompt, by the name of the task."""
    trained: TrainingRecord | None = None


class Config(_Entry):
    """The entry ``config``: the model and how it was loaded."""

    model: Name
    model_args: dict[str, Any] | Text | None = None
    model_revision: Text | None = None
    model_architecture: Text | None = None
    model_num_parameters: Parameters | None = None
    model_dtype: Text | None = None
    model_sha: Text | None = None
    peft_sha: Text | None = None
    delta_sha: Text | None = None
    weights_sha256: Text | None = None
    gen_kwargs: dict[str, Any] | Text | None = None
    copy_eval: OurAdapter | None = None


class ResultFile(_Entry):
    """What all tasks of a file share."""

    config: Config
    date: Annotated[float, Field(strict=True, ge=0, lt=4e9)]
    """Seconds since 1970."""
    model_name: Text | None = None
    chat_template_sha: Text | None = None
    system_instruction_sha: Text | None = None


class Samples(_Entry):
    """The entry ``n-samples`` of a task."""

    effective: Count


class DatasetArguments(_Entry):
    """The entry ``dataset_kwargs`` of a task; one that has ``below`` is a bucket of lengths."""

    length: Length
    below: Length | None = None
    """More than the longest of a bucket; None for no bound."""

    @property
    def length_name(self) -> str:
        """What to call the length: "40", and of a bucket "100-150" or "400+"."""
        if "below" not in self.model_fields_set:
            return str(self.length)
        return f"{self.length}+" if self.below is None else f"{self.length}-{self.below}"


class LoggedDescription(TaskDescription):
    """What a task says of itself; a newer version may say more than is known here."""

    model_config = ConfigDict(extra="ignore")


class Metadata(_Entry):
    """The entry ``metadata`` of a task, in which each of our tasks says what it asked."""

    prompts_sha256: Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]
    description: LoggedDescription = Field(alias="copy_eval", default=LoggedDescription())
    text_source: Name | None = None
    text_sha256: Text = ""
    length_tokenizer: Name | None = None
    length_tokenizer_sha256: Text = ""
    context_checked: Annotated[bool, Field(strict=True)] | None = None
    weights_sha256: Text | None = None
    data_seed: Text | Annotated[int, Field(strict=True)] | None = None


class TaskConfig(_Entry):
    """The entry of a task in ``configs``."""

    dataset_kwargs: DatasetArguments
    metadata: Metadata
    num_fewshot: Annotated[int, Field(strict=True, ge=0)] | None = None
    description: Text | None = None
    gen_prefix: Text | None = None


class Task(_Entry):
    """What a file says of one task, gathered from its entries; ``metrics`` by their names without the filter."""

    name: Name
    config: TaskConfig = Field(alias="configs")
    samples: Samples = Field(alias="n-samples")
    version: Text | Annotated[float, Field(strict=True)] | Annotated[int, Field(strict=True)] = Field(alias="versions")
    task_hash: Text | None = Field(alias="task_hashes", default=None)
    metrics: dict[Name, tuple[Share, Number]] = Field(alias="results")
    over_context: bool = False

    @property
    def title(self) -> str:
        """What to call the task without its length; one without a description may be named after its length."""
        length = self.config.dataset_kwargs.length
        return self.config.metadata.description.title or self.name.removesuffix(f"_{length}")


def _read_task(report: Mapping[str, Any], name: str) -> Task:
    """Return the entries of a task, checked.

    Raises:
        ValidationError: if one of them is missing or is not what lm-eval writes.
    """
    gathered: dict[str, Any] = {"name": name}
    for key in ("configs", "n-samples", "versions", "task_hashes", "results"):
        entries = report.get(key)
        if isinstance(entries, dict) and name in entries:
            gathered[key] = entries[name]
    metrics = gathered.get("results")
    if isinstance(metrics, dict):
        gathered |= {"results": dict(_metrics(metrics)), "over_context": OVER_CONTEXT in metrics.values()}
    return Task.model_validate(gathered)


def _metrics(entries: Mapping[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield each metric with its value and its standard error; over the context, neither is a number."""
    for key, value in entries.items():
        metric, _, filter_name = key.partition(",")
        if filter_name and not metric.endswith("_stderr"):
            error = entries.get(f"{metric}_stderr,{filter_name}")
            # lm-eval writes 999 where --predict_only leaves nothing to score.
            is_number = value != OVER_CONTEXT and metric != "bypass"
            yield metric, ((value, error) if is_number else (None, None))


TRANSFORMER = "transformer"

STATE_SPACE = "state space"

HYBRID = "hybrid"

RECURRENT = "recurrent"

_MODEL_TYPES = {
    TRANSFORMER: {
        "bloom", "cohere", "cohere2", "copy_eval_position_bias", "deepseek_v2", "deepseek_v3", "falcon", "gemma",
        "gemma2", "gemma3", "gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox",
        "gpt_oss", "gptj", "granite", "granitemoe", "llama", "llama4", "llama4_text", "ministral", "mistral",
        "mixtral", "mpt", "nemotron", "olmo",
        "olmo2", "olmo3", "olmoe", "opt", "phi", "phi3", "phimoe", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
        "smollm3", "stablelm", "starcoder2", "xglm",
    },
    # The whole memory of the context is a state of fixed size.
    STATE_SPACE: {"falcon_mamba", "mamba", "mamba2", "rwkv", "xlstm"},
    # Some layers are attention, others recurrent or convolutional.
    HYBRID: {
        "bailing_hybrid", "bamba", "falcon_h1", "granitemoehybrid", "jamba", "kimi_linear", "lfm2", "lfm2_moe",
        "minimax", "nemotron_h", "olmo_hybrid", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text",
        "qwen3_next", "recurrent_gemma", "state_spaces_hybrid", "zamba", "zamba2",
    },
    # A state of fixed size too, but one that each step passes through gates that depend on it.
    RECURRENT: {"copy_eval_lstm"},
}  # fmt: skip
"""transformers' ``model_type``; ``state_spaces_hybrid`` is our adapter's, of models that only mamba-ssm runs."""

_FAMILIES = {r"EleutherAI/pythia-": TRANSFORMER, r"state-spaces/mamba2?-\d": STATE_SPACE}
"""The two families of the paper, by the names that only they have on the hub."""


def _tell_architecture(model_type: str | None, adapter: str | None, model: str) -> str | None:
    """Return ``TRANSFORMER``, ``STATE_SPACE``, ``HYBRID``, ``RECURRENT``, or None where that is not known.

    Our adapters log the ``model_type``; of lm-eval's own, the adapter's name and ``pretrained=`` have to tell.
    """
    if model_type:
        return next((architecture for architecture, types in _MODEL_TYPES.items() if model_type in types), None)
    if adapter == "mamba_ssm":
        return STATE_SPACE
    return next((architecture for family, architecture in _FAMILIES.items() if re.match(family, model)), None)


def read_rows(file: Path) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each metric of each of our tasks in a file, and a line for each thing in it that is unusable."""
    try:
        report = _parse_result_file(file)
    except UserError as error:
        return [], [str(error)]
    # Our tasks are known by the fingerprint that each of them logs, whatever their names.
    ours = [name for name in report.get("results", {}) if _has_fingerprint(report, name)]
    if not ours:
        return [], []
    try:
        content = ResultFile.model_validate(report)
        run, ours_says = _describe_run(content, _weights_seen_by_tasks(report, ours)), content.config.copy_eval
        run["file"] = str(file)
    except ValidationError as error:
        return [], [f"{file}: {first_problem(error)}"]
    rows: list[dict[str, Any]] = []
    problems = []
    for name in ours:
        try:
            task = _read_task(report, name)
            shown = shown_facets(task.config.num_fewshot, task.config.description, task.config.gen_prefix)
            setup = as_json(json.loads(run["setup"]) | shown)
            rows += [run | {"setup": setup} | row | _about_model(ours_says, task) for row in _task_rows(task)]
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
        "setup": as_json(setup),
        "step": int(step[1]) if step else None,
        "adapter": keep_printable(setup["adapter"]),
        "architecture": _tell_architecture(config.model_architecture, config.model, model),
        "parameters": parameters if parameters > 0 else None,
        "date": pd.Timestamp(report.date, unit="s", tz="UTC"),
        # Our adapters refuse what does not fit, whether the task was asked to look or not.
        "context_checked": config.copy_eval is not None,
    }


def as_json(setup: Mapping[str, str]) -> str:
    """Return a setup as the text that stands in the frame."""
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
        "material_bits": None if about.material_bits is None else about.material_bits.at(arguments.length),
        "asked_bits": None if about.asked_bits is None else about.asked_bits.at(arguments.length),
        "depth_field": about.depth,
        "cluster_field": about.cluster,
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


def _about_model(ours: OurAdapter | None, task: Task) -> dict[str, Any]:
    """Return what our adapters say of a model, as far as it concerns a task."""
    described: dict[str, Any] = {"memory_bytes": ours.memory_bytes.get(task.name) if ours else None}
    if ours is None or ours.trained is None:
        return described
    record = ours.trained.model_dump(mode="json")
    shortest, longest = record["lengths"] if record["task"] == task.title else (None, None)
    seed = record.pop("seed")
    return described | {
        "training": json.dumps(record, sort_keys=True), "seed": seed,
        "trained_from": shortest, "trained_to": longest,
    }  # fmt: skip


def _describe_text(metadata: Metadata) -> str | None:
    """Name a text so that one name is one text, and one way of measuring its length, on every machine."""
    source, tokenizer = metadata.text_source, metadata.length_tokenizer or _TOKENIZER
    if source is None:
        # Whoever sets `length_tokenizer` sets it for all tasks; those that measure with it log its hash.
        if tokenizer == _TOKENIZER or not metadata.length_tokenizer_sha256:
            return None
        name = "generated text"
    else:
        repository, at, revision = source.partition(" @ ")
        name = f"{repository}{at}{revision[:12]}" if at else f"{Path(source).name} (SHA-256 {metadata.text_sha256[:8]})"
    if tokenizer != _TOKENIZER:
        name += f", measured with {Path(tokenizer).name} (SHA-256 {metadata.length_tokenizer_sha256[:8]})"
    return keep_printable(name)


_TOKENIZER = "EleutherAI/gpt-neox-20b"
"""Measures the length of texts unless a run was told otherwise."""
