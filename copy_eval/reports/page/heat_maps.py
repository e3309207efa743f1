"""The page's heat maps: exact match by the place of the answer in the phonebook and the length of the book."""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import to_hex

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.drawing import relative_luminance
from copy_eval.reports.page.models import Model


@dataclass(frozen=True)
class Square:
    """A cell of a heat map: exact match, prompts, colour, and the colour of the text; ``note`` says all on hover."""

    text: str
    prompts: int
    note: str
    colour: str
    ink: str


@dataclass(frozen=True)
class HeatMap:
    """The heat map of one model: a table with a column a length and a row a part of the book.

    Args:
        model: whose it is.
        lengths: of the columns.
        rows: the part of the book, as text, and a square a length, None where there is no prompt.
    """

    model: Model
    lengths: list[int]
    rows: list[tuple[str, list[Square | None]]]


def heat_maps(depths: pd.DataFrame, titles: dict[str, str], models: list[Model]) -> dict[str, list[HeatMap]]:
    """Return the heat maps of ``Report.depths`` under the title of their series, one for each model with samples.

    Args:
        depths: the frame of the report.
        titles: of the series.
        models: of the page, in the order of the maps.
    """
    maps: dict[str, list[HeatMap]] = {}
    for series, rows in depths.groupby("series"):
        of_label = dict(list(rows.groupby("label")))
        present = [model for model in models if model.label in of_label]
        maps[titles[str(series)]] = [_heat_map(of_label[model.label], model) for model in present]
    return maps


def _heat_map(depths: pd.DataFrame, model: Model) -> HeatMap:
    lengths = sorted(depths["length"].unique())
    squares: dict[tuple[float, float], dict[int, Square]] = defaultdict(dict)
    cell: Any
    for cell in depths.sort_values("depth_from").itertuples():
        squares[cell.depth_from, cell.depth_to][cell.length] = _square(cell)
    rows = [
        (f"{100 * start:.0f} to {100 * end:.0f} %", [of_length.get(length) for length in lengths])
        for (start, end), of_length in squares.items()
    ]
    return HeatMap(model, lengths, rows)


def _square(cell: Any) -> Square:
    if pd.isna(cell.accuracy):
        return Square("-", cell.n, OVER_CONTEXT, "transparent", "inherit")
    colour = to_hex(colormaps["Blues"](cell.accuracy))
    note = f"{cell.accuracy:.1%} of {cell.n} prompts, 95 % interval {cell.low:.1%} to {cell.high:.1%}"
    return Square(f"{100 * cell.accuracy:.0f}", cell.n, note, colour, _ink(colour))


def _ink(colour: str) -> str:
    """Return black or white, whichever is easier to read on a colour: one of them has a contrast of at least 4.5."""
    # The contrasts to black and to white are equal at 0.179.
    return "#000000" if relative_luminance(colour) > 0.179 else "#ffffff"
