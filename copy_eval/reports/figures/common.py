"""What the figures have in common: how models, steps and texts are drawn, and how a figure becomes files."""

import io
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from copy_eval.reports.figures.fonts import drawable, families
from copy_eval.reports.frames.training import trajectories

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


def few_steps(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """Of a model with more than ``most`` training steps keep so many, spread evenly over them and with the last one."""
    keep = rows["step"].isna()
    of_steps = rows.dropna(subset="step")
    for _, steps in of_steps.groupby(trajectories(of_steps))["step"]:
        known = np.unique(steps.to_numpy(int))
        places = np.linspace(len(known) - 1, 0, min(most, len(known))).round().astype(int)
        keep |= rows.index.isin(steps.index[steps.isin(known[places])])
    return rows[keep]


def format_accuracy_axis(axes: Axes) -> None:
    """Let the vertical axis run from 0 % to 100 %."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_yticks(np.linspace(0, 1, 6))


def human_size(parameters: object) -> str:
    """Write a number of parameters for people, "1.6M"; empty where it is missing."""
    if pd.isna(parameters):  # type: ignore[call-overload]
        return ""
    number = float(parameters)  # type: ignore[arg-type]
    for unit in ("", "K", "M", "B"):
        if number < 999.5 or unit == "B":
            break
        number /= 1000
    return f"{number:.3g}{unit}" if number < 1000 else f"{number:.0f}{unit}"
