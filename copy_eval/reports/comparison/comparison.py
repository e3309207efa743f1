"""Compares two evaluations length by length: paired on the same prompts, unpaired and saying so on others."""

from typing import Any

import numpy as np
import pandas as pd

from copy_eval.reports.comparison.evaluation import Answers, Evaluation, Score
from copy_eval.reports.statistics.differences import (
    Alternative,
    adjust_holm,
    fisher_p,
    mcnemar_p,
    paired_interval,
    unpaired_interval,
)

COLUMNS = {
    "task": "string",  # the experiment, without the length
    "task_version": "string",
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "task_name": "string",  # lm-eval's
    "length": "Int64",
    "n_a": "Int64",  # prompts; missing where A was not evaluated
    "n_b": "Int64",
    "accuracy_a": "Float64",  # share of exact matches; missing without a score
    "accuracy_b": "Float64",
    "over_context_a": "boolean",  # a prompt of the length does not fit the model's context
    "over_context_b": "boolean",
    "difference": "Float64",  # accuracy B - accuracy A; this and what follows is missing where either has no score
    "low": "Float64",  # the 95 % interval of the difference
    "high": "Float64",
    "paired": "boolean",  # whether both answered the same prompts, and the samples tell how
    "only_a": "Int64",  # prompts that A alone answered rightly; missing where unpaired
    "only_b": "Int64",
    "p": "Float64",  # exact McNemar test where paired, else Fisher's
    "p_adjusted": "Float64",  # by Holm's method
    "note": "string",  # why a length is not compared, or not paired
}
"""Columns of a comparison: a row for each length that either side has, of each task, version and text."""

_SERIES = ["task", "task_version", "text"]


def compare(a: Evaluation, b: Evaluation) -> pd.DataFrame:
    """Compare two models in both directions, p-values adjusted within a task for its lengths.

    Returns:
        A frame with ``COLUMNS``, by task, version, text and length.
    """
    rows = compare_scores(a, b, "two-sided", ("A", "B"))
    # Missing texts make a group too, and lengths without a p-value count for nothing.
    rows["p_adjusted"] = rows.groupby(_SERIES, dropna=False)["p"].transform(adjust_where_tested)
    return rows


def adjust_where_tested(p_values: pd.Series) -> pd.Series:
    """Adjust the p-values by Holm's method for the number of those that are not missing."""
    tested = p_values.dropna()
    return pd.Series(adjust_holm(tested.tolist()), tested.index, dtype="Float64").reindex(p_values.index)


def compare_scores(a: Evaluation, b: Evaluation, alternative: Alternative, names: tuple[str, str]) -> pd.DataFrame:
    """Compare two evaluations without adjusting the p-values.

    Args:
        a: the one that the other is compared with.
        b: the other.
        alternative: what the tests look for.
        names: what the notes call the two.

    Returns:
        A frame with ``COLUMNS``; ``p_adjusted`` is missing.
    """
    scores_a, scores_b = ({score.key: score for score in evaluation.scores} for evaluation in (a, b))
    rows = []
    for key in scores_a.keys() & scores_b.keys():
        score_a, score_b = scores_a[key], scores_b[key]
        described = _describe(score_a, "a") | _describe(score_b, "b")
        rows.append(described | _compare(score_a, score_b, alternative, names))
    for side, here, other, other_name in (("a", scores_a, b, names[1]), ("b", scores_b, a, names[0])):
        alone = [score for key, score in here.items() if not (key in scores_a and key in scores_b)]
        rows += [_describe(score, side) | {"note": _why_alone(score, other, other_name)} for score in alone]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    return frame.sort_values([*_SERIES, "length"], ignore_index=True)


def _describe(score: Score, side: str) -> dict[str, Any]:
    about = {name: getattr(score, name) for name in (*_SERIES, "task_name", "length")}
    numbers = {name: getattr(score, name) for name in ("n", "accuracy", "over_context")}
    return about | {f"{name}_{side}": value for name, value in numbers.items()}


def _why_alone(score: Score, other: Evaluation, name: str) -> str:
    """Say what the other side has instead: another version of the task, another text, or nothing."""
    namesakes = [found for found in other.scores if found.task_name == score.task_name]
    versions = {found.task_version for found in namesakes} - {score.task_version}
    if versions:
        return f"{name} has version {', '.join(sorted(versions))} of the task, this is {score.task_version}"
    if namesakes:
        return f"{name} has it on {', '.join(str(found.text) for found in namesakes)}"
    return f"{name} was not evaluated on it"


def _compare(a: Score, b: Score, alternative: Alternative, names: tuple[str, str]) -> dict[str, Any]:
    if a.right is None or b.right is None:
        # That a length is over the context stands in columns of its own.
        missing = [name for name, score in zip(names, (a, b), strict=True) if score.right is None]
        return {"note": None if a.over_context or b.over_context else f"{' and '.join(missing)} without a score"}
    difference = {"difference": b.right / b.n - a.right / a.n}
    obstacle = _why_unpaired(a, b, names)
    if obstacle is None and a.answers is not None and b.answers is not None:
        return difference | _compare_answers(a.answers, b.answers, alternative)
    low, high = unpaired_interval(a.right, a.n, b.right, b.n)
    p = fisher_p(a.right, a.n, b.right, b.n, alternative)
    return difference | {"low": low, "high": high, "paired": False, "p": p, "note": obstacle}


def _compare_answers(a: Answers, b: Answers, alternative: Alternative) -> dict[str, Any]:
    kinds = (a & b, a & ~b, ~a & b, ~(a | b))
    both, only_a, only_b, neither = (int(np.count_nonzero(kind)) for kind in kinds)
    low, high = paired_interval(both, only_a, only_b, neither)
    p = mcnemar_p(only_a, only_b, alternative)
    return {"low": low, "high": high, "paired": True, "only_a": only_a, "only_b": only_b, "p": p}


def _why_unpaired(a: Score, b: Score, names: tuple[str, str]) -> str | None:
    if a.prompts_sha256 != b.prompts_sha256:
        return "other prompts (their fingerprints differ)"
    if a.n != b.n:
        return f"{a.n} prompts against {b.n}"
    without = [name for name, score in zip(names, (a, b), strict=True) if score.answers is None]
    return f"no samples of {' and '.join(without)} (--log_samples)" if without else None
