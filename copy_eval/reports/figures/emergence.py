"""Accuracy against training step: when does copying emerge, and up to which length?"""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.common import figure_settings, format_accuracy_axis, wrap_title
from copy_eval.reports.figures.fonts import legend_names
from copy_eval.reports.figures.styles import length_colours
from copy_eval.reports.frames.series import describe_prompts, length_names, length_unit
from copy_eval.reports.frames.training import trajectories, trajectory_names
from copy_eval.reports.statistics.accuracy import metric_title


def plot_emergence(accuracy: pd.DataFrame) -> Figure:
    """Draw accuracy against training step: a panel for each model, a line with its 95 % band for each length.

    The axis of steps is logarithmic; where a sweep has step 0 it is linear up to step 1. Lengths over the context have
    no line, and the legend says so.

    Args:
        accuracy: rows of one series, as ``training.training_curves`` returns them.
    """
    trajectory = trajectories(accuracy)
    names_of_models = trajectory_names(accuracy)
    short = legend_names(names_of_models.values())
    names = length_names(accuracy)
    colours = length_colours(names)
    with figure_settings():
        figure = Figure(figsize=(7.2, 3.4 * len(names_of_models) + 0.3), layout="constrained")
        panels = figure.subplots(len(names_of_models), 1, sharex=True, squeeze=False).flat
        for axes, (key, model) in zip(panels, names_of_models.items(), strict=True):
            rows = accuracy[trajectory == key]
            for length, curve in ((int(str(key)), curve) for key, curve in rows.groupby("length")):
                refused = f" ({OVER_CONTEXT})" if curve["over_context"].all() else ""
                _draw_curve(axes, curve.dropna(subset="accuracy"), colours[length], names[length] + refused)
            _format_axes(axes, rows)
            axes.set_title(short[model])
            axes.legend(title=length_unit(accuracy["task"].iloc[0]), loc="upper left", bbox_to_anchor=(1.01, 1))
        figure.axes[-1].set_xlabel("training step")
        about = f"{describe_prompts(accuracy)}, bands are 95 % intervals"
        figure.suptitle(wrap_title(accuracy["title"].iloc[0], about, figure), x=0.01, ha="left", fontsize="medium")
    return figure


def _draw_curve(axes: Axes, curve: pd.DataFrame, colour: str, name: str) -> None:
    points = curve.sort_values("step")
    steps, shares, low, high = (points[column].to_numpy(float) for column in ("step", "accuracy", "low", "high"))
    axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(steps, shares, color=colour, marker="o", markersize=3, linewidth=1.5, label=name)


def _format_axes(axes: Axes, rows: pd.DataFrame) -> None:
    if rows["step"].min() > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    format_accuracy_axis(axes)
    axes.set_ylabel(metric_title(rows["metric"].iloc[0]))
