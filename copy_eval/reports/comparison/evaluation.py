"""One model's right and wrong answers by task and length: what two models, or a model and a baseline, compare by."""

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

Answers = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Score:
    """The answers to the prompts of one length."""

    task: str
    """The experiment, without the length."""
    task_name: str
    """lm-eval's name of the task, with the length."""
    length: int
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
    """Whether the answer to each prompt was right, in the order of the prompts; None where no samples were logged."""

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
    """The scores of one model at one revision."""

    model: str
    revision: str
    label: str
    """The model for people, in one line."""
    date: str
    """When the newest of its runs began, as ISO 8601."""
    scores: tuple[Score, ...]


def read_evaluation(paths: Iterable[Path]) -> Evaluation:
    """Read the results, and the samples that stand beside them, of one model at one revision.

    Raises:
        UserError: see ``read_results`` and ``read_samples``; or if the paths hold more than one model or revision.
    """
    results = read_results(paths)
    models = results[["model", "revision", "label"]].drop_duplicates()
    if len(models) > 1:
        files = results.groupby("label", sort=False)["file"].first()
        named = ", ".join(f"{label} ({Path(file).parent})" for label, file in files.head(5).items())
        raise UserError(
            f"these are {len(models)} models or revisions, and one is needed; name its folder or files: {named}"
        )
    model, revision, label = models.iloc[0]
    return Evaluation(model, revision, label, results["date"].max().isoformat(timespec="seconds"), _scores(results))


def _scores(results: pd.DataFrame) -> tuple[Score, ...]:
    answers = _answers(read_samples(results))
    scores = [_score(row, answers) for row in results[results["metric"] == "exact_match"].itertuples()]
    return tuple(sorted(scores, key=lambda score: (score.task, score.task_version, score.text or "", score.length)))


def _score(row: Any, answers: Mapping[Any, Answers]) -> Score:
    text = None if pd.isna(row.text) else row.text
    n = 0 if pd.isna(row.n) else int(row.n)
    return Score(
        task=row.task,
        task_name=row.task_name,
        length=int(row.length),
        task_version=row.task_version,
        text=text,
        prompts_sha256=row.prompts_sha256,
        n=n,
        right=None if pd.isna(row.value) or n == 0 else round(row.value * n),
        over_context=bool(row.over_context),
        answers=answers.get((row.task_name, row.task_version, text or "")),
    )


def _answers(samples: pd.DataFrame) -> dict[Any, Answers]:
    """Return the answers by ``Score.key``, where they are to the first prompts of a task, one to each."""
    answers = {}
    for key, rows in samples.assign(text=samples["text"].fillna("")).groupby(["task_name", "task_version", "text"]):
        in_order = rows.sort_values("index")
        # lm-eval's --samples can choose any prompts; then a place among the answers does not tell which.
        is_complete = in_order["index"].tolist() == list(range(len(rows)))
        if is_complete and in_order["exact_match"].notna().all():
            answers[key] = in_order["exact_match"].to_numpy(float) > 0.5
    return answers
