"""Accuracy against length: a line for each model, with its 95 % interval as a band."""

import json
from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
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
    ACCURACY_TICKS,
    HEIGHT,
    WIDTH,
    Drawing,
    accuracy_axis,
    chart_title,
    describe_intervals,
    interval_texts,
    only_shown,
    tooltips,
)
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED, shorten, unchecked_labels
from copy_eval.reports.frames.series import describe_prompts, is_linear, length_names, length_unit
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.statistics.memory_bounds import BOUND_NOTE, bound_curves
from copy_eval.reports.writing.formats import human_size

_STRIP = -0.12
"""Height at which a length over the context is marked: below the axis, where no accuracy can be."""

_CHARACTERS = 50
"""Characters of tick labels that the length axis has room for."""

_CROSS = "M-1-1L1 1M-1 1L1-1"


def draw_accuracy(accuracy: pd.DataFrame, styles: Mapping[str, Style] | None = None) -> Drawing:
    """Draw accuracy against length, with the 95 % intervals as bands, and as a bar where a model has one length only.

    The axis is logarithmic unless a bucket begins at 0. A length over a model's context has no point on its line, but a
    mark in a strip of its own below the axis. The lengths of the training are shaded, and what a model's memory allows
    at most is a dotted line, for models of which that is known and where it is below 100 %. The chart's parameter
    ``shown`` holds the labels that are drawn.

    Args:
        accuracy: rows of one series, as ``accuracy.accuracy_by_length`` or ``seeds.average_seeds`` returns them.
        styles: of the labels, where others than those of this frame count.
    """
    styles = styles or model_styles(accuracy)
    labels = list(accuracy["label"].unique())
    names = _legend_names(accuracy)
    lengths = length_names(accuracy)
    unit, metric = length_unit(accuracy), metric_title(accuracy["metric"].iloc[0])
    # A band needs two lengths.
    alone = accuracy.groupby("label")["accuracy"].transform("count") == 1
    bounds = bound_curves(accuracy, is_linear(accuracy["length"]))
    frame = accuracy[["label", "length", "accuracy", "low", "high", "n", "over_context"]].assign(
        name=accuracy["label"].map(names),
        bucket=accuracy["length"].map(lengths),
        interval=interval_texts(accuracy),
        **look_columns(accuracy["label"], styles),
        aside=_asides(accuracy),
        alone=alone,
    )
    colour = model_colour("name:N", {names[label]: styles[label] for label in labels})
    has_strip = bool(accuracy["over_context"].any())
    axis = accuracy_axis(metric, 2 * _STRIP, **_STRIP_TICKS) if has_strip else accuracy_axis(metric)
    scale = _length_scale(accuracy["length"])
    x = alt.X("length:Q", title=unit, scale=scale, axis=_length_axis(lengths))
    told = tooltips(unit, metric)

    if len(bounds):
        named = bounds.assign(name=bounds["label"].map(names), over_context=False, alone=False)
        frame = pd.concat([frame, named], ignore_index=True)
    base = alt.Chart().encode(x=x, color=colour)
    scored = base.transform_filter("isValid(datum.accuracy)").encode(y=alt.Y("accuracy:Q", **axis))
    layers = [
        # Bands grow fainter the more of them lie on top of each other.
        scored.mark_area(opacity=alt.expr("min(0.16, 0.9 / length(shown))")).encode(y="low:Q", y2="high:Q"),
        draw_lines(scored),
        draw_points(scored, told),
    ]
    if alone.any():
        bars = scored.transform_filter("datum.alone").mark_rule(strokeWidth=2, opacity=0.5)
        layers.insert(1, bars.encode(y="low:Q", y2="high:Q", tooltip=told))
    if has_strip:
        refused = base.transform_filter("datum.over_context")
        layers += [
            alt.Chart().mark_rule(color="#8a8f96").encode(y=alt.datum(_STRIP / 2)),
            refused.mark_point(shape=_CROSS, size=40, strokeWidth=2, opacity=1, xOffset=alt.expr("datum.aside")).encode(
                y=alt.datum(_STRIP), tooltip=told[:2]
            ),
        ]
    if len(bounds):
        limits = base.transform_filter("isValid(datum.bound)").encode(y=alt.Y("bound:Q", **axis))
        layers.append(limits.mark_line(strokeWidth=1.2, strokeDash=[1, 2]))
    learned = _learned_lengths(accuracy)
    if len(learned):
        # Vega's own clipping gives an SVG other ids each time.
        shade = alt.Chart(learned.clip(*scale.domain)).mark_rect(color="#8a8f96", opacity=0.15)
        layers.insert(0, shade.encode(x=alt.X("trained_from:Q", title=unit), x2="trained_to:Q"))
    shapes = "bars" if alone.all() else "bands and bars" if alone.any() else "bands"
    about = f"{describe_prompts(accuracy)}, {shapes} are {describe_intervals(accuracy)}"
    title = chart_title(accuracy["title"].iloc[0], ". ".join([about, *accuracy_notes(accuracy)]))
    return only_shown(alt.layer(*layers, data=frame).properties(width=WIDTH, height=HEIGHT, title=title), labels)


