"""Says how small a drop a comparison could have seen."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from copy_eval.reports.statistics.power import LIKELY, detectable_drop


def describe_sensitivity(rows: pd.DataFrame, alpha: float, allowed: float = 0.0) -> Iterator[str]:
    """Yield a line for each task: the smallest drop that is seen at one length, and at all lengths together.

    Args:
        rows: of a comparison, with ``comparison.COLUMNS``.
        alpha: level of significance of all its tests together, on the side of a drop.
        allowed: a drop of no more than this does not count.
    """
    tested = rows[rows["p"].notna()]
    level = alpha / max(len(tested), 1)
    for task, of_task in tested.groupby("task", sort=False):
        lengths, together = of_task[of_task["length"].notna()], of_task[of_task["length"].isna()]
        # The answers that change either way at all lengths tell best how many do at one.
        churn = _churn(lengths)
        accuracy = lengths["right_a"].sum() / lengths["n_a"].sum()
        if accuracy == 0:
            continue  # there is nothing to lose
        # Of lengths with unlike numbers of prompts, the fewest.
        at_one = detectable_drop(int(lengths[["n_a", "n_b"]].min().min()), accuracy, churn, level, allowed)
        seen = f"at one length {_points(at_one)}"
        if len(together):
            at_all = detectable_drop(int(together[["n_a", "n_b"]].min().min()), accuracy, churn, level, allowed)
            seen += f", at all lengths together {_points(at_all)}"
        yield f"{task}: the smallest drop that is seen with a probability of {LIKELY:.0%}: {seen}"


def _churn(lengths: Any) -> float:
    """Return the share of answers that change without changing the accuracy."""
    if lengths["paired"].all():
        return float(2 * lengths[["only_a", "only_b"]].sum().min() / lengths["n_a"].sum())
    # Nothing tells which answers changed: as if the two answered independently of each other.
    accuracy = lengths["right_a"].sum() / lengths["n_a"].sum()
    return float(2 * accuracy * (1 - accuracy))


def _points(drop: float | None) -> str:
    return "none" if drop is None else f"{100 * drop:.1f} points"
