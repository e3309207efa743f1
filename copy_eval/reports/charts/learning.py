"""Accuracy against training examples: a panel for each length, a line for each training, averaged over its seeds."""

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
    describe_intervals,
    interval_texts,
    step_axis,
    tooltips,
)
from copy_eval.reports.frames.results import shorten
from copy_eval.reports.frames.series import (
    describe_prompts,
    length_names,
    length_unit,
    trajectories,
    trajectory_names,
)
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.statistics.sample_efficiency import THRESHOLD

_ABREAST = 2


def draw_learning(lines: pd.DataFrame) -> Drawing:
    """Draw accuracy against training examples, with a band from the lowest to the highest seed.

    Args:
        lines: rows of one series, as ``sample_efficiency.learning_curves`` returns them.
    """
    names = trajectory_names(lines)
    short = shorten(names.values(), LEGEND_WIDTH)
    keys = trajectories(lines)
    lines = lines.assign(training=keys.map(names).map(short))
    # A training looks as its last checkpoint would beside those of the others.
    last = lines.sort_values("step", kind="stable").drop_duplicates("training", keep="last")
    of_label = model_styles(last)
    styles = {training: of_label[label] for training, label in zip(last["training"], last["label"], strict=True)}
    in_order = {training: styles[training] for training in lines["training"].unique()}
    examples = step_axis(lines["step"], "training examples")
    title = lines["title"].iloc[0]
    about = f"{describe_prompts(lines)}, bands are {describe_intervals(lines)}. Dashed: {THRESHOLD:.0%}"
    panels = {
        name: _draw_panel(lines[lines["length"] == length], in_order, examples)
        for length, name in length_names(lines).items()
    }
    unit = length_unit(lines)
    if len(panels) == 1:
        [(name, panel)] = panels.items()
        return panel.properties(title=chart_title(f"{title}: {name} {unit}", about))
    named = [panel.properties(title=alt.TitleParams(f"{name} {unit}", fontSize=11)) for name, panel in panels.items()]
    return alt.concat(*named, columns=_ABREAST, title=chart_title(title, about), spacing=30)


def _draw_panel(rows: pd.DataFrame, styles: Mapping[str, Style], examples: alt.X) -> Drawing:
    unit, metric = length_unit(rows), metric_title(rows["metric"].iloc[0])
    frame = rows[["label", "training", "step", "length", "accuracy", "low", "high", "n"]].assign(
        bucket=rows["length"].map(length_names(rows)),
        interval=interval_texts(rows),
        **look_columns(rows["training"], styles),
    )
    about = [*tooltips(unit, metric), alt.Tooltip("step:Q", title="training examples", format=",")]
    accuracy = alt.Y("accuracy:Q", **accuracy_axis(metric, grid=True))
    base = alt.Chart().encode(x=examples, y=accuracy, color=model_colour("training:N", styles))
    layers = (
        alt.Chart().mark_rule(color="#8a8f96", strokeDash=[4, 4]).encode(y=alt.datum(THRESHOLD)),
        base.mark_area(opacity=min(0.16, 0.9 / len(styles))).encode(y="low:Q", y2="high:Q"),
        draw_lines(base),
        draw_points(base, about),
    )
    scored = alt.layer(*layers, data=frame).transform_filter("isValid(datum.accuracy)")
    return scored.properties(width=WIDTH, height=HEIGHT)
