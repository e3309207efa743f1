"""The page's tables of wrong answers: what a model says instead of the right number."""

from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.page.models import Model, model_cell
from copy_eval.reports.page.sortable import Cell, Column, Row, Table

_KINDS = {
    "other_entry": "Another\nentry's number",
    "elsewhere": "A fragment\nof the book",
    "not_in_book": "Nowhere\nin the book",
    "right_number": "Right number,\nother words",
}


def wrong_answers_tables(wrong_answers: pd.DataFrame, titles: dict[str, str], models: list[Model]) -> list[Table]:
    """Return a table for each series of ``Report.wrong_answers``: a row a model and length, a column a kind.

    Args:
        wrong_answers: the frame of the report.
        titles: of the series.
        models: of the page, in the order of the rows.
    """
    columns = [Column("Model", is_text=True), *map(Column, ("Length", "Prompts", "Wrong", *_KINDS.values()))]
    tables = []
    for series, rows in wrong_answers.sort_values("length").groupby("series"):
        of_label = dict(list(rows.groupby("label")))
        present = [model for model in models if model.label in of_label]
        entries = [_row(entry, model) for model in present for entry in of_label[model.label].itertuples()]
        caption = f"{titles[str(series)]}: wrong answers, and what share of them in percent is of each kind"
        tables.append(Table(caption, columns, entries))
    return tables


def _row(entry: Any, model: Model) -> Row:
    length, prompts = Cell(str(entry.length), entry.length), Cell(str(entry.n), entry.n)
    wrong = Cell(OVER_CONTEXT, None) if entry.over_context else _count(entry.wrong)
    shares = [_share(getattr(entry, kind)) for kind in _KINDS]
    return Row([model_cell(model), length, prompts, wrong, *shares], model.place)


def _count(wrong: Any) -> Cell:
    return Cell("n/a", None) if pd.isna(wrong) else Cell(str(wrong), wrong)


def _share(share: Any) -> Cell:
    return Cell("", None) if pd.isna(share) else Cell(f"{100 * share:.1f}", share, bar=share)
