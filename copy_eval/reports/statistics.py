"""Intervals for accuracies."""

import pandas as pd
from scipy.stats import binomtest


def wilson_interval(accuracy: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval for a proportion; unlike mean +/- standard errors it stays honest at 0 and 1.

    Args:
        accuracy: share of right answers, 0 to 1.
        n: number of answers.
        confidence: probability that the interval covers the true accuracy.
    """
    interval = binomtest(round(accuracy * n), n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


def accuracy_by_length(results: pd.DataFrame) -> pd.DataFrame:
    """Return the exact-match rows of a frame of results, with the columns ``low`` and ``high`` of their intervals."""
    accuracy = results[results["metric"] == "exact_match"].drop(columns="metric").rename(columns={"value": "accuracy"})
    bounds = [
        (None, None) if pd.isna(share) else wilson_interval(share, n)
        for share, n in zip(accuracy["accuracy"], accuracy["n"], strict=True)
    ]
    accuracy[["low", "high"]] = pd.DataFrame(bounds, index=accuracy.index, columns=["low", "high"], dtype="Float64")
    return accuracy.reset_index(drop=True)
