"""Accuracy by length and depth, the place in the prompt that is asked for: a heat map for each model."""

import textwrap
from typing import Any

import altair as alt
import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.charts.colours import share_scale
from copy_eval.reports.charts.theme import Drawing, chart_title, interval_texts, only_shown, tooltips
from copy_eval.reports.frames.results import shorten
from copy_eval.reports.frames.series import length_names, length_unit

_ABREAST = 2

_CELL = (46, 34)
"""Width and height in pixels: room for "100%" and "n=200"."""

_CHARACTER = 7
"""Width of a character of an axis' title in pixels."""

DARK = 0.58
"""Accuracy from which on white is easier to read on a cell than black."""


def draw_depth(depths: pd.DataFrame) -> Drawing:
    """Draw a heat map for each model; each cell says its exact match and how many prompts that rests on.

    A cell without prompts is empty, and that of a length over the context is grey and says so. The chart's parameter
    ``shown`` holds the labels that are drawn.

    Args:
        depths: rows of one series, as ``accuracy.accuracy_by_depth`` returns them.
    """
    names = shorten(depths["label"].unique())
    lengths = length_names(depths)
    unit = length_unit(depths)
    frame = depths[["label", "length", "accuracy", "low", "high", "n"]].assign(
        name=depths["label"].map(names),
        bucket=depths["length"].map(lengths),
        depth=depth_names(depths),
        interval=interval_texts(depths),
    )
    across = textwrap.wrap(unit, max(len(lengths) * _CELL[0] // _CHARACTER, len(max(unit.split(), key=len))))
    axis: dict[str, Any] = {"domain": False, "ticks": False, "grid": False}
    base = alt.Chart().encode(
        x=alt.X("bucket:O", title=across, sort=list(lengths.values()), axis=alt.Axis(labelAngle=0, **axis)),
        y=alt.Y("depth:O", title="depth", sort=list(frame["depth"].unique()), axis=alt.Axis(**axis)),
    )
    about = [*tooltips(unit, "exact match"), alt.Tooltip("depth:N")]
    known = base.transform_filter("isValid(datum.accuracy)").encode(tooltip=about)
    refused = base.transform_filter("!isValid(datum.accuracy)").encode(tooltip=[*about[:2], about[-1]])
    rect: dict[str, Any] = {"stroke": "white", "strokeWidth": 1.5}
    text: dict[str, Any] = {"fontSize": 9, "lineBreak": "\n", "dy": -5, "lineHeight": 11}
    ink = alt.condition(f"datum.accuracy > {DARK}", alt.value("white"), alt.value("black"))
    chart = alt.layer(
        # Each cell says its share: no legend.
        known.mark_rect(**rect).encode(color=alt.Color("accuracy:Q", scale=share_scale(), legend=None)),
        known.mark_text(**text)
        .transform_calculate(text="format(datum.accuracy, '.0%') + '\\nn=' + datum.n")
        .encode(text="text:N", color=ink),
        refused.mark_rect(**rect).encode(color=alt.value("#e3e3df")),
        refused.mark_text(**text).encode(text=alt.value(OVER_CONTEXT.replace(" ", "\n")), color=alt.value("#333")),
        data=frame,
    ).properties(width={"step": _CELL[0]}, height={"step": _CELL[1]})
    title = depths["title"].iloc[0]
    meaning = "exact match by depth, the place of the answer in the prompt; n: prompts"
    labels = list(names)
    if len(labels) == 1:
        return only_shown(chart.properties(title=chart_title(f"{title}: {names[labels[0]]}", meaning)), labels)
    panels = alt.Facet("name:N", title=None, sort=list(names.values()))
    return only_shown(chart.facet(facet=panels, columns=_ABREAST, title=chart_title(title, meaning)), labels)


def depth_names(depths: pd.DataFrame) -> list[str]:
    """Return what to call the place of each row: "0% to 20%" is the first fifth, "11.1%" a depth that was asked for."""
    bounds = zip(depths["depth_from"], depths["depth_to"], strict=True)
    return [f"{start:.0%} to {end:.0%}" if start < end else f"{100 * start:.3g}%" for start, end in bounds]
