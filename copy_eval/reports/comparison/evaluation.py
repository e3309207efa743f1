"""One model's right and wrong answers by task and length: what two models, or a model and a baseline, compare by."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from copy_eval.errors import UserError
from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples


@dataclass(frozen=True, eq=False)
class Answers:
    """Which prompts of a task were answered rightly.

    Args:
        prompts: the places of the prompts that were answered, in ascending order, each once.
        right: whether the answer to each of them was right.
        clusters: what each of them shares with others, a book or an article; None where they are independent or
            nothing tells.
    """

    prompts: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    clusters: npt.NDArray[np.str_] | None = None


@dataclass(frozen=True, eq=False)
class Score:
    """The answers to the prompts of one length."""

    task: str
    """The experiment, without the length."""
    task_name: str
    """lm-eval's name of the task, with the length."""
    length: int
    length_name: str
    """What to call the length: "40", of a bucket "100-150"."""
    unit: str
    """What the length counts."""
    task_version: str
    text: str | None
    """What text the prompts were made of; None where they are generated."""
    prompts_sha256: str
    n: int
    """Number of prompts."""
    right: int | None
    """Number of exact matches; None without a score, as where a prompt does not fit the model's context."""
    over_context: bool
    answers: Answers | None
    """None where no samples were logged."""
    headline: str = "exact_match"
    """The metric that stands for the task in reports; the tests here are about exact matches all the same."""
    headline_value: float | None = None
    """None without a score."""
    context_checked: bool = True
    """Whether it is known that every prompt fits the model's context."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What has to be the same for two scores to be compared."""
        return self.task_name, self.task_version, self.text or ""

    @property
    def accuracy(self) -> float | None:
        """Share of right answers; None without a score."""
        return None if self.right is None else self.right / self.n


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of one model at one revision in one setup."""

    model: str
    revision: str
    setup: Mapping[str, str]
    """How it was loaded and what stood around its prompts; see ``copy_eval.measurement``."""
    label: str
    """The model for people, in one line."""
    date: str
    """When the newest of its runs began, as ISO 8601."""
    scores: tuple[Score, ...]


def read_evaluation(paths: Iterable[Path]) -> Evaluation:
    """Read the results, and the samples that stand beside them, of one model at one revision in one setup.

    Raises:
        UserError: see ``read_results``; or if the paths hold more than one model, revision or setup.
    """
    results = read_results(paths)
    models = results[["model", "revision", "setup", "label"]].drop_duplicates()
    if len(models) > 1:
        files = results.groupby("label", sort=False)["file"].first()
        named = ", ".join(f"{label} ({file})" for label, file in files.head(5).items())
        raise UserError(
            f"these are {len(models)} models, revisions or ways of loading one, and one is needed; "
            f"name its folder or its files: {named}"
        )
    model, revision, setup, label = models.iloc[0]
    date = results["date"].max().isoformat(timespec="seconds")
    return Evaluation(model, revision, json.loads(setup), label, date, _scores(results))


def _scores(results: pd.DataFrame) -> tuple[Score, ...]:
    answers = _answers(read_samples(results))
    key = ["task_name", "task_version", "text"]
    headlines = results.loc[results["metric"] == results["headline"], [*key, "value"]]
    exact = results[results["metric"] == "exact_match"].merge(headlines, on=key, suffixes=("", "_headline"))
    scores = [_score(row, answers) for row in exact.itertuples()]
    return tuple(sorted(scores, key=lambda score: (score.task, score.task_version, score.text or "", score.length)))


def _score(row: Any, answers: Mapping[Any, Answers]) -> Score:
    text = None if pd.isna(row.text) else row.text
    n = 0 if pd.isna(row.n) else int(row.n)
    return Score(
        task=row.task,
        task_name=row.task_name,
        length=int(row.length),
        length_name=row.length_name,
        unit=row.unit,
        task_version=row.task_version,
        text=text,
        prompts_sha256=row.prompts_sha256,
        n=n,
        right=None if pd.isna(row.value) or n == 0 else round(row.value * n),
        over_context=bool(row.over_context),
        answers=answers.get((row.task_name, row.task_version, text or "")),
        headline=row.headline,
        headline_value=None if pd.isna(row.value_headline) else float(row.value_headline),
        context_checked=bool(row.context_checked),
    )


def _answers(samples: pd.DataFrame) -> dict[Any, Answers]:
    """Return the answers by ``Score.key``."""
    answers = {}
    for key, rows in samples.assign(text=samples["text"].fillna("")).groupby(["task_name", "task_version", "text"]):
        in_order = rows.sort_values("index")
        if in_order["exact_match"].notna().all():
            right = in_order["exact_match"].to_numpy(float) > 0.5
            clusters = in_order["cluster"].to_numpy(np.str_) if in_order["cluster"].notna().all() else None
            answers[key] = Answers(in_order["index"].to_numpy(np.int64), right, clusters)
    return answers
