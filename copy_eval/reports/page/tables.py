"""The page's tables: the template lays them out and the script sorts them.

First what they are made of, then one after the other: the leaderboard, the kinds of wrong answers, and where the
numbers come from, which is the prompts of each task and the files of each run.
"""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.frames.series import length_names, length_unit
from copy_eval.reports.page.models import Model, by_label
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.sample_efficiency import THRESHOLD
from copy_eval.reports.statistics.summaries import NOT_REACHED, WRONG_KINDS
from copy_eval.reports.writing.formats import capitalise, effective_text, examples_text, human_size, ratio_text
from copy_eval.reports.writing.tables import EXAMPLES_NOTES


@dataclass(frozen=True)
class Column:
    """A column's header.

    Args:
        name: what it shows; it breaks at line breaks alone.
        is_text: words, set to the left and sorted from A to Z first; numbers are sorted from the greatest first.
        starts_group: the first column of a group of columns, or of those behind the last group.
    """

    name: str
    is_text: bool = False
    starts_group: bool = False


@dataclass(frozen=True)
class Cell:
    """A cell.

    Args:
        text: what it shows.
        value: what it is sorted by; a cell with None stands last, however its column is sorted.
        note: a second line, smaller.
        bar: share of the cell that a bar behind the text fills.
    """

    text: str
    value: float | str | None
    note: str = ""
    bar: float = 0.0