def accuracy_notes(accuracy: pd.DataFrame) -> list[str]:
    """Return what there is to know about a chart of these rows that has a bound or a shade, in sentences."""
    notes = []
    if len(bound_curves(accuracy, is_linear(accuracy["length"]))):
        notes.append(f"Dotted: {BOUND_NOTE}")
    if len(_learned_lengths(accuracy)):
        notes.append("Shaded: the lengths of the training")
    return notes


def _legend_names(accuracy: pd.DataFrame) -> dict[str, str]:
    """Return what the legend calls each label: short, with the size, and marked where the context was not checked."""
    models = accuracy.drop_duplicates("label")
    short = shorten(models["label"], LEGEND_WIDTH)
    unchecked = unchecked_labels(accuracy)
    names = {}
    for label, parameters in zip(models["label"], models["parameters"], strict=True):
        size = f" ({human_size(parameters)})" if pd.notna(parameters) else ""
        names[label] = short[label] + size + (f" [{CONTEXT_NOT_CHECKED}]" if label in unchecked else "")
    return names


def _learned_lengths(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the ranges of lengths that models were trained on, those that reach into the chart."""
    ranges = accuracy[["trained_from", "trained_to"]].dropna().drop_duplicates().astype(float)
    shortest, longest = accuracy["length"].min(), accuracy["length"].max()
    return ranges[(ranges["trained_to"] >= shortest) & (ranges["trained_from"] <= longest)]


def _asides(accuracy: pd.DataFrame) -> pd.Series:
    """Return how many pixels aside each mark stands: those of several models at one length stand side by side."""
    of_length = accuracy[accuracy["over_context"]].groupby("length")["label"]
    count = of_length.transform("size")
    return (of_length.cumcount() - (count - 1) / 2) * np.minimum(8, 40 / count)


def _length_scale(lengths: pd.Series) -> alt.Scale:
    shortest, longest = float(lengths.min()), float(lengths.max())
    if is_linear(lengths):
        margin = 0.04 * (longest - shortest) or 1
        return alt.Scale(domain=[shortest - margin, longest + margin], nice=False, zero=False)
    margin = (longest / shortest) ** 0.04 if longest > shortest else 1.5
    return alt.Scale(type="log", base=2, domain=[shortest / margin, longest * margin], nice=False)


def _length_axis(names: Mapping[int, str]) -> alt.Axis:
    """Return an axis that calls the lengths by their names, at an angle where they would not fit beside each other."""
    lengths = np.array(list(names), float)
    places = lengths if is_linear(pd.Series(lengths)) else np.log2(lengths)
    gaps = np.diff(places) / max(np.ptp(places), 1e-9)
    crowded = len(gaps) > 0 and gaps.min() * _CHARACTERS < max(map(len, names.values())) + 1
    # JSON, so that a name in Vega's expression can be nothing but text.
    shown = json.dumps({str(length): name for length, name in names.items()})
    return alt.Axis(
        values=list(names),
        labelExpr=f"{shown}[datum.value]",
        labelAngle=-45 if crowded else 0,
        labelOverlap="greedy",
        labelSeparation=4,
    )


_STRIP_TICKS = {
    "values": [_STRIP, *ACCURACY_TICKS],
    "labelExpr": f"datum.value < 0 ? {json.dumps(OVER_CONTEXT.split(' '))} : format(datum.value, '.0%')",
    "gridOpacity": alt.condition("datum.value < 0", alt.value(0), alt.value(1)),
}
