"""The page's part for each task: a chart of accuracy against length, and the same numbers as a table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.series import is_linear, length_names, length_unit
from copy_eval.reports.page.charts import accuracy_chart
from copy_eval.reports.page.models import Model, model_cell
from copy_eval.reports.page.sortable import Cell, Column, Row, Table
from copy_eval.reports.statistics.accuracy import metric_title

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
        title: the task, with text and version where the page has several.
        description: what the task asks.
        text: what text the prompts were made of; empty where they are generated.
        chart: the figure for plotly.js.
        chart_label: what the figure shows, for those who cannot see it.
        table: the chart's numbers.
    """

    anchor: str
    title: str
    description: str
    text: str
    chart: dict[str, Any]
    chart_label: str
    table: Table


def sections_of(accuracy: pd.DataFrame, models: list[Model]) -> list[Section]:
    """Return the sections of ``Report.accuracy``, one for each series."""
    titles = section_titles(accuracy)
    return [_section(titles[str(series)], rows, models) for series, rows in accuracy.groupby("series")]


def section_titles(frame: pd.DataFrame) -> dict[str, str]:
    """Return what to call each series of a frame: its task, if that has no other, else its whole title."""
    known = frame.drop_duplicates("series").sort_values("series")
    is_alone = ~known["task"].duplicated(keep=False)
    return dict(zip(known["series"], known["task"].where(is_alone, known["title"]), strict=True))


def _section(title: str, accuracy: pd.DataFrame, models: list[Model]) -> Section:
    points: dict[str, dict[int, Any]] = defaultdict(dict)
    row: Any
    for row in accuracy.sort_values("length").itertuples():
        points[row.label][row.length] = row
    of_model = {model: points[model.label] for model in models if model.label in points}
    series, task, text = accuracy.iloc[0][["series", "task", "text"]]
    unit = length_unit(task)
    metric = metric_title(accuracy["metric"].iloc[0])
    lengths = length_names(accuracy)
    return Section(
        anchor=f"task-{series}",
        title=title,
        description=_DESCRIPTIONS.get(task, ""),
        text="" if pd.isna(text) else text,
        chart=accuracy_chart(of_model, lengths, unit, is_linear(accuracy["length"]), metric),
        chart_label=f"Line chart of {metric} against {unit}, a line a model. The table below holds its numbers.",
        table=_accuracy_table(of_model, lengths, f"{capitalise(metric)} in percent with its 95 % interval, by {unit}"),
    )


def capitalise(text: str) -> str:
    """Return a text as it stands at the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _accuracy_table(of_model: Mapping[Model, dict[int, Any]], lengths: Mapping[int, str], caption: str) -> Table:
    return Table(
        caption=caption,
        columns=[Column("Model", is_text=True), *(Column(name) for name in lengths.values())],
        rows=[
            Row([model_cell(model), *(accuracy_cell(rows.get(length)) for length in lengths)], model.place)
            for model, rows in of_model.items()
        ],
    )


def accuracy_cell(row: Any) -> Cell:
    """Return the cell for a row of ``Report.accuracy``; empty for None."""
    if row is None:
        return Cell("", None)
    if row.over_context:
        return Cell(OVER_CONTEXT, None)
    if pd.isna(row.accuracy):
        return Cell("n/a", None)
    interval = f"{100 * row.low:.1f}\N{EN DASH}{100 * row.high:.1f}"
    return Cell(f"{100 * row.accuracy:.1f}", row.accuracy, note=interval)
