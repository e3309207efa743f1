"""Where the page's numbers come from: the prompts of each task and the files of each run."""

from typing import Any

import pandas as pd

from copy_eval.reports.page.models import Model
from copy_eval.reports.page.sortable import Cell, Column, Row, Table


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
    places = {model.label: model.place for model in models}
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


def _text_cell(text: Any) -> Cell:
    return Cell("", None) if pd.isna(text) else Cell(str(text), str(text))
