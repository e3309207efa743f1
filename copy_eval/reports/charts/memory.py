"""Accuracy against the bytes that a model keeps of the prompt: what a larger memory buys, with a line for each model.

The state of a recurrent model has one size, so that its line goes straight down; the cache of a Transformer grows with
the length, and its line goes to the right.
"""

import json
import math
from collections.abc import Mapping

import altair as alt
import pandas as pd

from copy_eval.reports.charts.model_lines import (
    LEGEND_WIDTH,
    Style,
    draw_lines,
    draw_points,
    look_columns,
    model_colour,
    model_styles,
)
from copy_eval.reports.charts.theme import (
    HEIGHT,
    WIDTH,
    Drawing,
    accuracy_axis,
    chart_title,
    interval_texts,
    only_shown,
    tooltips,
)
from copy_eval.reports.frames.results import shorten
from copy_eval.reports.frames.series import length_names, length_unit
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.writing.formats import human_bytes


def draw_memory(rows: pd.DataFrame, styles: Mapping[str, Style] | None = None) -> Drawing:
    """Draw accuracy against memory; a number beside a point is the length, at the ends of each line.

    Args:
        rows: of one series, as ``memory_bounds.memory_by_length`` returns them.
        styles: of the labels, where others than those of this frame count.
    """
    styles = styles or model_styles(rows)
    labels = list(rows["label"].unique())
    names = shorten(labels, LEGEND_WIDTH)
    lengths = length_names(rows)
    unit, metric = length_unit(rows), metric_title(rows["metric"].iloc[0])
    scored = rows[rows["accuracy"].notna()].sort_values("length", kind="stable")
    of_label = scored.groupby("label")["length"]
    at_end = scored["length"] == of_label.transform("max")
    at_beginning = (scored["length"] == of_label.transform("min")) & ~at_end
    frame = scored[["label", "length", "accuracy", "n", "memory_bytes"]].assign(
        name=scored["label"].map(names),
        bucket=scored["length"].map(lengths),
        interval=interval_texts(scored),
        memory=scored["memory_bytes"].map(human_bytes),
        bound=["" if pd.isna(bound) else f"{bound:.1%}" for bound in scored["bound"]],
        **look_columns(scored["label"], styles),
        beginning=scored["length"].map(lengths).where(at_beginning, ""),
        end=scored["length"].map(lengths).where(at_end, ""),
    )
    colour = model_colour("name:N", {names[label]: styles[label] for label in labels})
    about = [
        *tooltips(unit, metric),
        alt.Tooltip("memory:N", title="memory"),
        alt.Tooltip("bound:N", title="what it allows at most"),
    ]
    domain = _domain(rows)
    scale = alt.Scale(type="log", base=2, domain=list(domain), nice=False, clamp=True)
    base = alt.Chart().encode(
        x=alt.X("memory_bytes:Q", title="bytes that the model keeps of the prompt", scale=scale, axis=_axis(*domain)),
        y=alt.Y("accuracy:Q", **accuracy_axis(metric)),
        color=colour,
    )
    layers = (
        draw_lines(base).encode(order="length:Q"),
        draw_points(base, about),
        # To either side, as both ends of a recurrent model's line may be one point.
        _once(base, "beginning").mark_text(align="right", dx=-7, dy=-7, fontSize=9.5).encode(text="beginning:N"),
        _once(base, "end").mark_text(align="left", dx=7, dy=-7, fontSize=9.5).encode(text="end:N"),
    )
    title = chart_title(rows["title"].iloc[0], f"against memory; the numbers at the ends of a line are {unit}")
    chart = alt.layer(*layers, data=frame).properties(width=WIDTH, height=HEIGHT, title=title)
    return only_shown(chart, labels)


def _once(base: alt.Chart, name: str) -> alt.Chart:
    """Leave out a text where a model of the same memory has the same one no more than a line of text above it."""
    beside = base.transform_window(
        sort=[alt.SortField("accuracy", order="descending")], groupby=["memory", name], above="lag(accuracy)"
    )
    return beside.transform_filter(f"!isValid(datum.above) || datum.above - datum.accuracy > {_TEXT_HEIGHT}")


_TEXT_HEIGHT = 0.04
"""On the axis of accuracies."""


def _domain(rows: pd.DataFrame) -> tuple[float, float]:
    """Return where the axis begins and ends; a model without any memory stands at one byte."""
    memory = rows["memory_bytes"].astype(float).clip(lower=1)
    margin = max((memory.max() / memory.min()) ** 0.06, 1.5)  # so that there is a power of two in any case
    return memory.min() / margin, memory.max() * margin


def _axis(first: float, last: float) -> alt.Axis:
    """Return an axis with powers of two, as 64 KiB; where it is short, Vega's own ticks would be those of tens."""
    exponents = range(math.ceil(math.log2(first)), math.floor(math.log2(last)) + 1)
    ticks = [2.0**exponent for exponent in exponents if exponent >= 0][:: 1 + len(exponents) // _TICKS]
    names = json.dumps({f"{tick:.0f}": human_bytes(tick) for tick in ticks})
    return alt.Axis(values=ticks, labelExpr=f"{names}[datum.value]", labelOverlap="greedy", labelSeparation=8)


_TICKS = 8
