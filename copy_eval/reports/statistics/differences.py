"""Statistics of the difference between two accuracies, on the same prompts (paired) or on different ones.

One length by itself, and all lengths of an experiment together: where each falls by a little, only all together tell.
And how small a drop can be seen with the prompts that there are.

The order is always A, B, and the difference B - A, so that a drop from A to B is negative.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binom, fisher_exact, hypergeom

from copy_eval.reports.statistics.accuracy import wilson_bounds

Alternative = Literal["two-sided", "drop"]
"""What a test looks for: any difference, or B worse than A."""


def paired_interval(both: float, only_a: float, only_b: float, neither: float) -> tuple[float, float]:
    """Return the 95 % interval of accuracy B - accuracy A, for two models that answered the same prompts.

    Method 10 of R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data", Statistics in Medicine 17 (1998), 2635-2650: Wilson's intervals of both accuracies, combined by the
    sum of squares less what the correlation of the answers accounts for. It stays honest at 0 and 1 and within -1 to 1.

    Args:
        both: number of prompts that A and B answered rightly.
        only_a: that A alone did.
        only_b: that B alone did.
        neither: that none did. Prompts that are not independent count less than one each (``effective_pairs``).
    """
    n = both + only_a + only_b + neither
    return _newcombe_interval(both + only_a, n, both + only_b, n, _correlation(both, only_a, only_b, neither))


def _newcombe_interval(
    right_a: float, n_a: float, right_b: float, n_b: float, correlation: float
) -> tuple[float, float]:
    """Return Wilson's intervals of two accuracies, combined to that of accuracy B - accuracy A."""
    accuracies = np.array([right_a / n_a, right_b / n_b])
    lows, highs = wilson_bounds(accuracies, np.array([n_a, n_b], float))
    (down_a, down_b), (up_a, up_b) = (accuracies - lows).tolist(), (highs - accuracies).tolist()
    difference = right_b / n_b - right_a / n_a
    return difference - _combine(down_b, up_a, correlation), difference + _combine(up_b, down_a, correlation)


def _combine(first: float, second: float, correlation: float) -> float:
    # Rounding can make the sum less than 0 by a hair.
    return sqrt(max(first**2 + second**2 - 2 * correlation * first * second, 0.0))


def _correlation(both: float, only_a: float, only_b: float, neither: float) -> float:
    """Return the phi coefficient of two models' answers; a positive one with Newcombe's continuity correction."""
    n = both + only_a + only_b + neither
    margins = (both + only_a) * (only_b + neither) * (both + only_b) * (only_a + neither)
    if margins == 0:
        return 0.0
    excess = both * neither - only_a * only_b
    return (max(excess - n / 2, 0.0) if excess > 0 else excess) / sqrt(margins)


def paired_p(nets: npt.ArrayLike, alternative: Alternative) -> float:
    """Return the p-value of the exact test of two models on the same prompts.

    Args:
        nets: see ``paired_stratum``.
        alternative: what the test looks for.
    """
    return pooled_p([paired_stratum(nets)], alternative)


def unpaired_interval(right_a: float, n_a: float, right_b: float, n_b: float) -> tuple[float, float]:
    """Return the 95 % interval of accuracy B - accuracy A on different prompts.

    Method 10 of R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in
    Medicine 17 (1998), 873-890: that of ``paired_interval`` for answers without correlation.
    """
    return _newcombe_interval(right_a, n_a, right_b, n_b, correlation=0.0)


def fisher_p(right_a: int, n_a: int, right_b: int, n_b: int, alternative: Alternative) -> float:
    """Return the p-value of Fisher's exact test of two accuracies on different prompts.

    Fisher's test never raises more false alarms than it should. Boschloo's finds a little more, but takes a search
    over the unknown accuracy, a third of a second for 200 prompts; logged samples, which make a test paired, find more.
    """
    sides = {"two-sided": "two-sided", "drop": "less"}
    table = [[right_b, n_b - right_b], [right_a, n_a - right_a]]
    return float(fisher_exact(table, alternative=sides[alternative]).pvalue)


@dataclass(frozen=True)
class Stratum:
    """One of several lengths that are tested together.

    Args:
        right_b: the statistic: right answers of B, or those of them that A had wrong.
        null: probability of each value of it from ``least`` on, if neither model is better.
        least: the smallest possible value.
        symmetric: whether the null distribution is, so that both sides of a two-sided test are alike.
    """

    right_b: int
    null: npt.NDArray[np.float64]
    least: int = 0
    symmetric: bool = False


def paired_stratum(nets: npt.ArrayLike) -> Stratum:
    """Return the stratum of a length with the same prompts.

    If neither model is better, which of the two has the net right answers of a cluster is a fair coin: Fisher's
    randomisation test of paired data, with clusters in the place of pairs. The statistic is the sum of the nets that
    are B's. Where each prompt stands for itself it is McNemar's exact test, the number of prompts that B alone answers.

    Args:
        nets: for each cluster of prompts, how many more of them B answers rightly than A, a whole number.
    """
    values = np.asarray(nets, np.int64)
    null = np.ones(1)
    for net, count in zip(*np.unique(np.abs(values[values != 0]), return_counts=True), strict=True):
        coins = np.zeros(net * count + 1)
        coins[::net] = binom.pmf(np.arange(count + 1), count, 0.5)
        null = np.convolve(null, coins)
    return _without_tails(Stratum(int(values[values > 0].sum()), null, symmetric=True))


