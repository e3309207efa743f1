"""Compares two evaluations length by length, and all lengths of a task together.

Answers to the same prompts are compared pair by pair; where that cannot be, the comparison is unpaired and says why.
Where prompts share a book or an article, these are what is independent: the exact test is about them, and intervals are
those of the effective number of prompts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from copy_eval.measurement import SHOWN
from copy_eval.reports.comparison.evaluation import Answers, Evaluation, Score
from copy_eval.reports.statistics.accuracy import effective_pairs, effective_size
from copy_eval.reports.statistics.differences import (
    Alternative,
    Stratum,
    adjust_holm,
    fisher_p,
    paired_interval,
    paired_stratum,
    pooled_interval,
    pooled_p,
    unpaired_interval,
    unpaired_stratum,
)

COLUMNS = {
    "task": "string",  # the experiment, without the length
    "task_version": "string",
    "text": "string",  # what text the prompts were made of; missing where they are generated
    "task_name": "string",  # lm-eval's; missing in the row of all lengths together
    "length": "Int64",  # missing likewise
    "length_name": "string",  # what to call it: 40, and of a bucket 100-150 or 400+; missing likewise
    "unit": "string",  # what a length counts
    "n_a": "Int64",  # prompts; where paired, those that both answered; missing where A was not evaluated
    "n_b": "Int64",
    "right_a": "Int64",  # exact matches among these; missing without a score
    "right_b": "Int64",
    "accuracy_a": "Float64",  # share of exact matches; missing without a score
    "accuracy_b": "Float64",
    "headline": "string",  # the metric that stands for the task in reports: exact_match, or f1 for SQuAD
    "headline_value_a": "Float64",  # over all prompts of A
    "headline_value_b": "Float64",
    "over_context_a": "boolean",  # a prompt of the length does not fit the model's context
    "over_context_b": "boolean",
    "difference": "Float64",  # accuracy B - accuracy A; this and what follows is missing where either has no score
    "low": "Float64",  # the 95 % interval of the difference
    "high": "Float64",
    "paired": "boolean",  # whether both answered the same prompts, and the samples tell how
    "only_a": "Int64",  # prompts that A alone answered rightly; missing where unpaired
    "only_b": "Int64",
    "clusters": "Int64",  # books or articles that the prompts of a length are about; missing where independent
    "n_effective": "Float64",  # independent prompts that would tell as much
    "p": "Float64",  # exact McNemar test where paired, else Fisher's; of all lengths, the exact test of their sum
    "p_adjusted": "Float64",  # by Holm's method
    "note": "string",  # why a length is not compared, or not paired, or on fewer prompts
}
"""Columns of a comparison: a row for each length that either side has, of each task, version and text.

Where two or more lengths of a task can be compared, a row without a length follows them: all of them together.
"""

_SERIES = ["task", "task_version", "text"]


def compare(a: Evaluation, b: Evaluation) -> pd.DataFrame:
    """Compare two models in both directions, p-values adjusted within a task for its lengths and all of them together.

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
    shown = _why_shown_otherwise(a, b, names)
    rows: list[dict[str, Any]] = []
    strata: dict[tuple[str, str, str | None], list[_Length]] = {}
    for key in scores_a.keys() & scores_b.keys():
        score_a, score_b = scores_a[key], scores_b[key]
        length = _compare(score_a, score_b, alternative, names, shown)
        rows.append(_about(score_a) | length.row)
        if length.stratum is not None:
            strata.setdefault((score_a.task, score_a.task_version, score_a.text), []).append(
                replace(length, row=rows[-1])
            )
    for series, lengths in strata.items():
        if len(lengths) > 1:
            rows.append(dict(zip(_SERIES, series, strict=True)) | _pool(lengths, alternative))
    for side, here, other, other_name in (("a", scores_a, b, names[1]), ("b", scores_b, a, names[0])):
        alone = [score for key, score in here.items() if not (key in scores_a and key in scores_b)]
        rows += [
            _about(score) | _numbers(score, side) | {"note": _why_alone(score, other, other_name)} for score in alone
        ]
    frame = pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS)
    return frame.sort_values([*_SERIES, "length"], ignore_index=True)


