"""Accuracy by the length of the phonebook and the place of the entry in it: a panel for each model."""

import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures import figure_settings, wrap_title
from copy_eval.reports.labels import shorten

_COLOURS = colormaps["Blues"]
_PANELS_ABREAST = 3
_CELL = (0.55, 0.42)
"""Width and height in inches: room for "100%" and "n=200"."""


def plot_depths(depths: pd.DataFrame) -> Figure:
    """Draw a heat map for each model; each cell says its exact match and how many prompts that rests on.

    Args:
        depths: rows of one series, as ``depths.accuracy_by_depth`` returns them.
    """
    labels = list(depths["label"].unique())
    lengths = [int(length) for length in sorted(depths["length"].unique())]
    parts = sorted(depths["depth_from"].unique())
    columns = min(_PANELS_ABREAST, len(labels))
    rows = -(-len(labels) // columns)
    width = columns * (len(lengths) * _CELL[0] + 0.35) + 1.6
    height = rows * (len(parts) * _CELL[1] + 0.45) + 1.2
    with figure_settings():
        figure = Figure(figsize=(width, height), layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat
        names = shorten(labels)
        for axes, label in zip(panels, labels, strict=False):
            _draw_panel(axes, depths[depths["label"] == label], lengths, parts)
            axes.set_title(names[label])
        for axes in list(panels)[len(labels) :]:
            axes.set_visible(False)
        figure.supxlabel("entries in the phonebook", fontsize="medium")
        figure.supylabel("place of the entry in the book", fontsize="medium")
        about = "exact match by the place of the entry that is asked for; n: prompts"
        figure.suptitle(wrap_title(depths["title"].iloc[0], about, figure), x=0.01, ha="left", fontsize="medium")
        scale = figure.colorbar(
            ScalarMappable(cmap=_COLOURS), ax=figure.axes, fraction=0.03, format=PercentFormatter(1)
        )
        scale.outline.set_visible(False)
    return figure


def _draw_panel(axes: Axes, cells: pd.DataFrame, lengths: list[int], parts: list[float]) -> None:
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
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
        face = Rectangle(corner, 0.96, 0.96, facecolor="0.94", edgecolor="0.8", hatch="////", linewidth=0)
        text, colour = OVER_CONTEXT.replace(" ", "\n"), "0.25"
    else:
        face = Rectangle(corner, 0.96, 0.96, facecolor=_COLOURS(float(accuracy)), linewidth=0)
        text, colour = f"{accuracy:.0%}\nn={n}", "white" if accuracy > 0.55 else "black"
    axes.add_artist(face)
    # The layout need not look at hundreds of texts that stay inside their cells.
    axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour, in_layout=False)
