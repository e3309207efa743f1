"""The page's leaderboard: what sums up each model's curves."""

from typing import Any

import pandas as pd

from copy_eval.reports.page.models import Model, model_cell
from copy_eval.reports.page.sortable import Cell, Column, Row, Table
from copy_eval.reports.statistics.summaries import NOT_REACHED
from copy_eval.reports.writing.formats import human_size


def leaderboard_table(board: pd.DataFrame, titles: dict[str, str], models: list[Model]) -> Table:
    """Lay out the area under the curve and the effective lengths of each model, a group of columns a series.

    Args:
        board: ``Report.leaderboard``; its accuracies stand in the tables of the series.
        titles: of the series, in the order of the groups.
        models: a model a row of ``board``.
    """
    columns = [Column("Model", is_text=True), Column("Rank"), Column("Score")]
    columns += [Column("Architecture", is_text=True), Column("Parameters")]
    for _ in titles:
        columns += [Column("Area", starts_group=True), *(Column(f"Length\nat {percent} %") for percent in (90, 50))]
    rows = []
    for model, (_, entry) in zip(models, board.iterrows(), strict=True):
        sums = [cell for series in titles for cell in _sums(entry, series)]
        rows.append(Row([model_cell(model), *_about(entry), *sums], model.place))
    caption = "Area under the curve in percent, with the lengths that it covers, and effective lengths, by task"
    return Table(caption, columns, rows, groups=[("", 5), *((title, 3) for title in titles.values())])


def _about(entry: pd.Series) -> list[Cell]:
    architecture, parameters = entry["architecture"], entry["parameters"]
    return [
        # Sorted from the greatest first, a rank comes as the best last: the smallest number is the greatest rank.
        Cell(str(entry["rank"]), -int(entry["rank"])),
        Cell(f"{100 * entry['score']:.1f}", float(entry["score"])),
        Cell("", None) if pd.isna(architecture) else Cell(architecture, architecture),
        Cell("", None) if pd.isna(parameters) else Cell(human_size(parameters), int(parameters)),
    ]


def _sums(entry: pd.Series, series: str) -> list[Cell]:
    area, covered = entry[f"{series}_area"], entry[f"{series}_area_lengths"]
    shown = Cell("", None) if pd.isna(area) else Cell(f"{100 * area:.1f}", float(area), note=covered)
    return [shown, *(_effective_length(entry[f"{series}_effective_length_{percent}"]) for percent in (90, 50))]


def _effective_length(length: Any) -> Cell:
    if isinstance(length, int):
        return Cell(str(length), length)
    if length == NOT_REACHED:
        return Cell(NOT_REACHED, 0)
    return Cell("" if pd.isna(length) else str(length), None)