def unpaired_stratum(right_a: int, n_a: int, right_b: int, n_b: int) -> Stratum:
    """Return the stratum of a length with different prompts: the right answers fall to A and B as if drawn blindly."""
    right = right_a + right_b
    least, most = max(0, right - n_a), min(right, n_b)
    return _without_tails(Stratum(right_b, hypergeom.pmf(np.arange(least, most + 1), n_a + n_b, right, n_b), least))


def _without_tails(stratum: Stratum) -> Stratum:
    """Leave out values beyond the observed one that are next to impossible: many prompts would take long to add up."""
    likely = np.flatnonzero(stratum.null > 1e-40)
    observed = stratum.right_b - stratum.least
    first, last = min(likely[0], observed), max(likely[-1], observed)
    return replace(stratum, null=stratum.null[first : last + 1], least=stratum.least + int(first))


def pooled_p(strata: Sequence[Stratum], alternative: Alternative) -> float:
    """Return the p-value of the exact test of all strata together: is the sum of B's right answers as expected?

    With paired strata alone it is the test of ``paired_stratum`` for all of their nets; with unpaired ones the exact
    conditional test of a common odds ratio (Mehta, Patel and Gray 1985, Journal of the American Statistical
    Association 80, 969-973).
    """
    null = np.ones(1)
    for stratum in strata:
        null = np.convolve(null, stratum.null)
    found = sum(stratum.right_b - stratum.least for stratum in strata)
    if alternative == "drop":
        return min(float(null[: found + 1].sum()), 1.0)
    if all(stratum.symmetric for stratum in strata):
        return min(2 * float(min(null[: found + 1].sum(), null[found:].sum())), 1.0)
    # As scipy's exact tests: all outcomes that are no more probable, but for rounding.
    return min(float(null[null <= null[found] * (1 + 1e-7)].sum()), 1.0)


def pooled_interval(differences: Sequence[tuple[float, float, float]], weights: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % interval of the weighted mean of independent differences.

    Zou and Donner 2008 (Statistics in Medicine 27, 1693-1702): the distances of each difference to its own bounds,
    combined by the sum of squares.

    Args:
        differences: each with the bounds of its 95 % interval.
        weights: of the differences; they need not sum to 1.
    """
    values, lows, highs = np.array(differences).T
    shares = np.array(weights) / sum(weights)
    mean = float(shares @ values)
    below, above = (float(np.sqrt(((shares * (values - bound)) ** 2).sum())) for bound in (lows, highs))
    return max(mean - below, -1.0), min(mean + above, 1.0)


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's method: it bounds the chance of even one false alarm.

    The smallest of m is multiplied by m, the next by m - 1 and so on, and none becomes smaller than one before it.
    """
    p = np.asarray(p_values, float)
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted.tolist()


LIKELY = 0.8
"""The probability with which a drop must be seen to be called detectable."""


def mcnemar_power(n: int, drop: float, churn: float, alpha: float, allowed: float = 0.0) -> float:
    """Return the probability that a drop is significant by McNemar's exact one-sided test, and more than is allowed.

    Args:
        n: prompts that both models answer.
        drop: the accuracy that is lost.
        churn: share of the prompts whose answers change from right to wrong or back without changing the accuracy. Two
            checkpoints of one training run have little; models that answer independently of each other at an accuracy a
            have 2 a (1 - a).
        alpha: level of significance.
        allowed: the drop that is found must be greater than this.
    """
    only_before, only_after = drop + churn / 2, churn / 2
    differing = min(only_before + only_after, 1.0)
    if differing == 0:
        return 0.0
    # However many prompts there are, nearly all of the probability lies within nine standard deviations.
    spread = 9 * np.sqrt(n * differing * (1 - differing)) + 9
    counts = np.arange(max(0, int(n * differing - spread)), min(n, int(n * differing + spread)) + 1)
    # The fewest prompts that the first model alone must answer for the test to reject.
    critical = np.maximum(binom.isf(alpha, counts, 0.5), np.floor((counts + allowed * n) / 2 + 1e-9)) + 1
    rejects = binom.sf(critical - 1, counts, only_before / (only_before + only_after))
    return float(np.sum(binom.pmf(counts, n, differing) * rejects))


def detectable_drop(n: int, accuracy: float, churn: float, alpha: float, allowed: float = 0.0) -> float | None:
    """Return the smallest drop from ``accuracy`` that is seen with the probability ``LIKELY``; None if none is.

    Args:
        n: prompts that both models answer.
        accuracy: of the first model, so the most that can be lost.
        churn: see ``mcnemar_power``.
        alpha: level of significance of the one test, already adjusted for the number of tests.
        allowed: see ``mcnemar_power``.
    """
    unseen, seen = 0.0, max(accuracy - churn / 2, 0.0)
    if mcnemar_power(n, seen, churn, alpha, allowed) < LIKELY:
        return None
    while seen - unseen > 0.0005:
        middle = (unseen + seen) / 2
        if mcnemar_power(n, middle, churn, alpha, allowed) < LIKELY:
            unseen = middle
        else:
            seen = middle
    return seen
