"""The models of the page, in the order of their checkboxes and rows."""

from dataclasses import dataclass

import pandas as pd

from copy_eval.reports.page.sortable import Cell


@dataclass(frozen=True)
class Model:
    """A model of the page.

    Args:
        place: its place among the models; the page's elements name the model by it.
        label: its name for people.
        colour: of its lines, as ``#RRGGBB``.
        dashes: of its lines, as SVG and plotly write them: "solid", or lengths of dashes and gaps such as "6px 3px".
    """

    place: int
    label: str
    colour: str
    dashes: str


def models_of(leaderboard: pd.DataFrame) -> list[Model]:
    """Return the models in the order of ``Report.leaderboard``."""
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]
    return [Model(place, label, colours[place % 6], "solid") for place, label in enumerate(leaderboard["label"])]


def model_cell(model: Model) -> Cell:
    """Return the cell that names a row by its model."""
    return Cell(model.label, model.label)
