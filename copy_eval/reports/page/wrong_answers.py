"""The page's tables of wrong answers: what a model says instead of the right number."""

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.page.models import Model, model_cell
from copy_eval.reports.page.sortable import Cell, Column, Row, Table

_KINDS = {
    "other_entry": "Another\nentry's number",
    "elsewhere": "A fragment\nof the book",
    "not_in_book": "Nowhere\nin the book",
}


def wrong_answers_tables(wrong_answers: pd.DataFrame, titles: dict[str, str], models: list[Model]) -> list[Table]:
    """Return a table for each series of ``Report.wrong_answers``: a row a model and length, a column a kind.

    Args:
        wrong_answers: the frame of the report.
        titles: of the series.
        models: of the page, in the order of the rows.
    """
    columns = [Column("Model", is_text=True), *map(Column, ("Length", "Prompts", "Wrong", *_KINDS.values()))]
    of_label = {model.label: model for model in models}
    tables = []
    for series, rows in wrong_answers.groupby("series"):
        in_order = sorted(rows.itertuples(), key=lambda row: (of_label[row.label].place, row.length))
        caption = f"{titles[str(series)]}: wrong answers, and what share of them in percent is of each kind"
        tables.append(Table(caption, columns, [_row(row, of_label[row.label]) for row in in_order]))
    return tables


def _row(entry: tuple, model: Model) -> Row:
    wrong = Cell(OVER_CONTEXT, None) if entry.over_context else Cell(str(entry.wrong), int(entry.wrong))
    shares = [getattr(entry, kind) for kind in _KINDS]
    cells = [Cell("", None) if pd.isna(share) else Cell(f"{100 * share:.1f}", float(share), bar=float(share)) for share in shares]
    return Row([model_cell(model), Cell(str(entry.length), entry.length), Cell(str(entry.n), entry.n), wrong, *cells], model.place)
