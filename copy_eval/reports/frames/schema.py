"""What a result file of lm-eval must hold for a report, checked where it enters.

A file is checked as a whole first, then each of its tasks by itself: what is wrong with one task costs that task alone.
Entries that no report reads may be anything.
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from copy_eval.over_context import OVER_CONTEXT

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
    """What our adapters say of themselves."""

    adapter: Name


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
    """The entry ``dataset_kwargs`` of a task."""

    length: Length


class Metadata(_Entry):
    """The entry ``metadata`` of a task, in which each of our tasks says what it asked."""

    prompts_sha256: Annotated[Text, Field(pattern="^[0-9a-f]{64}$")]
    headline_metric: Name = "exact_match"
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


def read_task(report: Mapping[str, Any], name: str) -> Task:
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


def first_problem(error: ValidationError) -> str:
    """Return the first problem that was found, in one line: where it is, what was found there and what is wanted."""
    problem = error.errors(include_url=False, include_context=False)[0]
    # Where several kinds of values would do, pydantic names the kind after the place.
    path = ".".join(str(part) for part in problem["loc"] if not re.search(r"[\[(]|^(str|int|float|bool)$", str(part)))
    if problem["type"] == "missing":
        return f"{path} is missing"
    message = problem["msg"].removeprefix("Input ")
    line = f"{path} {message[0].lower()}{message[1:]}, not {problem['input']!r:.60}"
    return " ".join(str(_encodable(line)).split())
