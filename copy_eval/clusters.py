"""The variance of a mean over answers that depend on each other within clusters: a book, an article."""

from collections.abc import Hashable, Sequence

import numpy as np
import numpy.typing as npt


def clustered_variance(scores: npt.NDArray[np.float64], clusters: Sequence[Hashable]) -> float:
    """Return the variance of a mean whose scores depend on each other within clusters.

    It is that of a ratio mean by linearisation, with the factor G / (G - 1) for G clusters: the same as the
    cluster-robust variance of a regression on a constant.

    Args:
        scores: at least one.
        clusters: the cluster of each score, at least two different ones.
    """
    places: dict[Hashable, int] = {}
    members = [places.setdefault(cluster, len(places)) for cluster in clusters]
    residuals = np.bincount(members, weights=scores - scores.mean())
    return float(len(residuals) / (len(residuals) - 1) * (residuals**2).sum() / len(scores) ** 2)
