"""How small a drop a comparison can see with the prompts that it has."""

import numpy as np
from scipy.stats import binom

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
