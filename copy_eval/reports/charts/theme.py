"""How all charts look: the colours, markers and dashes of models and lengths, titles, and the axis of accuracies."""

import json
import textwrap
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from copy_eval.reports.frames.result_files import HYBRID, RECURRENT, STATE_SPACE, TRANSFORMER

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


def interval_texts(rows: pd.DataFrame) -> list[str]:
    """Return the intervals of rows as texts, "82.1% to 97.9%"; empty where there is none.

    Of a mean over seeds, the text says that it goes from the lowest to the highest of them.
    """
    seeds = rows.get("seeds", pd.Series(pd.NA, rows.index))
    return [
        "" if pd.isna(low) else f"{low:.1%} to {high:.1%}" + ("" if pd.isna(count) else f" (range of {count} seeds)")
        for low, high, count in zip(rows["low"], rows["high"], seeds, strict=True)
    ]


def describe_means(rows: pd.DataFrame) -> str:
    """Return what to add to "95 % intervals" where some of them belong to a mean over seeds, which has none."""
    has_means = "seeds" in rows and rows["seeds"].notna().any()
    return ", of a mean over seeds from the lowest to the highest" if has_means else ""


def tooltips(unit: str, metric: str) -> list[alt.Tooltip]:
    """Return what a point says of itself, from ``label``, ``bucket``, ``accuracy``, ``interval`` and ``n``."""
    return [
        alt.Tooltip("label:N", title="model"),
        alt.Tooltip("bucket:N", title=unit),
        alt.Tooltip("accuracy:Q", title=metric, format=".1%"),
        alt.Tooltip("interval:N", title="95 % interval"),
        alt.Tooltip("n:Q", title="prompts"),
    ]


_LOOKS = {
    # Okabe and Ito's colours: distinct for colour-blind readers. The markers tell them apart in grey print.
    TRANSFORMER: ("#0072B2", "circle"),
    STATE_SPACE: ("#D55E00", "square"),
    HYBRID: ("#009E73", "triangle-up"),
    # Their reddish purple, darkened so that it can be seen on white.
    RECURRENT: ("#B05A8A", "triangle-down"),
}

_UNKNOWN = ("#666666", "diamond")

_DASHES: tuple[tuple[tuple[int, int], ...], ...] = ((), ((8, 3),), ((2, 3),), ((9, 3), (2, 3)))


@dataclass(frozen=True)
class Style:
    """The look of a model's lines: ``#rrggbb``, a marker of Vega's, and dashes with their gaps (none: solid).

    Dashes and gaps are in pixels.
    """

    colour: str
    marker: str
    dashes: tuple[tuple[int, int], ...]

    @property
    def pattern(self) -> list[int]:
        """Dashes and gaps in turns, as SVG and Vega take them."""
        return [length for pair in self.dashes for length in pair]


def model_styles(accuracy: pd.DataFrame) -> dict[str, Style]:
    """Return a style for each label.

    Within an architecture the shade grows darker with size, and later training steps are darker than earlier ones. The
    dashes change from each model to the next, the largest having solid lines.

    Args:
        accuracy: rows with ``label``, ``architecture``, ``parameters``, ``model`` and ``step``, in any order.
    """
    by_size = accuracy.drop_duplicates("label").sort_values(["parameters", "model", "step", "label"])
    styles = {}
    for architecture, peers in by_size.groupby(by_size["architecture"].fillna("")):
        base, marker = _LOOKS.get(str(architecture), _UNKNOWN)
        for from_largest, label in enumerate(reversed(list(peers["label"]))):
            shade = _shade(base, from_largest, len(peers))
            styles[str(label)] = Style(shade, marker, _DASHES[from_largest % len(_DASHES)])
    return styles


_MARKERS = {
    "circle": "M-.7 0A.7 .7 0 1 1 .7 0A.7 .7 0 1 1 -.7 0Z",
    "square": "M-.6-.6H.6V.6H-.6Z",
    "triangle-up": "M0-.8L.8 .6H-.8Z",
    "triangle-down": "M0 .8L-.8-.6H.8Z",
    "diamond": "M0-.9L.9 0L0 .9L-.9 0Z",
}
"""Clockwise as the bar below them is, or the two would cancel out where they overlap."""


