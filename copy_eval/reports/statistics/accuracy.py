"""Intervals for accuracies, and the two figures that sum up a curve of accuracy against length."""

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint


def wilson_interval(accuracy: pd.Series, n: pd.Series, confidence: float = 0.95) -> tuple[pd.Series, pd.Series]:
    """Return Wilson's score intervals of proportions; unlike mean +/- standard errors they stay honest at 0 and 1.

    Args:
        accuracy: shares of right answers, 0 to 1; where one is missing, so is its interval.
        n: numbers of answers.
        confidence: probability that an interval covers the true accuracy.
    """
    known = accuracy.notna() & (n > 0)
    answers = n[known].to_numpy(float)
    right = (accuracy[known].to_numpy(float) * answers).round()
    low, high = proportion_confint(right, answers, alpha=1 - confidence, method="wilson")
    # Rounding lifts the lower bound of 0 % to 1e-17, and lowers the upper one of 100 % or lifts it above 1.
    bounds = np.minimum(low, right / answers).clip(min=0), np.maximum(high, right / answers).clip(max=1)
    lows, highs = (pd.Series(bound, index=accuracy.index[known], dtype="Float64") for bound in bounds)
    return lows.reindex(accuracy.index), highs.reindex(accuracy.index)


def accuracy_by_length(results: pd.DataFrame) -> pd.DataFrame:
    """Return the exact-match rows of a frame of results, as ``accuracy``, with the bounds ``low`` and ``high``."""
    rows = results[results["metric"] == "exact_match"].drop(columns="metric").rename(columns={"value": "accuracy"})
    accuracy = rows.reset_index(drop=True)
    accuracy["low"], accuracy["high"] = wilson_interval(accuracy["accuracy"], accuracy["n"])
    return accuracy


def effective_length(lengths: pd.Series, accuracies: pd.Series, threshold: float) -> int | None:
    """Return the longest tested length up to which every length reaches ``threshold``; None if the shortest does not.

    A length over the context reaches nothing, so that the effective length ends before it.

    Args:
        lengths: in any order.
        accuracies: of these lengths; missing where a length is over the context.
        threshold: accuracy to reach, 0 to 1.
    """
    order = np.argsort(lengths.to_numpy())
    reached = (accuracies.iloc[order] >= threshold).fillna(False).to_numpy(bool)
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
