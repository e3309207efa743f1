"""The tables of a report, as frames of texts."""

from collections.abc import Collection, Iterator

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED, unchecked_labels
from copy_eval.reports.frames.series import describe_prompts, length_names, length_unit
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.statistics.sample_efficiency import THRESHOLD
from copy_eval.reports.statistics.summaries import RANK_RULE, THRESHOLDS, WRONG_KINDS
from copy_eval.reports.writing.formats import NOT_AVAILABLE, TextTable, effective_text, examples_text, ratio_text

ACCURACY_NOTES = (
    "Area: under the curve, over the lengths in brackets. 90% and 50% up to: the longest length up to which every "
    "tested length reaches it; + where all do."
)

_UNCHECKED_NOTE = (
    f"{CONTEXT_NOT_CHECKED.capitalize()}: nothing tells whether that backend cut prompts that do not fit the context, "
    "and scored them all the same."
)


def leaderboard_table(report: Report) -> TextTable:
    """Lay out the ranks, the scores, and what each model's scores are made of."""
    board = report.leaderboard
    unchecked = unchecked_labels(report.accuracy)
    cells = pd.DataFrame(
        {"rank": board["rank"].astype(str), "model": [_named(label, unchecked) for label in board["label"]]}
    )
    cells["score"] = [f"{score:.3f}" for score in board["score"]]
    for series in sorted(report.accuracy["series"].unique()):
        areas = zip(board[f"{series}_area"], board[f"{series}_area_lengths"], strict=True)
        cells[f"{series} area"] = [_area_text(area, lengths) for area, lengths in areas]
    caption = "Leaderboard."
    return TextTable("leaderboard", caption, cells, (RANK_RULE, *[_UNCHECKED_NOTE] * bool(unchecked)))


def _area_text(area: float, lengths: str) -> str:
    return f"{area:.2f} ({lengths})" if pd.notna(area) else NOT_AVAILABLE


def _named(label: str, unchecked: Collection[str]) -> str:
    """Return a model's name, with a mark where its prompts may have been cut."""
    return f"{label} [{CONTEXT_NOT_CHECKED}]" if label in unchecked else label


def accuracy_tables(report: Report) -> Iterator[TextTable]:
    """Lay out, for each series, accuracy by length with its summary.

    A length over a model's context reads ``over context``, one without a number ``n/a``; one that was not evaluated is
    empty.
    """
    for series, accuracy in report.accuracy.groupby("series"):
        yield _accuracy_table(str(series), accuracy, report.leaderboard)


def depth_tables(report: Report) -> Iterator[TextTable]:
    """Lay out, for each series with samples that have a depth, exact match by quarters of the prompt."""
    for series, quarters in report.depth_quarters.groupby("series"):
        yield _depth_table(str(series), quarters, report.accuracy)


def wrong_answer_tables(report: Report) -> Iterator[TextTable]:
    """Lay out, for each series of phonebook results, the shares of the kinds of wrong answers."""
    for series, shares in report.wrong_answers.groupby("series"):
        yield _wrong_answers_table(str(series), shares)


EXAMPLES_NOTES = (
    "Examples: those of the first evaluated checkpoint that reaches it, the median of the seeds, and from the fewest "
    "to the most of them; the true number lies between that checkpoint and the one before. Ratio: to the fewest "
    "examples of any training at that length."
)


def examples_tables(report: Report) -> Iterator[TextTable]:
    """Lay out, for each series with learning curves, how many training examples it takes."""
    for series, needed in report.examples.groupby("series"):
        yield _examples_table(str(series), needed)


def _examples_table(series: str, needed: pd.DataFrame) -> TextTable:
    rows = list(needed.sort_values("length", kind="stable").itertuples())
    cells = pd.DataFrame(
        {
            "length": [row.length_name for row in rows],
            "training": [row.training for row in rows],
            "seeds": [str(row.seeds) for row in rows],
            "examples": [examples_text(row) for row in rows],
            "ratio": [ratio_text(row) for row in rows],
        }
    )
    caption = f"{needed['title'].iloc[0]}: training examples to {THRESHOLD:.0%}, by {length_unit(needed)}."
    return TextTable(f"{series}_examples", caption, cells, (EXAMPLES_NOTES,))