def legend_key(style: Style) -> str:
    """Return a line with a marker as a path for a legend, whose own symbols are markers alone.

    The path is filled, so that a dash is a thin bar; it is drawn in units of ``KEY_UNIT``.
    """
    bars = []
    end = _KEY_WIDTH / 2
    place = -end
    for dash, gap in cycle(style.dashes or ((_KEY_WIDTH, 0),)):
        if place >= end:
            break
        left, right = place / KEY_UNIT, min(place + dash, end) / KEY_UNIT
        bars.append(f"M{left:g} {-1 / KEY_UNIT:g}H{right:g}V{1 / KEY_UNIT:g}H{left:g}Z")
        place += dash + gap
    return "".join(bars) + _MARKERS[style.marker]


def line_legend(styles: Sequence[Style]) -> alt.Legend:
    """Return a legend whose symbols are lines with their dashes and markers, in the order of the colours' scale."""
    keys = json.dumps([legend_key(style) for style in styles])
    return alt.Legend(
        symbolType=alt.expr(f"{keys}[datum.index]"),
        symbolSize=4 * KEY_UNIT**2,
        symbolStrokeWidth=0,
        symbolOpacity=1,
        labelOffset=14,
        offset=28,
        columns=1 + (len(styles) - 1) // _ROWS if len(styles) > _ROWS else alt.Undefined,
    )


_ROWS = 20
"""Models in a column of the legend."""

KEY_UNIT = 5
"""Pixels; a legend's symbol is two of them wide, and its size in Vega the square of that."""

_KEY_WIDTH = 32


def length_colours(lengths: Collection[int]) -> dict[int, str]:
    """Return a colour for each of the lengths, which come in ascending order: from light and warm to dark and cold."""
    return dict(zip(lengths, (_between(_LENGTHS, share) for share in np.linspace(0, 1, len(lengths))), strict=True))


_LENGTHS = ("#D9683B", "#C33C7B", "#7A48B5", "#2B52A8")
"""A contrast of 3 to white and, brightened as the page does it in the dark, to the page's black."""

_SHARES = ("#deebf7", "#9ecae1", "#4292c6", "#08519c", "#08306b")
"""From 0 % to 100 %, in equal steps: ColorBrewer's blues, without the lightest, which is almost white."""


def share_scale() -> alt.Scale:
    """Return a scale of colours for accuracies from 0 % to 100 %."""
    return alt.Scale(domain=np.linspace(0, 1, len(_SHARES)).tolist(), range=list(_SHARES), interpolate="rgb")


def share_colour(share: float) -> str:
    """Return the colour of an accuracy on that scale."""
    return _between(_SHARES, share)


def relative_luminance(colour: str) -> float:
    """Return how bright a colour is, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    channels = np.array(_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _rgb(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def _between(colours: Sequence[str], share: float) -> str:
    """Return the colour at a share of the way along several colours, which stand at equal distances."""
    places = np.linspace(0, 1, len(colours))
    channels = (np.interp(share, places, channel) for channel in zip(*map(_rgb, colours), strict=True))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)


_BRIGHTEST = 0.29
"""The luminance above which a line is hard to see on white: its contrast is 1.05 / (0.29 + 0.05), a little over 3."""


def _shade(base: str, from_largest: int, count: int) -> str:
    """Mix in a little black for the largest of several models, and for the smallest as much white as can be seen."""
    if count == 1:
        return base
    return _between((_between((base, "#000000"), 0.25), _lightest(base)), from_largest / (count - 1))


@cache
def _lightest(base: str) -> str:
    """Mix in white, up to half of it, while the colour can be seen on white."""
    mixtures = [_between((base, "#ffffff"), share) for share in np.linspace(0, 0.5, 51)]
    return [colour for colour in mixtures if relative_luminance(colour) <= _BRIGHTEST][-1]
