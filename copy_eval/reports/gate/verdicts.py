"""Judges an evaluation against a baseline: has any length dropped, for certain and by more than is allowed?"""

from typing import Any

import pandas as pd

from copy_eval.errors import UserError
from copy_eval.reports.comparison.comparison import adjust_where_tested, compare_scores
from copy_eval.reports.comparison.evaluation import Evaluation

DROP = "drop"
"""The accuracy fell by more than is allowed, and significantly."""
PASS = "pass"
NEW = "new"
"""There is nothing in the baseline to compare with."""
SKIPPED = "over context"
"""Over the model's context, then and now."""
UNUSABLE = "unusable"
"""The baseline has it, but there is nothing now to compare: not evaluated, another task version, over the context."""

TOO_FEW = "too few right answers in the baseline for any drop to be significant"

_NAMES = ("the baseline", "the new run")

ROUNDING = 1e-9  # 0.98 - 1.0 is a drop of exactly 0.02, not of more


def judge(baseline: Evaluation, now: Evaluation, max_drop: float, alpha: float) -> pd.DataFrame:
    """Compare an evaluation with a baseline and give each length its verdict.

    A length has dropped if its accuracy is lower by more than ``max_drop`` and the drop is significant at ``alpha``: by
    a one-sided exact test, McNemar's on the same prompts and Fisher's on others, adjusted by Holm's method for all
    lengths of all tasks that can drop. So if nothing has changed, a gate fails by chance at most once in 1 / ``alpha``
    times, however many lengths it has. A length without a right answer in the baseline cannot drop, and is not tested.

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
    rows["p"] = rows["p"].where(rows["accuracy_a"] > 0)
    rows["p_adjusted"] = adjust_where_tested(rows["p"])
    verdicts = [_judge(row, max_drop, alpha) for row in rows.itertuples()]
    rows["verdict"] = pd.array([verdict for verdict, _ in verdicts], dtype="string")
    rows["note"] = rows["note"].fillna(pd.Series([note for _, note in verdicts], rows.index, dtype="string"))
    # The least probable of all drops: every right answer is wrong now, and no wrong one right.
    least_p = 0.5 ** (rows["accuracy_a"] * rows["n_a"]) * rows["p"].count()
    cannot_fail = rows["paired"].fillna(False) & rows["p"].notna() & (least_p >= alpha).fillna(False)
    rows.loc[cannot_fail, "note"] = TOO_FEW
    return rows


def _judge(row: Any, max_drop: float, alpha: float) -> tuple[str, str | None]:
    """Return the verdict on a length, and a note where the comparison leaves none."""
    if pd.isna(row.n_a):
        return NEW, None
    if pd.isna(row.n_b):
        return UNUSABLE, None
    if row.over_context_a:
        return (SKIPPED, None) if row.over_context_b else (NEW, "over the context in the baseline")
    if pd.isna(row.accuracy_b):
        return UNUSABLE, "over the context now, not in the baseline"
    is_drop = row.difference < -max_drop - ROUNDING and row.p_adjusted < alpha
    return DROP if is_drop else PASS, None


def exit_code(judged: pd.DataFrame) -> int:
    """Return 1 if a length has dropped, else 2 if one is unusable, else 0."""
    verdicts = set(judged["verdict"])
    return 1 if DROP in verdicts else 2 if UNUSABLE in verdicts else 0
