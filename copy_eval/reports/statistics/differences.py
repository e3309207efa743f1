"""Statistics of the difference between two accuracies, on the same prompts (paired) or on different ones.

The order is always A, B, and the difference B - A, so that a drop from A to B is negative.
"""

from collections.abc import Sequence
from math import sqrt
from typing import Literal

import numpy as np
from scipy.stats import binomtest, fisher_exact
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

Alternative = Literal["two-sided", "drop"]
"""What a test looks for: any difference, or B worse than A."""

_ALPHA = 0.05  # of the 95 % intervals


def paired_interval(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    """Return the 95 % interval of accuracy B - accuracy A, for two models that answered the same prompts.

    Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998), 2635-2650: Wilson's intervals of both accuracies, combined by the
    sum of squares less what the correlation of the answers accounts for. It stays honest at 0 and 1 and within -1 to 1.

    Args:
        both: number of prompts that A and B answered rightly.
        only_a: that A alone did.
        only_b: that B alone did.
        neither: that none did.
    """
    n = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    accuracy_a, accuracy_b = right_a / n, right_b / n
    low_a, high_a = proportion_confint(right_a, n, _ALPHA, method="wilson")
    low_b, high_b = proportion_confint(right_b, n, _ALPHA, method="wilson")
    correlation = _correlation(both, only_a, only_b, neither)
    below = _combine(accuracy_b - low_b, high_a - accuracy_a, correlation)
    above = _combine(high_b - accuracy_b, accuracy_a - low_a, correlation)
    difference = (only_b - only_a) / n
    return difference - below, difference + above


def _combine(first: float, second: float, correlation: float) -> float:
    # Rounding can make the sum less than 0 by a hair.
    return sqrt(max(first**2 + second**2 - 2 * correlation * first * second, 0.0))


def _correlation(both: int, only_a: int, only_b: int, neither: int) -> float:
    """Return the phi coefficient of two models' answers; a positive one with Newcombe's continuity correction."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    excess = both * neither - only_a * only_b
    return (max(excess - n / 2, 0.0) if excess > 0 else excess) / sqrt(margins)


def mcnemar_p(only_a: int, only_b: int, alternative: Alternative) -> float:
    """Return the p-value of McNemar's exact test: are prompts that one model alone answers as often A's as B's?"""
    disagreements = only_a + only_b
    if disagreements == 0:
        return 1.0
    sides = {"two-sided": "two-sided", "drop": "greater"}
    return float(binomtest(only_a, disagreements, alternative=sides[alternative]).pvalue)


def unpaired_interval(right_a: int, n_a: int, right_b: int, n_b: int) -> tuple[float, float]:
    """Return the 95 % interval of accuracy B - accuracy A on different prompts: Newcombe's score interval."""
    low, high = confint_proportions_2indep(right_b, n_b, right_a, n_a, compare="diff", method="newcomb", alpha=_ALPHA)
    return float(low), float(high)


def fisher_p(right_a: int, n_a: int, right_b: int, n_b: int, alternative: Alternative) -> float:
    """Return the p-value of Fisher's exact test of two accuracies on different prompts.

    Fisher's test never raises more false alarms than it should. Boschloo's finds a little more, but takes a search
    over the unknown accuracy, a third of a second for 200 prompts; logged samples, which make a test paired, find more.
    """
    sides = {"two-sided": "two-sided", "drop": "less"}
    table = [[right_b, n_b - right_b], [right_a, n_a - right_a]]
    return float(fisher_exact(table, alternative=sides[alternative]).pvalue)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's method: it bounds the chance of even one false alarm.

    The smallest of m is multiplied by m, the next by m - 1 and so on, and none becomes smaller than one before it.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted.tolist()
