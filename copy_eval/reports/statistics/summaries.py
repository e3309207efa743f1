"""What sums up a model: the area under each curve, effective lengths, the leaderboard, the kinds of wrong answers."""

from typing import Any

import numpy as np
import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.samples import ELSEWHERE, NOT_IN_BOOK, OTHER_ENTRY, RIGHT_NUMBER
from copy_eval.reports.frames.series import is_linear, length_unit, unused_name

THRESHOLDS = (0.9, 0.5)
"""Accuracies whose effective lengths are reported."""

NOT_REACHED = "none"
"""Stands for an effective length where not even the shortest length reaches the threshold."""

RANK_RULE = (
    "Rank: by the score, the mean over the tasks of the area under the curve from the shortest to the longest length "
    "in this report; a length that is over the context or was not evaluated counts as 0, so that nobody gains by "
    "leaving lengths out."
)
"""Stands beside every leaderboard."""


def leaderboard(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Sum up each model in one row, ranked by ``RANK_RULE``.

    Args:
        accuracy: as ``accuracy_by_length`` returns it.

    Returns:
        ``rank`` and ``score``; ``label``, ``model``, ``revision``, ``setup``, ``architecture``, ``parameters``; and for
        each series S of results: ``S_unit``, what its lengths count, the effective ones too; ``S_area``, the area under
        the curve, and ``S_area_lengths``, the lengths that it covers ("10-160"); ``S_effective_length_90`` and ``_50``;
        and one column for each length (``S_40``, of a bucket ``S_100-150``) with the accuracy. Cells of lengths over
        the context say so, those that were not evaluated are missing. The best model comes first.
    """
    about = ["label", "model", "revision", "setup", "architecture", "parameters"]
    board = accuracy[about].drop_duplicates("label").set_index("label", drop=False)
    scores = pd.DataFrame(index=board.index)
    for series, rows in accuracy.groupby("series"):
        linear = is_linear(rows["length"])
        lengths = pd.Series(rows["length"].unique()).sort_values(ignore_index=True)
        sums = {label: _sum_up(curve, linear) for label, curve in rows.groupby("label")}
        summary = pd.DataFrame.from_dict(sums, orient="index", dtype=object).add_prefix(f"{series}_")
        curves = {label: _score(curve, lengths, linear) for label, curve in rows.groupby("label")}
        scores[series] = pd.Series(curves, dtype="Float64")
        cells = _cells(rows, str(series))
        # Titles of tasks are free: one may be `a_effective_length`, with a length of 90.
        names = {name: unused_name(name, board.columns) for name in cells.columns}
        board = board.join(summary).join(cells.rename(columns=names))
    board.insert(0, "score", scores.fillna(0).mean(axis="columns"))
    # Models whose scores differ by rounding alone share a rank.
    board.insert(0, "rank", board["score"].round(9).rank(ascending=False, method="min").astype("Int64"))
    return board.sort_values("rank", kind="stable").reset_index(drop=True)


def _score(curve: pd.DataFrame, lengths: pd.Series, linear: bool) -> float:
    """Return the area under a curve over all lengths, 0 where it has none."""
    accuracies = curve.set_index("length")["accuracy"].reindex(lengths).fillna(0.0)
    if len(lengths) == 1:
        return float(accuracies.iloc[0])
    area = area_under_curve(lengths, accuracies.reset_index(drop=True), linear)
    assert area is not None
    return area


def _sum_up(curve: pd.DataFrame, linear: bool) -> dict[str, Any]:
    lengths, accuracies = curve["length"], curve["accuracy"]
    scored = lengths[accuracies.notna()]
    summary: dict[str, Any] = {
        "unit": length_unit(curve),
        "area": area_under_curve(lengths, accuracies, linear),
        "area_lengths": f"{scored.min()}-{scored.max()}" if len(scored) > 1 else None,
    }
    for threshold in THRESHOLDS:
        reached = effective_length(lengths, accuracies, threshold)
        # Nothing is known of a model none of whose lengths has a score.
        missing = NOT_REACHED if len(scored) else OVER_CONTEXT if curve["over_context"].any() else None
        summary[f"effective_length_{threshold * 100:.0f}"] = missing if reached is None else reached
    return summary


def _cells(rows: pd.DataFrame, series: str) -> pd.DataFrame:
    """Lay out the accuracies of a series, a row a model and a column a length."""
    columns = f"{series}_" + rows["length_name"]
    cells = rows["accuracy"].astype(object).mask(rows["over_context"], OVER_CONTEXT)
    in_order = columns[rows["length"].sort_values().index].unique()
    return pd.DataFrame({"label": rows["label"], "column": columns, "cell": cells}).pivot(
        index="label", columns="column", values="cell"
    )[in_order]


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


_TOLERANCE = 1e-9
"""What rounding may take from a share; the shares of two different counts are further apart."""


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


WRONG_KINDS = {
    "other_entry": OTHER_ENTRY,
    "elsewhere": ELSEWHERE,
    "not_in_book": NOT_IN_BOOK,
    "right_number": RIGHT_NUMBER,
}
"""The columns of ``wrong_answers`` that hold the share of a kind, and what to call the kind."""


def wrong_answers(results: pd.DataFrame) -> pd.DataFrame:
    """Return what the wrong answers to phonebook questions are.

    Args:
        results: as ``read_results`` returns it.

    Returns:
        ``label``, ``series``, ``title``, ``task``, ``task_version``, ``length``, ``over_context``, ``n`` (prompts),
        ``wrong`` (wrong answers), and the shares of these that hold another entry's number (``other_entry``), nothing
        of the book (``not_in_book``), the right number in other words (``right_number``), or are a fragment of the book
        (``elsewhere``); missing without wrong answers.
    """
    kinds = {"wrong_is_other_entry": "other_entry", "wrong_not_in_book": "not_in_book"}
    of_phonebooks = results.groupby(["file", "task_name"])["metric"].transform(lambda names: names.isin(kinds).any())
    known = ["exact_match", "contains", *kinds]
    asked = results[of_phonebooks & results["metric"].isin(known)]
    key = ["label", "series", "title", "task", "task_version", "length", "over_context", "n"]
    wide = asked.pivot(index=key, columns="metric", values="value").reindex(columns=known)
    in_order = asked[key].drop_duplicates()
    shares = in_order.merge(wide.rename(columns=kinds).reset_index(), on=key)
    # What is right and not a match; without wrong answers there is no share of them.
    wrong = (1 - shares["exact_match"]).mask(shares["other_entry"].isna())
    shares["right_number"] = ((shares.pop("contains") - shares["exact_match"]) / wrong).clip(0, 1)
    shares["elsewhere"] = (
        1 - shares[["other_entry", "not_in_book", "right_number"]].sum(axis="columns", skipna=False)
    ).clip(lower=0)
    shares.insert(len(key), "wrong", ((1 - shares.pop("exact_match")) * shares["n"]).round().astype("Int64"))
    return shares
