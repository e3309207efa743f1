"""The page's parts with a chart: each with the same numbers as a table.

First a section for each series of results, with accuracy against length; then one for each further kind of chart.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.reports.charts.accuracy import accuracy_notes
from copy_eval.reports.charts.catalogue import ACCURACY, CHARTS, ChartKind
from copy_eval.reports.charts.rendering import to_spec
from copy_eval.reports.charts.theme import describe_intervals
from copy_eval.reports.frames.series import length_names, length_unit
from copy_eval.reports.page.models import Model, by_label
from copy_eval.reports.page.tables import Cell, Column, Row, Table, accuracy_cell, model_cell
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.writing.formats import capitalise


@dataclass(frozen=True)
class Panel:
    """A chart with its numbers.

    Args:
        anchor: its id in the page.
        name: the model that it is about; empty where it shows all.
        models: the places of its models among those of the page; it shows while any of them does.
        spec: the chart as Vega-Lite's JSON.
        label: what it shows, for those who cannot see it.
        table: its numbers.
    """

    anchor: str
    name: str
    models: list[int]
    spec: dict[str, Any]
    label: str
    table: Table

    @property
    def fills_width(self) -> bool:
        """Whether it is as wide as the page has room for; else as wide as its cells."""
        return self.spec.get("width") == "container"


@dataclass(frozen=True)
class Section:
    """One series of results: a task on one text, in one version.

    Args:
        anchor: its id in the page.
        title: the task, with text and version where the page has several.
        description: what the task asks.
        text: what text the prompts were made of; empty where they are generated.
        notes: what the chart shows besides accuracies, in sentences; mostly empty.
        panel: accuracy against length.
    """

    anchor: str
    title: str
    description: str
    text: str
    notes: str
    panel: Panel


@dataclass(frozen=True)
class ChartSection:
    """One kind of chart: its panels by the titles of their series."""

    kind: ChartKind
    panels: dict[str, list[Panel]]


def sections_of(report: Report, models: list[Model]) -> list[Section]:
    """Return a section for each series of results."""
    titles = section_titles(report.accuracy)
    return [_section(series, titles[series], rows, models) for series, rows in ACCURACY.of_series(report).items()]


def section_titles(frame: pd.DataFrame) -> dict[str, str]:
    """Return what to call each series of a frame: its task, if that has no other, else its whole title."""
    known = frame.drop_duplicates("series").sort_values("series")
    is_alone = ~known["task"].duplicated(keep=False)
    return dict(zip(known["series"], known["task"].where(is_alone, known["title"]), strict=True))


def _section(series: str, title: str, rows: pd.DataFrame, models: list[Model]) -> Section:
    description, text = ("" if pd.isna(part) else part for part in rows.iloc[0][["description", "text"]])
    [panel] = _panels(ACCURACY, series, rows, models)
    notes = "".join(f"{note}. " for note in accuracy_notes(rows)).strip()
    return Section(f"task-{series}", title, description, text, notes, panel)


def chart_sections(report: Report, models: list[Model]) -> list[ChartSection]:
    """Return a section for each further kind of chart that the report has."""
    titles = section_titles(report.accuracy)
    sections = []
    for kind in CHARTS:
        of_series = kind.of_series(report).items()
        panels = {titles[series]: list(_panels(kind, series, rows, models)) for series, rows in of_series}
        if kind is not ACCURACY and panels:
            sections.append(ChartSection(kind, panels))
    return sections


def _panels(kind: ChartKind, series: str, rows: pd.DataFrame, models: list[Model]) -> Iterator[Panel]:
    """Yield one panel for all models, or one for each where the kind has panels."""
    places = {label: model.place for label, model in by_label(models).items()}
    rows = rows.assign(place=rows["label"].map(places)).sort_values(["place", kind.by], kind="stable")
    names = pd.Series("", rows.index) if kind.panels is None else kind.panels(rows)
    for number, (name, of_one) in enumerate(rows.groupby(names, sort=False), start=1):
        # Of one model in several steps, the rows go by the steps.
        of_one = of_one.sort_values(kind.by, kind="stable") if kind.panels and kind.panel_of_model else of_one
        what = f"{_metric(of_one)} by {length_unit(of_one)}"
        what += "" if kind.by_model else f" and {kind.by_name}"
        yield Panel(
            anchor=f"chart-{kind.name}-{series}-{number}",
            name=str(name),
            models=sorted(of_one["place"].unique().tolist()),
            spec=_page_spec(kind, of_one, models),
            label=f"Chart of {what}. The table below holds its numbers.",
            table=_numbers(kind, of_one, models, f"{capitalise(what)}, in percent with {describe_intervals(of_one)}"),
        )


def _metric(rows: pd.DataFrame) -> str:
    return metric_title(rows["metric"].iloc[0]) if "metric" in rows else "exact match"


def _page_spec(kind: ChartKind, rows: pd.DataFrame, models: list[Model]) -> dict[str, Any]:
    """Return a chart as the page shows it: without what stands around it there, and as wide as there is room."""
    styles = {label: model.style for label, model in by_label(models).items()}
    spec = to_spec(kind.draw(rows, styles) if kind.by_model else kind.draw(rows))
    for part in ("title", "config"):  # the page has the heading, and its script the colours
        spec.pop(part, None)
    if "facet" not in spec and not isinstance(spec.get("width"), dict):  # cells have a size of their own
        spec |= {"width": "container", "height": "container", "autosize": {"type": "fit", "contains": "padding"}}
    if kind.panels:
        return spec | {"config": {"legend": {"orient": "top", "columns": 4}}}
    return dict(_without_legends(spec))  # the checkboxes are the legend of lines, and cells say what they are


def _without_legends(spec: Any) -> Any:
    if isinstance(spec, list):
        return [_without_legends(part) for part in spec]
    if isinstance(spec, dict):
        shown = {key: _without_legends(part) for key, part in spec.items()}
        return shown | {"legend": None} if "legend" in spec else shown
    return spec


def _numbers(kind: ChartKind, rows: pd.DataFrame, models: list[Model], caption: str) -> Table:
    """Return the numbers of a chart: a column a length, a row a model and what else the kind goes by."""
    of_label = by_label(models)
    lengths = length_names(rows)
    cells: dict[tuple[str, Any], dict[int, Any]] = defaultdict(dict)
    row: Any
    for row in rows.itertuples():
        cells[row.label, getattr(row, kind.by)][row.length] = row
    names_model, names_by = kind.panels is None or not kind.panel_of_model, not kind.by_model
    return Table(
        caption=caption,
        columns=[
            *[Column("Model", is_text=True)] * names_model,
            *[Column(capitalise(kind.by_name))] * names_by,
            *map(Column, lengths.values()),
        ],
        rows=[
            Row(
                [
                    *[model_cell(of_label[label], label)] * names_model,
                    *[_cell(value)] * names_by,
                    *(accuracy_cell(by_length.get(length)) for length in lengths),
                ],
                of_label[label].place if names_model else None,
            )
            for (label, value), by_length in cells.items()
        ],
    )


def _cell(value: Any) -> Cell:
    return Cell(value, value) if isinstance(value, str) else Cell(f"{value:,}", value)
