"""How all charts look: fonts, titles, the axes of accuracies and training steps, and what a point says of itself."""

import textwrap
from typing import Any

import altair as alt
import pandas as pd

Drawing = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.VConcatChart
"""What a chart is made as: Altair's object, to be changed or saved."""

_INK, _RULE = "#1c1e21", "#e4e4df"

FONT = "DejaVu Sans, Noto Sans, sans-serif"
"""What these lack is looked up in every installed font."""

_CONFIG: dict[str, Any] = {
    "background": "white",
    "font": FONT,
    "axis": {
        "domainColor": _INK,
        "gridColor": _RULE,
        "labelColor": _INK,
        "tickColor": _INK,
        "titleColor": _INK,
        "labelFontSize": 10.5,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "axisY": {"domain": False, "ticks": False},
    "legend": {
        "labelColor": _INK,
        "labelFontSize": 10.5,
        "labelLimit": 0,  # a name that is cut could be another's
        "symbolSize": 100,
        "symbolOpacity": 1,
        "titleColor": _INK,
        "titleFontSize": 10.5,
        "titleFontWeight": "normal",
        "titleLimit": 0,
    },
    "title": {
        "anchor": "start",
        "color": _INK,
        "fontSize": 12,
        "fontWeight": "normal",
        "subtitleColor": "#5b6068",
        "subtitleFontSize": 10.5,
        "subtitlePadding": 4,
        "limit": 0,
        "offset": 12,
    },
    "view": {"stroke": None},
}
"""Black on white, for papers. The page has colours of its own, in the light and in the dark."""


def apply_theme(chart: Drawing) -> Drawing:
    """Return a chart with the look of the files; a chart that has it cannot become a layer or panel of another."""
    return chart.configure(**_CONFIG)


def only_shown(chart: Drawing, labels: list[str]) -> Drawing:
    """Return a chart of the labels that its parameter ``shown`` holds: these, until somebody changes it."""
    return chart.add_params(alt.param("shown", value=labels)).transform_filter("indexof(shown, datum.label) >= 0")


WIDTH, HEIGHT = 440, 280
"""Of a chart's axes, in pixels of 1/96 inch."""


def chart_title(title: str, about: str) -> alt.TitleParams:
    """Return a title, broken where it would leave the chart, and below it what is to be known about the drawing."""
    return alt.TitleParams(text=textwrap.wrap(title, 72), subtitle=textwrap.wrap(about, 84))


def accuracy_axis(title: str, lowest: float = -0.03, **axis: Any) -> dict[str, Any]:
    """Return a vertical axis from 0 % to 100 %, for ``alt.Y``, with room for marks at both ends.

    Args:
        title: of the axis.
        lowest: where it begins.
        axis: what to change of ``alt.Axis``.
    """
    scale = alt.Scale(domain=[lowest, 1.03], nice=False, zero=False)
    return {"title": title, "scale": scale, "axis": alt.Axis(**({"format": ".0%", "values": ACCURACY_TICKS} | axis))}


ACCURACY_TICKS = [0, 0.2, 0.4, 0.6, 0.8, 1]


def step_axis(steps: pd.Series, title: str) -> alt.X:
    """Return a logarithmic axis with these training steps; where they begin at 0, that of log(1 + step)."""
    first, last = int(steps.min()), int(steps.max())
    if first > 0:
        margin = (last / first) ** 0.03 if last > first else 1.5
        scale = alt.Scale(type="log", domain=[first / margin, last * margin], nice=False)
    else:
        margin = (last + 1) ** 0.03
        scale = alt.Scale(type="symlog", constant=1, domain=[1 / margin - 1, last * margin + 0.1], nice=False)
    axis = alt.Axis(
        values=sorted(steps.unique().tolist()),
        labelExpr="format(datum.value, '~s')",  # 1000 is 1k
        labelFlush=False,
        labelOverlap="greedy",
        labelSeparation=4,
    )
    return alt.X("step:Q", title=title, scale=scale, axis=axis)


def interval_texts(rows: pd.DataFrame) -> list[str]:
    """Return the intervals of rows as texts, "82.1% to 97.9%"; empty where there is none.

    Of a mean over seeds, the text says that it goes from the lowest to the highest of them.
    """
    seeds = rows.get("seeds", pd.Series(pd.NA, rows.index))
    return [
        "" if pd.isna(low) else f"{low:.1%} to {high:.1%}" + ("" if pd.isna(count) else f" (range of {count} seeds)")
        for low, high, count in zip(rows["low"], rows["high"], seeds, strict=True)
    ]


def describe_intervals(rows: pd.DataFrame) -> str:
    """Return what ``low`` and ``high`` of rows are: 95 % intervals, or, of means, the range of their seeds."""
    means = rows["seeds"].notna() if "seeds" in rows else pd.Series(False, rows.index)
    if means.all():
        return "the range of the seeds"
    return "95 % intervals" + (", of means the range of the seeds" if means.any() else "")


def tooltips(unit: str, metric: str) -> list[alt.Tooltip]:
    """Return what a point says of itself, from ``label``, ``bucket``, ``accuracy``, ``interval`` and ``n``."""
    return [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("bucket:N", title=unit),
        alt.Tooltip("accuracy:Q", title=metric, format=".1%"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("n:Q", title="prompts"),
    ]
