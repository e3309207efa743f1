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

from copy_eval.clusters import clustered_variance

_TITLES = {"exact_match": "exact match", "f1": "F1"}


def metric_title(metric: str) -> str:
    """Return what to call a metric on an axis and in a caption."""
    return _TITLES.get(metric, metric)


def accuracy_by_length(results: pd.DataFrame, samples: pd.DataFrame | None = None) -> pd.DataFrame:
    """Return the rows of the headline metrics, as ``accuracy``, with the bounds ``low`` and ``high`` of 95 % intervals.

    The intervals are Wilson's. Questions about one phonebook, or about paragraphs of one article, are not independent,
    so where samples name these clusters, the interval is that of the effective size of the sample (``effective_size``).

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
    clustered = samples.dropna(subset=["cluster", "score"])
    sizes: dict[Any, float] = {
        cell: effective_size(of_cell["score"].to_numpy(float), of_cell["cluster"].tolist())
        for cell, of_cell in clustered.groupby(_CELL)
    }
    cells = accuracy[_CELL].itertuples(index=False, name=None)
    return pd.Series([sizes.get(cell) for cell in cells], index=accuracy.index, dtype="Float64")


BINS = 5
"""Equal parts of the prompt, where depths are random; with 200 prompts at each length, some 40 fall into each."""

QUARTERS = 4

_MOST_DEPTHS = 20
"""The most depths that are a grid: with more, a cell would rest on too few prompts."""

_SHARED = [
    "label", "model", "setup", "step", "task", "series", "title", "length", "length_name", "unit", "over_context",
]  # fmt: skip


def accuracy_by_depth(samples: pd.DataFrame, parts: int | None = None) -> pd.DataFrame:
    """Return exact match by length and depth, for the samples that have a depth: the cells of a heat map.

    A series of clusters that asks at the same few depths at every length has a cell for each of them; others have one
    for each of some equal parts of the prompt.

    Args:
        samples: as ``read_samples`` returns them.
        parts: cut every series into so many equal parts.

    Returns:
        ``label``, ``model``, ``setup``, ``step``, ``task``, ``series``, ``title``, ``length``, ``length_name``,
        ``unit``, ``over_context``, ``depth_from`` and ``depth_to`` (0 is the beginning of the prompt, 1 its end: of a
        phonebook, the first and the last line; of a given depth, that depth twice), ``n``, ``accuracy`` with
        ``low`` and ``high`` (as ``accuracy_by_length``). An over-context length has its rows too, without accuracies.
        Empty where no sample has a depth.
    """
    asked = samples.dropna(subset="depth")
    bounds = [_bounds(of_series, parts) for _, of_series in asked.groupby("series")]
    asked = asked.join(pd.concat(bounds) if bounds else pd.DataFrame(columns=["depth_from", "depth_to"], dtype=float))
    # A prompt or two of an over-context length may fit; their accuracy would not be that of the length.
    asked["exact_match"] = asked["exact_match"].mask(asked["over_context"])
    cells = asked.groupby([*_SHARED, "depth_from", "depth_to"], sort=False, dropna=False)
    depths = cells["exact_match"].agg(n="size", accuracy="mean").reset_index()
    sizes = pd.Series([_size(of_cell) for _, of_cell in cells], depths.index, dtype="Float64")
    depths["low"], depths["high"] = wilson_interval(depths["accuracy"], sizes)
    return depths.sort_values("depth_from", kind="stable", ignore_index=True)


def _bounds(asked: pd.DataFrame, parts: int | None) -> pd.DataFrame:
    """Return the bounds of the cell that each sample of a series falls into."""
    depths = asked["depth"].astype(float)
    if parts is None and _is_grid(asked):
        return pd.DataFrame({"depth_from": depths, "depth_to": depths})
    count = parts or BINS
    edges = np.arange(count + 1) / count
    cell = np.minimum(depths * count // 1, count - 1).astype(int)
    return pd.DataFrame({"depth_from": edges[cell], "depth_to": edges[cell + 1]}, asked.index)


def _is_grid(asked: pd.DataFrame) -> bool:
    """Return whether every length of a series was asked at the same few depths, in clusters.

    At a single length, a few prompts with a random depth each look alike, but have no clusters.
    """
    if asked["cluster"].isna().any():
        return False
    by_length = {tuple(depths) for depths in asked.groupby("length")["depth"].agg(lambda each: sorted(set(each)))}
    return len(by_length) == 1 and len(by_length.pop()) <= _MOST_DEPTHS


def _size(of_cell: pd.DataFrame) -> float:
    """Return the size of a cell's sample, the effective one where its clusters are known."""
    if of_cell[["cluster", "exact_match"]].isna().any(axis=None):
        return len(of_cell)
    return effective_size(of_cell["exact_match"].to_numpy(float), of_cell["cluster"].tolist())


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


def effective_pairs(
    differences: npt.NDArray[np.float64], clusters: Sequence[Hashable], confidence: float = 0.95
) -> float:
    """Return the number of independent prompts on which the mean difference would be known as well.

    It is the number of prompts over the design effect: the variance of clusters, but no less than that of independent
    differences, over the latter; with the quantiles of Korn and Graubard as in ``effective_size``. Where all
    differences are the same, and so say nothing, each cluster counts as one prompt.

    Args:
        differences: of the two scores of each prompt, at least one.
        clusters: the cluster of each prompt.
        confidence: of the interval that will be made with it.
    """
    groups, n = len(set(clusters)), len(differences)
    if groups == 1:
        return 1.0
    independent = differences.var(ddof=1) / n
    if independent == 0:
        return float(groups)
    variance = max(clustered_variance(differences, clusters), independent)
    quantiles = student.ppf((1 + confidence) / 2, [n - 1, groups - 1])
    return float(n * independent / variance * (quantiles[0] / quantiles[1]) ** 2)
