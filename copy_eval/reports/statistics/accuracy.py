"""Accuracies with their intervals: by length, and by the place of the answer in the prompt.

The accuracy of a task is its headline metric: the share of exact matches, or, for SQuAD, the mean F1. Both lie between
0 and 1.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import norm
from scipy.stats import t as student

_TITLES = {"exact_match": "exact match", "f1": "F1"}


def metric_title(metric: str) -> str:
    """Return what to call a metric on an axis and in a caption."""
    return _TITLES.get(metric, metric)


def accuracy_by_length(results: pd.DataFrame, samples: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the rows of the headline metrics, as ``accuracy``, with the bounds ``low`` and ``high`` of 95 % intervals.

    The intervals are Wilson's. Paragraphs of one article are not independent, so where samples say which article each
    of SQuAD's paragraphs is of, the interval is that of the effective size of the sample (``effective_size``).

    Args:
        results: as ``read_results`` returns it.
        samples: as ``read_samples`` returns it, where there are some.
    """
    rows = results[results["metric"] == results["headline"]].drop(columns="headline")
    accuracy = rows.rename(columns={"value": "accuracy"}).reset_index(drop=True)
    sizes = accuracy["n"].astype("Float64")
    if samples is not None:
        sizes = sizes.mask(accuracy["accuracy"].notna(), _effective_sizes(accuracy, samples).fillna(sizes))
    accuracy["low"], accuracy["high"] = wilson_interval(accuracy["accuracy"], sizes)
    return accuracy


_CELL = ["label", "series", "task_name"]


def _effective_sizes(accuracy: pd.DataFrame, samples: pd.DataFrame) -> pd.Series:
    """Return the effective size of the sample of each row, missing where nothing says what the clusters are."""
    clustered = samples.dropna(subset=["article", "score"])
    sizes: dict[Any, float] = {
        cell: effective_size(of_cell["score"].to_numpy(float), of_cell["article"].tolist())
        for cell, of_cell in clustered.groupby(_CELL)
    }
    cells = accuracy[_CELL].itertuples(index=False, name=None)
    return pd.Series([sizes.get(cell) for cell in cells], index=accuracy.index, dtype="Float64")


BINS = 5
"""Equal parts of the prompt; with 200 prompts a length, some 40 fall into each."""

_SHARED = [
    "label", "model", "setup", "step", "task", "series", "title", "length", "length_name", "unit", "over_context",
]  # fmt: skip


def accuracy_by_depth(samples: pd.DataFrame) -> pd.DataFrame:
    """Return exact match by length and part of the prompt, for the samples that have a depth.

    Args:
        samples: as ``read_samples`` returns them.

    Returns:
        ``label``, ``model``, ``setup``, ``step``, ``task``, ``series``, ``title``, ``length``, ``length_name``,
        ``unit``, ``over_context``, ``depth_from`` and ``depth_to`` (0 is the beginning of the prompt, 1 its end: of a
        phonebook, the first and the last line), ``n``, ``accuracy`` with ``low`` and ``high`` (Wilson, 95 %). An
        over-context length has its rows too, without accuracies. Empty where no sample has a depth.
    """
    asked = samples.dropna(subset="depth")
    part = np.minimum(asked["depth"].astype(float) * BINS // 1, BINS - 1)
    asked = asked.assign(
        depth_from=part / BINS,
        depth_to=(part + 1) / BINS,
        # A prompt or two of an over-context length may fit; their accuracy would not be that of the length.
        exact_match=asked["exact_match"].mask(asked["over_context"]),
    )
    cells = asked.groupby([*_SHARED, "depth_from", "depth_to"], sort=False, dropna=False)["exact_match"]
    depths = cells.agg(n="size", accuracy="mean").reset_index()
    depths["low"], depths["high"] = wilson_interval(depths["accuracy"], depths["n"])
    return depths.sort_values("depth_from", kind="stable", ignore_index=True)


def wilson_interval(accuracy: pd.Series, n: pd.Series, confidence: float = 0.95) -> tuple[pd.Series, pd.Series]:
    """Return Wilson's score intervals of proportions; unlike mean +/- standard errors they stay honest at 0 and 1.

    They hold for the mean of any score between 0 and 1 too, and are then wider than need be: no such score varies more
    than one that is 0 or 1.

    Args:
        accuracy: shares of right answers, 0 to 1; where one is missing, so is its interval.
        n: numbers of answers, or effective sizes of samples.
        confidence: probability that an interval covers the true accuracy.
    """
    known = accuracy.notna() & (n > 0)
    bounds = wilson_bounds(accuracy[known].to_numpy(float), n[known].to_numpy(float), confidence)
    lows, highs = (pd.Series(bound, index=accuracy.index[known], dtype="Float64") for bound in bounds)
    return lows.reindex(accuracy.index), highs.reindex(accuracy.index)


_Numbers = npt.NDArray[np.float64]


def wilson_bounds(shares: _Numbers, n: _Numbers, confidence: float = 0.95) -> tuple[_Numbers, _Numbers]:
    """Return the lower and upper bounds of Wilson's intervals; see ``wilson_interval``.

    The formula is that of Wilson 1927 (Journal of the American Statistical Association 22, 209-212). It stands here
    because scipy's has no sample sizes that are not whole.

    Args:
        shares: of right answers, 0 to 1.
        n: above 0, whole or not.
        confidence: probability that an interval covers the true share.
    """
    z = norm.ppf((1 + confidence) / 2)
    center = (shares + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(shares * (1 - shares) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    # Rounding lifts the lower bound of 0 % to 1e-17, and lowers the upper one of 100 % or lifts it above 1.
    return np.minimum(center - half, shares).clip(min=0), np.maximum(center + half, shares).clip(max=1)


def effective_size(scores: npt.NDArray[np.float64], clusters: Sequence[Hashable], confidence: float = 0.95) -> float:
    """Return the number of independent right-or-wrong answers whose share would be known as well as this mean.

    Korn and Graubard 1998 (Survey Methodology 24, 193-201): m (1 - m) over the variance of the mean m, times the
    square of Student's quantile for n - 1 over that for G - 1 degrees of freedom. The variance is that of clusters, but
    no less than that of independent scores; where it is 0, and so says nothing, each cluster counts as one answer.

    Args:
        scores: 0 to 1, at least one.
        clusters: the cluster of each score.
        confidence: of the interval that will be made with it.
    """
    groups, n, mean = len(set(clusters)), len(scores), scores.mean()
    if groups == 1:
        return 1.0
    variance = max(clustered_variance(scores, clusters), scores.var(ddof=1) / n)
    if variance <= 0 or not 0 < mean < 1:
        return float(groups)
    quantiles = student.ppf((1 + confidence) / 2, [n - 1, groups - 1])
    return float(mean * (1 - mean) / variance * (quantiles[0] / quantiles[1]) ** 2)


def clustered_variance(scores: npt.NDArray[np.float64], clusters: Sequence[Hashable]) -> float:
    """Return the variance of a mean whose scores depend on each other within clusters.

    It is that of a ratio mean by linearisation, with the factor G / (G - 1) for G clusters: the same as the
    cluster-robust variance of a regression on a constant.

    Args:
        scores: at least one.
        clusters: the cluster of each score, at least two different ones.
    """
    residuals = pd.Series(scores - scores.mean()).groupby(np.asarray(clusters)).sum().to_numpy()
    return float(len(residuals) / (len(residuals) - 1) * (residuals**2).sum() / len(scores) ** 2)
