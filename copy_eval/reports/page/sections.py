"""The page's part for each task: a chart of accuracy against length, and the same numbers as a table."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.page.charts import accuracy_chart
from copy_eval.reports.page.models import Model, model_cell
from copy_eval.reports.page.sortable import Cell, Column, Row, Table

_DESCRIPTIONS = {
    "phonebook_copy": "The prompt is a phonebook; the answer is the number of one person in it.",
    "phonebook_copy_dashed": "The prompt is a phonebook with numbers like 609-323-7777; the answer is one of them.",
    "phonebook_reversed": "The prompt first says whose number will be asked, then comes the phonebook.",
    "c4_copy": "The prompt is a text, twice, and its first word; the answer is the rest of the text.",
    "c4_copy_shuffled": "As c4_copy, with the tokens of the text in random order.",
    "squad_by_length": "The prompt is a paragraph with a question; the answer is a passage of the paragraph.",
}


@dataclass(frozen=True)
class Section:
    """One series of results: a task on one text, in one version.

    Args:
        anchor: its id in the page.
        title: the task, with text and version where it has several.
        description: what the task asks.
        chart: the figure for plotly.js.
        chart_label: what the figure shows, for those who cannot see it.
        over_context: models with the lengths that have no point because they are over the context.
        table: the chart's numbers.
    """

    anchor: str
    title: str
    description: str
    chart: dict[str, Any]
    chart_label: str
    over_context: list[tuple[Model, str]]
    table: Table


def sections_of(accuracy: pd.DataFrame, models: list[Model]) -> list[Section]:
    """Return the sections of ``Report.accuracy``, one for each series."""
    return [_section(rows, models) for _, rows in accuracy.groupby("series")]


def _section(accuracy: pd.DataFrame, models: list[Model]) -> Section:
    series, title, task = accuracy.iloc[0][["series", "title", "task"]]
    unit = "entries in the phonebook"
    rows_of = {label: rows.set_index("length").sort_index() for label, rows in accuracy.groupby("label")}
    present = [model for model in models if model.label in rows_of]
    over = {model: rows_of[model.label].index[rows_of[model.label]["over_context"]] for model in present}
    return Section(
        anchor=f"task-{series}",
        title=title,
        description=_DESCRIPTIONS.get(task, ""),
        chart=accuracy_chart(accuracy, present, unit),
        chart_label=f"Line chart of exact match against {unit}, a line a model. The table below holds its numbers.",
        over_context=[(model, ", ".join(map(str, lengths))) for model, lengths in over.items() if len(lengths)],
        table=_accuracy_table(rows_of, present, f"Exact match in percent with its 95 % interval, by {unit}"),
    )


def _accuracy_table(rows_of: dict[str, pd.DataFrame], models: list[Model], caption: str) -> Table:
    lengths = sorted({length for rows in rows_of.values() for length in rows.index})
    return Table(
        caption=caption,
        columns=[Column("Model", is_text=True), *(Column(str(length)) for length in lengths)],
        rows=[
            Row([model_cell(model), *(_cell(rows_of[model.label], length) for length in lengths)], model.place)
            for model in models
        ],
    )


def _cell(rows: pd.DataFrame, length: int) -> Cell:
    if length not in rows.index:
        return Cell("", None)
    row = rows.loc[length]
    if row["over_context"]:
        return Cell(OVER_CONTEXT, None)
    if pd.isna(row["accuracy"]):
        return Cell("n/a", None)
    interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
    return Cell(f"{100 * row['accuracy']:.1f}", float(row["accuracy"]), note=interval)
