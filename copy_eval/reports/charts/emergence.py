"""Accuracy against training step, when copying emerges: a panel for each model, a line for each length."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.charts.colours import length_colours
from copy_eval.reports.charts.theme import (
    HEIGHT,
    WIDTH,
    Drawing,
    accuracy_axis,
    chart_title,
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


def draw_emergence(accuracy: pd.DataFrame) -> Drawing:
    """Draw accuracy against training step, with the 95 % intervals as bands.

    The axis of steps is logarithmic; where a sweep has step 0 it is that of log(1 + step). Lengths over the context
    have no line, and the legend says so.

    Args:
        accuracy: rows of one series, as ``series.training_curves`` returns them.
    """
    models = trajectory_names(accuracy)
    short = shorten(models.values())
    # Lengths have one colour in all panels.
    colours = length_colours(length_names(accuracy))
    steps = step_axis(accuracy["step"], "training step")
    title, about = accuracy["title"].iloc[0], f"{describe_prompts(accuracy)}, bands are 95 % intervals"
    panels = {
        short[models[str(key)]]: _draw_panel(rows, colours, steps)
        for key, rows in accuracy.groupby(trajectories(accuracy), sort=False)
    }
    if len(panels) == 1:
        [(model, panel)] = panels.items()
        return panel.properties(title=chart_title(f"{title}: {model}", about))
    named = [panel.properties(title=alt.TitleParams(text=model, fontSize=11)) for model, panel in panels.items()]
    return alt.vconcat(*named, title=chart_title(title, about), spacing=30).resolve_scale(color="independent")


def _draw_panel(rows: pd.DataFrame, colours: Mapping[int, str], steps: alt.X) -> Drawing:
    refused = rows.groupby("length")["over_context"].all()
    names = {
        length: name + (f" ({OVER_CONTEXT})" if refused[length] else "") for length, name in length_names(rows).items()
    }
    unit, metric = length_unit(rows), metric_title(rows["metric"].iloc[0])
    frame = rows[["label", "step", "length", "accuracy", "low", "high", "n"]].assign(
        bucket=rows["length"].map(names), interval=interval_texts(rows)
    )
    scale = alt.Scale(domain=list(names.values()), range=[colours[length] for length in names])
    colour = alt.Color("bucket:N", title=unit, scale=scale, legend=alt.Legend(symbolOpacity=1))
    about = [*tooltips(unit, metric), alt.Tooltip("step:Q", title="training step", format=",")]
    base = alt.Chart().encode(x=steps, y=alt.Y("accuracy:Q", **accuracy_axis(metric)), color=colour)
    layers = (
        base.mark_area(opacity=min(0.16, 0.5 / len(names))).encode(y="low:Q", y2="high:Q"),
        base.mark_line(strokeWidth=2),
        base.mark_point(filled=True, size=35, opacity=1).encode(tooltip=about),
    )
    scored = alt.layer(*layers, data=frame).transform_filter("isValid(datum.accuracy)")
    return scored.properties(width=WIDTH, height=HEIGHT)
