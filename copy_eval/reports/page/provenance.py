"""Where the page's numbers come from: the prompts of each task and the files of each run."""

import pandas as pd

from copy_eval.reports.page.models import Model
from copy_eval.reports.page.sortable import Cell, Column, Row, Table


def prompts_table(accuracy: pd.DataFrame) -> Table:
    """Return a row for each set of prompts: task, version, fingerprint, and how many models answered it."""
    key = ["task", "length", "task_name", "text", "task_version", "prompts_sha256", "n"]
    sets = accuracy.groupby(key, dropna=False, as_index=False)["label"].nunique()
    return Table(
        caption="Prompts by task: the version of the task, and the fingerprint of the prompts",
        columns=[
            Column("Task", is_text=True),
            Column("Version", is_text=True),
            Column("Prompts"),
            Column("Models"),
            Column("Text", is_text=True),
            Column("Fingerprint", is_text=True),
        ],
        rows=[
            Row(
                [
                    _text_cell(row.task_name),
                    _text_cell(row.task_version),
                    Cell(f"{row.n:,}", int(row.n)),
                    Cell(str(row.label), row.label),
                    _text_cell(row.text),
                    _text_cell(row.prompts_sha256),
                ]
            )
            for row in sets.itertuples()
        ],
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
        rows=[
            Row(
                [
                    _text_cell(row.label),
                    _text_cell(row.adapter),
                    _text_cell(f"{row.date:%Y-%m-%d %H:%M}"),
                    Cell(str(row.tasks), row.tasks),
                    _text_cell(row.file),
                ],
                places[row.label],
            )
            for row in files.itertuples()
        ],
    )


def _text_cell(text: object) -> Cell:
    return Cell("", None) if pd.isna(text) else Cell(str(text), str(text))
