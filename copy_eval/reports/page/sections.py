"""The page's parts for a task and for the training of a model: a chart, and the same numbers as a table.

A task's chart is of accuracy against length, a line a model; that of a training against training step, a line a length.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.drawing import length_colours
from copy_eval.reports.frames.series import (
    is_linear,
    length_names,
    length_unit,
    training_curves,
    trajectories,
    trajectory_names,
)
from copy_eval.reports.page.charts import accuracy_chart, training_chart
from copy_eval.reports.page.models import Model
from copy_eval.reports.page.tables import Cell, Column, Row, Table, accuracy_cell, model_cell
from copy_eval.reports.statistics.accuracy import metric_title


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
    series, description, text = accuracy.iloc[0][["series", "description", "text"]]
    unit = length_unit(accuracy)
    metric = metric_title(accuracy["metric"].iloc[0])
    lengths = length_names(accuracy)
    return Section(
        anchor=f"task-{series}",
        title=title,
        description="" if pd.isna(description) else description,
        text="" if pd.isna(text) else text,
        chart=accuracy_chart(of_model, lengths, unit, is_linear(accuracy["length"]), metric),
        chart_label=f"Line chart of {metric} against {unit}, a line a model. The table below holds its numbers.",
        table=_lengths_table(of_model, lengths, f"{capitalise(metric)} in percent with its 95 % interval, by {unit}"),
    )


def _lengths_table(of_model: Mapping[Model, dict[int, Any]], lengths: Mapping[int, str], caption: str) -> Table:
    return Table(
        caption=caption,
        columns=[Column("Model", is_text=True), *(Column(name) for name in lengths.values())],
        rows=[
            Row([model_cell(model), *(accuracy_cell(rows.get(length)) for length in lengths)], model.place)
            for model, rows in of_model.items()
        ],
    )


@dataclass(frozen=True)
class Training:
    """How well one model does a task over its training.

    Args:
        anchor: its id in the page.
        name: the model.
        models: the places of its steps among the models of the page; it shows while any of them does.
        unit: what the lengths count.
        metric: what the chart shows.
        key: the name and colour of each line.
        chart: the figure for plotly.js.
        table: the chart's numbers.
    """

    anchor: str
    name: str
    models: list[int]
    unit: str
    metric: str
    key: list[tuple[str, str]]
    chart: dict[str, Any]
    table: Table


def trainings(accuracy: pd.DataFrame, titles: Mapping[str, str], models: list[Model]) -> dict[str, list[Training]]:
    """Return the models with a curve under the title of each series in which some have one.

    Args:
        accuracy: ``Report.accuracy``.
        titles: of the series.
        models: of the page.
    """
    places = {model.label: model.place for model in models}
    found: dict[str, list[Training]] = {}
    curves = training_curves(accuracy)
    names = trajectory_names(curves)
    for series, rows in curves.groupby("series"):
        # Lengths have one colour for all models of a series.
        colours = length_colours(length_names(rows))
        of_model = rows.groupby(trajectories(rows), sort=False)
        found[titles[str(series)]] = [
            _training(f"training-{series}-{number}", names[str(key)], of_one, colours, places)
            for number, (key, of_one) in enumerate(of_model, start=1)
        ]
    return found


def _training(
    anchor: str, name: str, rows: pd.DataFrame, colours: Mapping[int, str], places: Mapping[str, int]
) -> Training:
    rows = rows.sort_values(["step", "length"])
    lengths = length_names(rows)
    unit = length_unit(rows)
    curves = defaultdict(list)
    row: Any
    for row in rows.dropna(subset="accuracy").sort_values(["length", "step"]).itertuples():
        curves[row.length].append(row)
    refused = rows.groupby("length")["over_context"].all()
    first = rows.iloc[0]
    metric = metric_title(first["metric"])
    return Training(
        anchor=anchor,
        name=name,
        models=sorted(places[label] for label in rows["label"].unique()),
        unit=unit,
        metric=metric,
        key=[
            (shown + (f" ({OVER_CONTEXT})" if refused[length] else ""), colours[length])
            for length, shown in lengths.items()
        ],
        chart=training_chart(curves, list(rows["step"].unique()), lengths, unit, colours, metric),
        table=_steps_table(
            rows, lengths, f"{capitalise(metric)} in percent with its 95 % interval, by training step and {unit}"
        ),
    )


def _steps_table(rows: pd.DataFrame, lengths: Mapping[int, str], caption: str) -> Table:
    of_step: dict[tuple[int, str], dict[int, Any]] = defaultdict(dict)
    row: Any
    for row in rows.itertuples():
        of_step[row.step, row.revision][row.length] = row  # step1 and step-1 are two revisions of one step
    return Table(
        caption=caption,
        columns=[Column("Training step"), *(Column(name) for name in lengths.values())],
        rows=[
            Row([Cell(f"{step:,}", step), *(accuracy_cell(cells.get(length)) for length in lengths)])
            for (step, _), cells in of_step.items()
        ],
    )


def capitalise(text: str) -> str:
    """Return a text as it stands at the beginning of a sentence."""
    return text[:1].upper() + text[1:]
