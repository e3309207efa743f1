"""The page's part for training: a chart of accuracy against training step, and the same numbers as a table."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.styles import length_colours
from copy_eval.reports.frames.series import length_names, length_unit
from copy_eval.reports.frames.training import training_curves, trajectories, trajectory_names
from copy_eval.reports.page.charts import training_chart
from copy_eval.reports.page.models import Model
from copy_eval.reports.page.sections import accuracy_cell, capitalise
from copy_eval.reports.page.sortable import Cell, Column, Row, Table
from copy_eval.reports.statistics.accuracy import metric_title


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
    unit = length_unit(rows["task"].iloc[0])
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
        table=_table(
            rows, lengths, f"{capitalise(metric)} in percent with its 95 % interval, by training step and {unit}"
        ),
    )


def _table(rows: pd.DataFrame, lengths: Mapping[int, str], caption: str) -> Table:
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