def _accuracy_table(series: str, accuracy: pd.DataFrame, leaderboard: pd.DataFrame) -> TextTable:
    names = length_names(accuracy)
    columns = ["accuracy", "low", "high", "over_context"]
    texts = [_accuracy_text(*row) for row in accuracy[columns].itertuples(index=False)]
    cells = (
        accuracy.assign(cell=texts)
        .pivot(index="label", columns="length", values="cell")
        .fillna("")
        .rename(columns=names)
    )
    longest = dict(accuracy.groupby("label")["length"].max())
    board = leaderboard.set_index("label").loc[cells.index]
    areas = zip(board[f"{series}_area"], board[f"{series}_area_lengths"], strict=True)
    cells["area"] = [_area_text(area, lengths) for area, lengths in areas]
    for threshold in THRESHOLDS:
        reached = board[f"{series}_effective_length_{threshold * 100:.0f}"]
        cells[f"{threshold:.0%} up to"] = [
            effective_text(length, names, longest[label]) for label, length in reached.items()
        ]
    by_model = cells.reindex(accuracy["label"].unique()).rename_axis(index="model", columns=None).reset_index()
    unchecked = unchecked_labels(accuracy)
    by_model["model"] = [_named(label, unchecked) for label in by_model["model"]]
    metric = metric_title(accuracy["metric"].iloc[0])
    caption = (
        f"{accuracy['title'].iloc[0]}: {metric} in % by {length_unit(accuracy)}, with 95 % intervals; "
        f"{describe_prompts(accuracy)}."
    )
    return TextTable(series, caption, by_model, (ACCURACY_NOTES, *[_UNCHECKED_NOTE] * bool(unchecked)))


def _accuracy_text(accuracy: float, low: float, high: float, over_context: bool) -> str:
    if over_context:
        return OVER_CONTEXT
    return NOT_AVAILABLE if pd.isna(accuracy) else f"{100 * accuracy:.1f} ({100 * low:.0f}-{100 * high:.0f})"


def _depth_table(series: str, quarters: pd.DataFrame, accuracy: pd.DataFrame) -> TextTable:
    columns = ["accuracy", "low", "high", "over_context"]
    texts = [_accuracy_text(*row) for row in quarters[columns].itertuples(index=False)]
    bounds = zip(100 * quarters["depth_from"], 100 * quarters["depth_to"], strict=True)
    names = [f"{start:.0f}-{end:.0f}%" for start, end in bounds]
    table = quarters.assign(cell=texts, quarter=names).pivot(
        index=["label", "length"], columns="quarter", values="cell"
    )
    # Models in the order of the report, as in the other tables.
    labels = [label for label in accuracy["label"].unique() if label in set(quarters["label"])]
    in_order = table[list(dict.fromkeys(names))].fillna("").sort_index(level="length").loc[labels]
    cells = in_order.rename_axis(columns=None).reset_index().rename(columns={"label": "model"})
    cells["length"] = cells["length"].astype(str)
    caption = (
        f"{quarters['title'].iloc[0]}: exact match in % by {length_unit(quarters)} and the place of the answer in the "
        "prompt, from its beginning (0%) to its end, with 95 % intervals."
    )
    return TextTable(f"{series}_by_depth", caption, cells, ())


def _wrong_answers_table(series: str, shares: pd.DataFrame) -> TextTable:
    cells = pd.DataFrame({"model": shares["label"], "length": shares["length"].astype(str)})
    cells["wrong"] = [
        OVER_CONTEXT if refused else NOT_AVAILABLE if pd.isna(wrong) else f"{wrong} of {n}"
        for refused, wrong, n in shares[["over_context", "wrong", "n"]].itertuples(index=False)
    ]
    for kind, name in WRONG_KINDS.items():
        cells[name] = ["" if pd.isna(share) else f"{share:.0%}" for share in shares[kind]]
    caption = f"{shares['title'].iloc[0]}: what the wrong answers are, as shares of them."
    return TextTable(f"{series}_wrong_answers", caption, cells, ())