@dataclass(frozen=True)
class _Length:
    """The comparison of one length: its part of the row, and what it adds to the test of all lengths."""

    row: dict[str, Any]
    stratum: Stratum | None = None
    nets: pd.Series | None = None
    """Where paired, how many more right answers B has in each cluster; the index names the clusters."""


_NUMBERS = ("n", "right", "accuracy", "headline_value", "over_context")


def _about(score: Score) -> dict[str, Any]:
    return {name: getattr(score, name) for name in (*_SERIES, "task_name", "length", "length_name", "unit", "headline")}


def _numbers(score: Score, side: str) -> dict[str, Any]:
    return {f"{name}_{side}": getattr(score, name) for name in _NUMBERS}


def _why_shown_otherwise(a: Evaluation, b: Evaluation, names: tuple[str, str]) -> str | None:
    """Say what stood around the prompts of one side alone: then the two models saw different text."""
    for facet in SHOWN:
        template_a, template_b = a.setup.get(facet), b.setup.get(facet)
        if template_a != template_b:
            words = facet.replace("_", " ")
            if template_a and template_b:
                return f"other text around the prompts ({names[0]} and {names[1]} have another {words})"
            return f"other text around the prompts ({names[0] if template_a else names[1]} alone has a {words})"
    return None


def _why_alone(score: Score, other: Evaluation, name: str) -> str:
    """Say what the other side has instead: another version of the task, another text, or nothing."""
    namesakes = [found for found in other.scores if found.task_name == score.task_name]
    versions = {found.task_version for found in namesakes} - {score.task_version}
    if versions:
        return f"{name} has version {', '.join(sorted(versions))} of the task, this is {score.task_version}"
    if namesakes:
        return f"{name} has it on {', '.join(str(found.text) for found in namesakes)}"
    return f"{name} was not evaluated on it"


def _compare(a: Score, b: Score, alternative: Alternative, names: tuple[str, str], shown: str | None) -> _Length:
    if a.right is None or b.right is None:
        # That a length is over the context stands in columns of its own.
        missing = [name for name, score in zip(names, (a, b), strict=True) if score.right is None]
        note = None if a.over_context or b.over_context else f"{' and '.join(missing)} without a score"
        return _Length(_numbers(a, "a") | _numbers(b, "b") | {"note": note})
    obstacle = shown or _why_unpaired(a, b, names)
    if obstacle is None and a.answers is not None and b.answers is not None:
        return _compare_answers(a, b, a.answers, b.answers, alternative)
    size_a, size_b = _sizes(a, b)
    low, high = unpaired_interval(a.right / a.n * size_a, size_a, b.right / b.n * size_b, size_b)
    counts = round(a.right / a.n * size_a), round(size_a), round(b.right / b.n * size_b), round(size_b)
    tested = {
        "difference": b.right / b.n - a.right / a.n,
        "low": low,
        "high": high,
        "paired": False,
        "n_effective": min(size_a, size_b),
        "p": fisher_p(*counts, alternative),
    }
    return _Length(_numbers(a, "a") | _numbers(b, "b") | tested | {"note": obstacle}, unpaired_stratum(*counts))


def _sizes(a: Score, b: Score) -> tuple[float, float]:
    """Return the effective sizes of two samples; what is known of the clusters of one alone goes for the other."""
    shares = [
        effective_size(score.answers.right.astype(float), score.answers.clusters.tolist()) / score.n
        if score.answers is not None and score.answers.clusters is not None
        else None
        for score in (a, b)
    ]
    known = next((share for share in shares if share is not None), 1.0)
    size_a, size_b = (
        max(score.n * (known if share is None else share), 1.0) for score, share in zip((a, b), shares, strict=True)
    )
    return size_a, size_b