@dataclass(frozen=True)
class Row:
    """A row, whose first cell names it.

    Args:
        cells: one a column.
        model: the place of the model whose checkbox shows and hides the row; None where it always shows.
    """

    cells: list[Cell]
    model: int | None = None


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what its cells are.
        columns: one a cell of the rows.
        rows: in the order in which they stand before anything is sorted.
        groups: names of groups of neighbouring columns with the number of columns in each, from the left; an empty
            name leaves columns without a group; no groups, no such row.
    """

    caption: str
    columns: list[Column]
    rows: list[Row]
    groups: list[tuple[str, int]] = field(default_factory=list)


def model_cell(model: Model, label: str) -> Cell:
    """Return the cell that names a row by one of the labels of its model."""
    return Cell(label, label, note=model.note)


def accuracy_cell(row: Any) -> Cell:
    """Return the cell for a row with an accuracy, and maybe its interval; empty for None."""
    if row is None:
        return Cell("", None)
    if row.over_context:
        return Cell(OVER_CONTEXT, None)
    if pd.isna(row.accuracy):
        return Cell("n/a", None)
    interval = f"{100 * row.low:.1f}\N{EN DASH}{100 * row.high:.1f}" if hasattr(row, "low") else ""
    return Cell(f"{100 * row.accuracy:.1f}", row.accuracy, note=interval)


def _text_cell(text: Any) -> Cell:
    return Cell("", None) if pd.isna(text) else Cell(str(text), str(text))


def leaderboard_table(report: Report, titles: dict[str, str], models: list[Model]) -> Table:
    """Lay out the area under the curve and the effective lengths of each model, a group of columns a series.

    Args:
        report: its accuracies stand in the tables of the series.
        titles: of the series, in the order of the groups.
        models: of the page.
    """
    columns = [Column("Model", is_text=True), Column("Rank")]
    columns += [Column("Architecture", is_text=True), Column("Parameters")]
    for _ in titles:
        columns += [Column("Area", starts_group=True), *(Column(f"Length\nat {percent} %") for percent in (90, 50))]
    names = {str(series): length_names(rows) for series, rows in report.accuracy.groupby("series")}
    longest = report.accuracy.groupby(["series", "label"])["length"].max()
    rows = []
    of_label = by_label(models)
    for _, entry in report.leaderboard.iterrows():
        label = entry["label"]
        of_series = [
            cell
            for series in titles
            for cell in _series_cells(entry, series, names[series], longest.get((series, label)))
        ]
        cells = [model_cell(of_label[label], label), *_about_model(entry), *of_series]
        rows.append(Row(cells, of_label[label].place))
    caption = (
        "Area under the curve in percent, with the lengths that it covers, and effective lengths, by task; "
        "+ where every tested length reaches it"
    )
    return Table(caption, columns, rows, groups=[("", 4), *((title, 3) for title in titles.values())])


def _about_model(entry: pd.Series) -> list[Cell]:
    architecture, parameters = entry["architecture"], entry["parameters"]
    return [
        # Sorted from the greatest first, a rank comes as the best last: the smallest number is the greatest rank.
        Cell(str(entry["rank"]), -int(entry["rank"]), note=f"score {100 * entry['score']:.1f}"),
        _text_cell(architecture),
        Cell("", None) if pd.isna(parameters) else Cell(human_size(parameters), int(parameters)),
    ]


def _series_cells(entry: pd.Series, series: str, names: Mapping[int, str], longest: Any) -> list[Cell]:
    area, covered = entry[f"{series}_area"], entry[f"{series}_area_lengths"]
    shown = Cell("", None) if pd.isna(area) else Cell(f"{100 * area:.1f}", float(area), note=covered)
    reached = (entry[f"{series}_effective_length_{percent}"] for percent in (90, 50))
    return [shown, *(_effective_length_cell(length, names, longest) for length in reached)]


def _effective_length_cell(length: Any, names: Mapping[int, str], longest: Any) -> Cell:
    if pd.isna(length):
        return Cell("", None)
    value = length if isinstance(length, int) else 0 if length == NOT_REACHED else None
    return Cell(effective_text(length, names, longest), value)


def wrong_answers_tables(wrong_answers: pd.DataFrame, titles: dict[str, str], models: list[Model]) -> list[Table]:
    """Return a table for each series of ``Report.wrong_answers``: a row a model and length, a column a kind.

    Args:
        wrong_answers: the frame of the report.
        titles: of the series.
        models: of the page, in the order of the rows.
    """
    columns = [Column("Model", is_text=True), *map(Column, ("Length", "Prompts", "Wrong"))]
    columns += [Column(textwrap.fill(capitalise(kind), 18)) for kind in WRONG_KINDS.values()]
    tables = []
    for series, rows in wrong_answers.sort_values("length").groupby("series"):
        of_label = dict(list(rows.groupby("label")))
        entries = [
            _wrong_answers_row(entry, model)
            for label, model in by_label(models).items()
            if label in of_label
            for entry in of_label[label].itertuples()
        ]
        caption = f"{titles[str(series)]}: wrong answers, and what share of them in percent is of each kind"
        tables.append(Table(caption, columns, entries))
    return tables


def _wrong_answers_row(entry: Any, model: Model) -> Row:
    length, prompts = Cell(str(entry.length), entry.length), Cell(str(entry.n), entry.n)
    wrong = Cell(OVER_CONTEXT, None) if entry.over_context else _count(entry.wrong)
    shares = [_share(getattr(entry, kind)) for kind in WRONG_KINDS]
    return Row([model_cell(model, entry.label), length, prompts, wrong, *shares], model.place)


def _count(wrong: Any) -> Cell:
    return Cell("n/a", None) if pd.isna(wrong) else Cell(str(wrong), wrong)


def _share(share: Any) -> Cell:
    return Cell("", None) if pd.isna(share) else Cell(f"{100 * share:.1f}", share, bar=share)


def examples_tables(examples: pd.DataFrame, titles: dict[str, str]) -> list[Table]:
    """Return a table for each series of ``Report.examples``: a row a length and training."""
    columns = [Column("Training", is_text=True), *map(Column, ("Length", "Seeds", "Examples", "Ratio"))]
    return [
        Table(
            f"{titles[str(series)]}: training examples to {THRESHOLD:.0%} by {length_unit(rows)}. {EXAMPLES_NOTES}",
            columns,
            [_examples_row(entry) for entry in rows.sort_values("length", kind="stable").itertuples()],
        )
        for series, rows in examples.groupby("series")
    ]


def _examples_row(entry: Any) -> Row:
    return Row(
        [
            _text_cell(entry.training),
            Cell(entry.length_name, entry.length),
            Cell(str(entry.seeds), entry.seeds),
            Cell(examples_text(entry), None if pd.isna(entry.examples) else entry.examples),
            Cell(ratio_text(entry), None if pd.isna(entry.ratio) else float(entry.ratio)),
        ]
    )


def prompts_table(accuracy: pd.DataFrame) -> Table:
    """Return a row for each set of prompts: task, version, fingerprint, and how many models answered it."""
    key = ["task", "length", "task_name", "text", "task_version", "prompts_sha256", "n"]
    sets = accuracy.groupby(key, dropna=False, as_index=False).agg(models=("label", "nunique"))
    return Table(
        caption="Prompts by task: the version of the task, and the fingerprint of the prompts",
        columns=[
            Column("Task", is_text=True),
            Column("Version", is_text=True),
            Column("Prompts"),
            Column("Models"),
            Column("Fingerprint", is_text=True),
            Column("Text", is_text=True),
        ],
        rows=[_prompts_row(entry) for entry in sets.itertuples()],
    )


def _prompts_row(entry: Any) -> Row:
    return Row(
        [
            _text_cell(entry.task_name),
            _text_cell(entry.task_version),
            Cell(f"{entry.n:,}", entry.n),
            Cell(str(entry.models), entry.models),
            _text_cell(entry.prompts_sha256),
            _text_cell(entry.text),
        ]
    )


def files_table(accuracy: pd.DataFrame, models: list[Model]) -> Table:
    """Return a row for each model and result file: lm-eval's adapter, the date of the run, how many tasks count."""
    # The files of pooled runs stand in one row of the frame, one a line.
    runs = accuracy.assign(file=accuracy["file"].str.split("\n")).explode("file")
    files = runs.groupby(["label", "file"], as_index=False).agg(
        adapter=("adapter", "first"), date=("date", "max"), tasks=("task_name", "nunique")
    )
    places = {label: model.place for label, model in by_label(models).items()}
    return Table(
        caption="Result files: the run that wrote each, and how many of its tasks are shown here",
        columns=[
            Column("Model", is_text=True),
            Column("Adapter", is_text=True),
            Column("Date (UTC)", is_text=True),
            Column("Tasks"),
            Column("File", is_text=True),
        ],
        rows=[_file_row(entry, places) for entry in files.itertuples()],
    )


def _file_row(entry: Any, places: dict[str, int]) -> Row:
    return Row(
        [
            _text_cell(entry.label),
            _text_cell(entry.adapter),
            _text_cell(f"{entry.date:%Y-%m-%d %H:%M}"),
            Cell(str(entry.tasks), entry.tasks),
            _text_cell(entry.file),
        ],
        places[entry.label],
    )
