"""Curves of accuracy with confidence bands: against length, a line a model; against training step, a line a length."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullLocator
from matplotlib.transforms import offset_copy

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.figures.drawing import (
    Style,
    figure_settings,
    format_accuracy_axis,
    legend_names,
    length_colours,
    model_styles,
    wrap_title,
)
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED, unchecked_labels
from copy_eval.reports.frames.series import (
    describe_prompts,
    few_steps,
    is_linear,
    length_names,
    length_unit,
    trajectories,
    trajectory_names,
)
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.writing.formats import human_size

_STEPS = 4
"""Training steps of one model that a plot shows at most."""

_STRIP = -0.1
"""Height at which a length over the context is marked: below the axis, where no accuracy can be."""

_CHARACTERS = 50
"""Characters of tick labels that the length axis has room for."""

_LEGEND_INSIDE = 4
"""Models up to which the legend stands inside the axes."""


def plot_accuracy(accuracy: pd.DataFrame) -> Figure:
    """Draw accuracy against length, with the 95 % intervals as bands.

    The axis is logarithmic unless a bucket begins at 0. A length over a model's context has no point on its line, but a
    mark in a strip of its own below the axis. Of a model with many training steps some are drawn.

    Args:
        accuracy: rows of one series, as ``accuracy.accuracy_by_length`` returns them.
    """
    accuracy = few_steps(accuracy, _STEPS)
    styles = model_styles(accuracy)
    outside = len(styles) > _LEGEND_INSIDE
    with figure_settings():
        figure = Figure(figsize=(7.6 if outside else 6, 3.8), layout="constrained")
        axes = figure.subplots()
        for label, rows in accuracy.groupby("label", sort=False):
            style = styles[str(label)]
            look: dict[str, Any] = {"marker": style.marker, "markersize": 4, "dashes": style.dashes or (None, None)}
            _draw_curve(axes, rows.dropna(subset="accuracy"), "length", style.colour, **look)
        _format_length_axis(axes, accuracy)
        format_accuracy_axis(axes)
        _mark_over_context(axes, accuracy[accuracy["over_context"]], styles)
        axes.set_ylabel(metric_title(accuracy["metric"].iloc[0]))
        about = f"{describe_prompts(accuracy)}, bands are 95 % intervals"
        axes.set_title(wrap_title(accuracy["title"].iloc[0], about, figure))
        _add_legend(axes, accuracy, outside)
    return figure


def _format_length_axis(axes: Axes, accuracy: pd.DataFrame) -> None:
    names = length_names(accuracy)
    lengths = np.array(list(names), float)
    if not is_linear(accuracy["length"]):
        axes.set_xscale("log", base=2)
        lengths = np.log2(lengths)
    gaps = np.diff(lengths) / max(np.ptp(lengths), 1e-9)
    crowded = len(gaps) > 0 and gaps.min() * _CHARACTERS < max(map(len, names.values())) + 1
    axes.set_xticks(list(names), labels=list(names.values()), rotation=45 if crowded else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(length_unit(accuracy))


def _mark_over_context(axes: Axes, refused: pd.DataFrame, styles: dict[str, Style]) -> None:
    """Mark lengths that models cannot take; models with the same length stand side by side."""
    if refused.empty:
        return
    axes.set_ylim(bottom=2 * _STRIP + 0.03)
    axes.axhline(_STRIP / 2, color="0.6", linewidth=0.8)
    axes.text(
        0.01, _STRIP, f"{OVER_CONTEXT} \N{MULTIPLICATION SIGN}", transform=axes.get_yaxis_transform(), va="center",
        fontsize="small", color="0.35",
    )  # fmt: skip
    for length, rows in refused.groupby(refused["length"].astype(float)):
        axes.plot([length], [_STRIP], linestyle="none")  # so that the axis reaches it
        spacing = min(6.0, 30 / len(rows))
        for place, label in enumerate(rows["label"]):
            points_aside = spacing * (place - (len(rows) - 1) / 2)
            axes.plot(
                [length], [_STRIP], marker="x", markersize=4, color=styles[label].colour, linestyle="none",
                transform=offset_copy(axes.transData, axes.get_figure(root=True), points_aside, units="points"),
                clip_on=False,
            )  # fmt: skip


def _add_legend(axes: Axes, accuracy: pd.DataFrame, outside: bool) -> None:
    models = accuracy.drop_duplicates("label")
    short = legend_names(models["label"])
    unchecked = unchecked_labels(accuracy)
    texts = [
        (f"{short[label]} ({human_size(size)})" if pd.notna(size) else short[label])
        + (f"\n{CONTEXT_NOT_CHECKED}" if label in unchecked else "")
        for label, size in zip(models["label"], models["parameters"], strict=True)
    ]
    handles = axes.get_lines()[: len(texts)]
    above_strip = (0 - axes.get_ylim()[0]) / np.ptp(axes.get_ylim())
    where: dict[str, Any] = {"loc": "best", "bbox_to_anchor": (0, above_strip, 1, 1 - above_strip)}
    if outside:
        where = {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "borderaxespad": 0}
    axes.legend(handles, texts, ncols=1 + len(texts) // 20, handlelength=3, **where)


def plot_emergence(accuracy: pd.DataFrame) -> Figure:
    """Draw accuracy against training step: a panel for each model, a line with its 95 % band for each length.

    The axis of steps is logarithmic; where a sweep has step 0 it is linear up to step 1. Lengths over the context have
    no line, and the legend says so.

    Args:
        accuracy: rows of one series, as ``series.training_curves`` returns them.
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
                points = curve.dropna(subset="accuracy").sort_values("step")
                name = names[length] + refused
                _draw_curve(axes, points, "step", colours[length], marker="o", markersize=3, label=name)
            _format_training_axes(axes, rows)
            axes.set_title(short[model])
            axes.legend(title=length_unit(accuracy), loc="upper left", bbox_to_anchor=(1.01, 1))
        figure.axes[-1].set_xlabel("training step")
        about = f"{describe_prompts(accuracy)}, bands are 95 % intervals"
        figure.suptitle(wrap_title(accuracy["title"].iloc[0], about, figure), x=0.01, ha="left", fontsize="medium")
    return figure


def _format_training_axes(axes: Axes, rows: pd.DataFrame) -> None:
    if rows["step"].min() > 0:
        axes.set_xscale("log")
    else:
        axes.set_xscale("symlog", linthresh=1)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    format_accuracy_axis(axes)
    axes.set_ylabel(metric_title(rows["metric"].iloc[0]))


def _draw_curve(axes: Axes, points: pd.DataFrame, against: str, colour: str, **line: Any) -> None:
    """Draw a line with its band over the column ``against``; ``line`` is what matplotlib's ``plot`` takes."""
    places, shares, low, high = (points[name].to_numpy(float) for name in (against, "accuracy", "low", "high"))
    axes.fill_between(places, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.plot(places, shares, color=colour, linewidth=1.5, **line)