def _compare_answers(a: Score, b: Score, answers_a: Answers, answers_b: Answers, alternative: Alternative) -> _Length:
    """Compare the answers to the prompts that both have."""
    shared, in_a, in_b = np.intersect1d(answers_a.prompts, answers_b.prompts, assume_unique=True, return_indices=True)
    right_a, right_b = answers_a.right[in_a], answers_b.right[in_b]
    kinds = (right_a & right_b, right_a & ~right_b, ~right_a & right_b, ~(right_a | right_b))
    both, only_a, only_b, neither = (int(np.count_nonzero(kind)) for kind in kinds)
    n = len(shared)
    differences = pd.Series(right_b.astype(int) - right_a.astype(int))
    # The prompts are the same, so what one side knows of their clusters goes for both; a baseline knows nothing.
    sides = ((answers_a.clusters, in_a), (answers_b.clusters, in_b))
    clusters = next((known[places] for known, places in sides if known is not None), None)
    size = n if clusters is None else effective_pairs(differences.to_numpy(float), clusters.tolist())
    nets = differences if clusters is None else differences.groupby(clusters).sum()
    stratum = paired_stratum(nets)
    low, high = paired_interval(*(kind * size / n for kind in (both, only_a, only_b, neither)))
    tested = {
        "difference": (only_b - only_a) / n,
        "low": low,
        "high": high,
        "paired": True,
        "only_a": only_a,
        "only_b": only_b,
        "clusters": None if clusters is None else len(nets),
        "n_effective": size,
        "p": pooled_p([stratum], alternative),
        "note": None if a.n == b.n == n else f"{a.n} prompts against {b.n}: the {n} that both have are compared",
    }
    scores = (replace(a, n=n, right=both + only_a), "a"), (replace(b, n=n, right=both + only_b), "b")
    numbers = {name: value for score, side in scores for name, value in _numbers(score, side).items()}
    return _Length(numbers | tested, stratum, None if clusters is None else nets)


def _why_unpaired(a: Score, b: Score, names: tuple[str, str]) -> str | None:
    if a.prompts_sha256 != b.prompts_sha256:
        return "other prompts (their fingerprints differ)"
    without = [name for name, score in zip(names, (a, b), strict=True) if score.answers is None]
    if without:
        return f"no usable samples of {' and '.join(without)} (--log_samples)"
    if a.answers is not None and b.answers is not None and not np.isin(a.answers.prompts, b.answers.prompts).any():
        return "no prompt in common"
    return None


def _pool(lengths: Sequence[_Length], alternative: Alternative) -> dict[str, Any]:
    """Compare all lengths of a task together; each counts by its prompts."""
    rows = [length.row for length in lengths]
    sums = {name: sum(row[name] for row in rows) for name in ("n_a", "n_b", "right_a", "right_b")}
    paired = all(row["paired"] for row in rows)
    weights = [row["n_a"] * row["n_b"] / (row["n_a"] + row["n_b"]) for row in rows]
    strata = [length.stratum for length in lengths if length.stratum is not None and length.nets is None]
    known = [length.nets for length in lengths if length.nets is not None]
    # An article has paragraphs of several lengths, and counts once.
    clusters = pd.concat(known).groupby(level=0).sum() if known else None
    if clusters is not None:
        strata.append(paired_stratum(clusters))
    low, high = pooled_interval([(row["difference"], row["low"], row["high"]) for row in rows], weights)
    return sums | {
        "unit": rows[0]["unit"],
        "headline": rows[0]["headline"],
        "accuracy_a": float(np.average([row["accuracy_a"] for row in rows], weights=weights)),
        "accuracy_b": float(np.average([row["accuracy_b"] for row in rows], weights=weights)),
        "over_context_a": False,
        "over_context_b": False,
        "difference": float(np.average([row["difference"] for row in rows], weights=weights)),
        "low": low,
        "high": high,
        "paired": paired,
        "only_a": sum(row["only_a"] for row in rows) if paired else None,
        "only_b": sum(row["only_b"] for row in rows) if paired else None,
        "clusters": None if clusters is None else len(clusters),
        "n_effective": sum(row["n_effective"] for row in rows),
        "p": pooled_p(strata, alternative),
    }
