"""Accuracy by the length of the phonebook and the place of the entry in it: a panel for each model."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.drawing import figure_settings, legend_names, wrap_title
from copy_eval.reports.frames.series import few_steps, length_unit

_COLOURS = colormaps["Blues"]

_ABREAST = 2

_CELL = (0.5, 0.36)
"""Width and height in inches: room for "100%" and "n=200"."""

_MARGINS = {"left": 1.15, "right": 0.75, "top": 0.7, "bottom": 0.5}

_GAP = 0.3
"""Inches around and between the panels; with all sizes known, no layout engine need measure hundreds of texts."""


def plot_depths(depths: pd.DataFrame) -> Figure:
    """Draw a heat map for each model; each cell says its exact match and how many prompts that rests on.

    Of a model with several training steps the last is drawn.

    Args:
        depths: rows of one series, as ``accuracy.accuracy_by_depth`` returns them.
    """
    depths = few_steps(depths, 1)
    labels = list(depths["label"].unique())
    lengths = [int(length) for length in sorted(depths["length"].unique())]
    parts = sorted(depths["depth_from"].unique())
    columns = min(_ABREAST, len(labels))
    rows = -(-len(labels) // columns)
    panel = (len(lengths) * _CELL[0], len(parts) * _CELL[1])
    width = max(columns * (panel[0] + _GAP) - _GAP + _MARGINS["left"] + _MARGINS["right"], 5)
    height = rows * (panel[1] + _GAP) - _GAP + _MARGINS["top"] + _MARGINS["bottom"]
    with figure_settings():
        figure = Figure(figsize=(width, height))
        names = legend_names(labels)
        for place, label in enumerate(labels):
            row, column = divmod(place, columns)
            left = _MARGINS["left"] + column * (panel[0] + _GAP)
            top = _MARGINS["top"] + row * (panel[1] + _GAP)
            bottom = height - top - panel[1]
            axes = figure.add_axes((left / width, bottom / height, panel[0] / width, panel[1] / height))
            _draw_panel(axes, depths[depths["label"] == label], lengths, parts)
            axes.set_title(names[label], pad=3)
            axes.tick_params(labelleft=column == 0, labelbottom=place + columns >= len(labels))
        about = "exact match by the place of the answer in the prompt; n: prompts"
        title = wrap_title(depths["title"].iloc[0], about, figure)
        figure.text(0.1 / width, 1 - 0.08 / height, title, va="top")
        figure.text((_MARGINS["left"] + panel[0] / 2) / width, 0.1 / height, length_unit(depths), ha="center")
        _add_scale(figure, panel[1])
    return figure


def _add_scale(figure: Figure, panel_height: float) -> None:
    """Put the scale of the colours beside the first row of panels."""
    width, height = figure.get_size_inches()
    bottom = height - _MARGINS["top"] - panel_height
    axes = figure.add_axes((1 - 0.6 / width, bottom / height, 0.12 / width, panel_height / height))
    scale = figure.colorbar(ScalarMappable(cmap=_COLOURS), cax=axes, format=PercentFormatter(1))
    scale.outline.set_visible(False)


def _draw_panel(axes: Axes, cells: pd.DataFrame, lengths: list[int], parts: list[float]) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=8)
    axes.set(xlim=(-0.5, len(lengths) - 0.5), ylim=(len(parts) - 0.5, -0.5))
    axes.set_xticks(range(len(lengths)), labels=[str(length) for length in lengths])
    ends = [*(f"{part:.0%}" for part in parts[1:]), "end"]
    starts = ["start", *ends[:-1]]
    axes.set_yticks(range(len(parts)), labels=[f"{start} to {end}" for start, end in zip(starts, ends, strict=True)])
    for length, part, accuracy, n in cells[["length", "depth_from", "accuracy", "n"]].itertuples(index=False):
        _draw_cell(axes, lengths.index(length), parts.index(part), accuracy, n)


def _draw_cell(axes: Axes, column: int, row: int, accuracy: float, n: int) -> None:
    corner = (column - 0.48, row - 0.48)
    if pd.isna(accuracy):
        face = Rectangle(corner, 0.96, 0.96, facecolor="0.94", edgecolor="0.8", hatch="///", linewidth=0)
        text, colour = OVER_CONTEXT.replace(" ", "\n"), "0.25"
    else:
        face = Rectangle(corner, 0.96, 0.96, facecolor=_COLOURS(float(accuracy)), linewidth=0)
        text, colour = f"{accuracy:.0%}\nn={n}", "white" if accuracy > 0.55 else "black"
    axes.add_artist(face)
    axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)
