"""Judges an evaluation against a baseline: has any length dropped, for certain and by more than is allowed?"""

from typing import Any

import pandas as pd

from copy_eval.errors import UserError
from copy_eval.reports.comparison.comparison import adjust_where_tested, compare_scores
from copy_eval.reports.comparison.evaluation import Evaluation
from copy_eval.reports.statistics.differences import fisher_p

DROP = "drop"
"""The accuracy fell by more than is allowed, and significantly."""
PASS = "pass"
NEW = "new"
"""There is nothing in the baseline to compare with."""
SKIPPED = "over context"
"""Over the model's context, then and now."""
UNUSABLE = "unusable"
"""The baseline has it, but nothing can be said now: not evaluated, another version, over the context, too few."""

_NAMES = ("the baseline", "the new run")

ROUNDING = 1e-9  # 0.98 - 1.0 is a drop of exactly 0.02, not of more


def judge(baseline: Evaluation, now: Evaluation, max_drop: float, alpha: float) -> pd.DataFrame:
    """Compare an evaluation with a baseline and give each length, and all lengths of each task together, a verdict.

    A length has dropped if its accuracy is lower by more than ``max_drop`` and the drop is significant at ``alpha``: by
    a one-sided exact test, McNemar's on the same prompts and Fisher's on others. So has a task whose lengths fell
    together, by the exact test of their sum. All these tests are adjusted together by Holm's method: if nothing has
    changed, a gate fails by chance at most once in 1 / ``alpha`` times, however many lengths and tasks it has.

    A length without a right answer in the baseline cannot drop, and is not tested. Unusable, because it would always
    pass, is one with so few prompts that not even all of them turning from right to wrong would be significant among
    all the tests; and one with so few right answers in the baseline that not even losing them all would be significant
    by itself, although that would be more than ``max_drop``.

    Args:
        baseline: A of the comparison.
        now: B of the comparison.
        max_drop: accuracy that may be lost, 0 to 1.
        alpha: level of significance, between 0 and 1.

    Returns:
        A frame with ``comparison.COLUMNS`` and ``verdict``.

    Raises:
        UserError: if ``max_drop`` or ``alpha`` are out of their bounds.
    """
    if not 0 <= max_drop < 1:
        raise UserError(f"--max-drop {max_drop}: give a share between 0 and 1, such as 0.02")
    if not 0 < alpha < 1:
        raise UserError(f"--alpha {alpha}: give a probability between 0 and 1, such as 0.01")
    rows = compare_scores(baseline, now, "drop", _NAMES)
    # By all that the baseline answered: of those prompts that the new run has too, it may have had none right.
    before = {score.key: score.accuracy for score in baseline.scores}
    keys = zip(rows["task_name"].fillna(""), rows["task_version"], rows["text"].fillna(""), strict=True)
    own = pd.Series([before.get(key) for key in keys], rows.index, dtype="Float64").fillna(rows["accuracy_a"])
    rows["p"] = rows["p"].where(own > 0)
    rows["p_adjusted"] = adjust_where_tested(rows["p"])
    level = alpha / max(rows["p"].count(), 1)
    verdicts = [
        _judge(row, accuracy, max_drop, alpha, level) for row, accuracy in zip(rows.itertuples(), own, strict=True)
    ]
    rows["verdict"] = pd.array([verdict for verdict, _ in verdicts], dtype="string")
    notes = pd.Series([note for _, note in verdicts], rows.index, dtype="string")
    rows["note"] = notes.fillna(rows["note"])
    return rows


def _judge(row: Any, before: float, max_drop: float, alpha: float, level: float) -> tuple[str, str | None]:
    """Return the verdict on a length whose accuracy was ``before``, and a note where the comparison leaves none.

    ``level`` is the significance that the least probable of all tests must have.
    """
    if pd.isna(row.n_a):
        return NEW, None
    if pd.isna(row.n_b):
        return UNUSABLE, None
    if row.over_context_a:
        return (SKIPPED, None) if row.over_context_b else (NEW, "over the context in the baseline")
    if pd.isna(row.accuracy_b):
        return UNUSABLE, "over the context now, not in the baseline"
    if row.difference < -max_drop - ROUNDING and row.p_adjusted < alpha:
        return DROP, None
    if pd.notna(row.p):
        if _least_p(row, row.n_a) >= level:
            prompts = f"{row.n_a} prompts" + ("" if pd.isna(row.clusters) else f" in {row.clusters} clusters")
            return UNUSABLE, f"{prompts} are too few for any drop to be significant"
        few = f"{row.right_a} of {row.n_a} prompts were right in the baseline, too few for a drop to be significant"
        if _least_p(row, row.right_a) >= alpha:
            return (PASS, few) if before <= max_drop + ROUNDING else (UNUSABLE, few)
    return PASS, None


def _least_p(row: Any, right: int) -> float:
    """Return the p-value of the least probable drop: all that was right is wrong now, and nothing wrong is right."""
    independent = right if pd.isna(row.clusters) else min(right, row.clusters)
    return 0.5**independent if row.paired else fisher_p(right, row.n_a, 0, row.n_b, "drop")


def exit_code(judged: pd.DataFrame) -> int:
    """Return 1 if a length has dropped, else 2 if one is unusable, else 0."""
    verdicts = set(judged["verdict"])
    return 1 if DROP in verdicts else 2 if UNUSABLE in verdicts else 0
