"""Intervals for accuracies, and the two figures that sum up a curve of accuracy against length.

The accuracy of a task is its headline metric: the share of exact matches, or, for SQuAD, the mean F1. Both lie between
0 and 1.
"""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student
from statsmodels.stats.proportion import proportion_confint

_TITLES = {"exact_match": "exact match", "f1": "F1"}

_TOLERANCE = 1e-9
"""What rounding may take from a share; the shares of two different counts are further apart."""


def metric_title(metric: str) -> str:
    """Return what to call a metric on an axis and in a caption."""
    return _TITLES.get(metric, metric)


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
    shares, answers = accuracy[known].to_numpy(float), n[known].to_numpy(float)
    low, high = proportion_confint(shares * answers, answers, alpha=1 - confidence, method="wilson")
    # Rounding lifts the lower bound of 0 % to 1e-17, and lowers the upper one of 100 % or lifts it above 1.
    bounds = np.minimum(low, shares).clip(min=0), np.maximum(high, shares).clip(max=1)
    lows, highs = (pd.Series(bound, index=accuracy.index[known], dtype="Float64") for bound in bounds)
    return lows.reindex(accuracy.index), highs.reindex(accuracy.index)


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


def effective_length(lengths: pd.Series, accuracies: pd.Series, threshold: float) -> int | None:
    """Return the longest tested length up to which every length reaches ``threshold``; None if the shortest does not.

    A length over the context reaches nothing, so that the effective length ends before it.

    Args:
        lengths: in any order.
        accuracies: of these lengths; missing where a length is over the context.
        threshold: accuracy to reach, 0 to 1.
    """
    order = np.argsort(lengths.to_numpy())
    reached = (accuracies.iloc[order] >= threshold - _TOLERANCE).fillna(False).to_numpy(bool)
    count = len(reached) if reached.all() else int(np.argmin(reached))
    return int(lengths.iloc[order].iloc[count - 1]) if count else None


def area_under_curve(lengths: pd.Series, accuracies: pd.Series, linear: bool) -> float | None:
    """Return the mean accuracy along the length axis: the area under straight lines between the points, over its width.

    Args:
        lengths: in any order.
        accuracies: of these lengths; where one is missing the line goes on between its neighbours, and the area covers
            no more than the shortest to the longest length that has one.
        linear: whether the axis is linear, else it is that of log2.

    Returns:
        0 to 1, or None with fewer than two accuracies: there is no curve then.
    """
    points = pd.DataFrame({"length": lengths, "accuracy": accuracies}).dropna().astype(float).sort_values("length")
    if len(points) < 2:
        return None
    places = points["length"].to_numpy() if linear else np.log2(points["length"].to_numpy())
    return float(np.trapezoid(points["accuracy"].to_numpy(), places) / (places[-1] - places[0]))
