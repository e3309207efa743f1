"""What the figures have in common: their settings, titles and axes, and how a figure becomes files."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from copy_eval.reports.figures.fonts import drawable, families

_SETTINGS: Any = {
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "copy-eval",  # the same report gives the same file
}


@contextmanager
def figure_settings() -> Iterator[None]:
    """Apply the settings of our figures, to drawing and saving alike, and leave those of the process alone."""
    with mpl.rc_context(_SETTINGS | {"font.family": families()}):
        yield


def to_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Return ``name.png`` and ``name.svg`` with their content."""
    files = {}
    with figure_settings():
        for suffix, metadata in (("png", {}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
            files[f"{name}.{suffix}"] = buffer.getvalue()
            figure.set_layout_engine("none")  # the first drawing has laid it out
    return files


def wrap_title(title: str, about: str, figure: Figure) -> str:
    """Return a title, broken where it would leave the figure, and below it what is to be known about the drawing."""
    return f"{textwrap.fill(drawable(title), int(figure.get_figwidth() * 12.5))}\n{about}"


def format_accuracy_axis(axes: Axes) -> None:
    """Let the vertical axis run from 0 % to 100 %."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_yticks(np.linspace(0, 1, 6))
