"""How the lines of models look: colours, markers and dashes, by architecture and size, and their legend."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle

import altair as alt
import numpy as np
import pandas as pd

from copy_eval.reports.charts.colours import blend, relative_luminance
from copy_eval.reports.frames.result_files import HYBRID, RECURRENT, STATE_SPACE, TRANSFORMER

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


def model_colour(field: str, styles: Mapping[str, Style]) -> alt.Color:
    """Return the colours of lines, with a legend whose symbols are lines with their dashes and markers.

    Args:
        field: that holds what the legend calls a line.
        styles: of these names, in the order of the legend.
    """
    looks = list(styles.values())
    scale = alt.Scale(domain=list(styles), range=[style.colour for style in looks])
    return alt.Color(field, title=None, scale=scale, legend=_line_legend(looks))


def _line_legend(styles: Sequence[Style]) -> alt.Legend:
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


LEGEND_WIDTH = 52
"""Characters of a name: room for the task, the seeds and the checkpoint of a training."""

_ROWS = 20
"""Models in a column of the legend."""

KEY_UNIT = 5
"""Pixels; a legend's symbol is two of them wide, and its size in Vega the square of that."""

_KEY_WIDTH = 32


def look_columns(names: pd.Series, styles: Mapping[str, Style]) -> dict[str, pd.Series]:
    """Return what ``draw_lines`` and ``draw_points`` draw by; of scales, Vega-Lite would merge the legends.

    Args:
        names: of the lines, one for each row of a frame.
        styles: of these names.
    """
    return {
        "dashes": names.map(lambda name: styles[name].pattern),
        "marker": names.map(lambda name: styles[name].marker),
    }


def draw_lines(base: alt.Chart) -> alt.Chart:
    """Return the lines of a chart, with their dashes."""
    return base.mark_line(strokeWidth=2).encode(strokeDash=alt.StrokeDash("dashes:N", scale=None))


def draw_points(base: alt.Chart, about: Sequence[alt.Tooltip]) -> alt.Chart:
    """Return the points of a chart with their markers, and what each says of itself."""
    points = base.mark_point(filled=True, size=45, opacity=1)
    return points.encode(shape=alt.Shape("marker:N", scale=None), tooltip=list(about))


_BRIGHTEST = 0.29
"""The luminance above which a line is hard to see on white: its contrast is 1.05 / (0.29 + 0.05), a little over 3."""


def _shade(base: str, from_largest: int, count: int) -> str:
    """Mix in a little black for the largest of several models, and for the smallest as much white as can be seen."""
    if count == 1:
        return base
    return blend((blend((base, "#000000"), 0.25), _lightest(base)), from_largest / (count - 1))


@cache
def _lightest(base: str) -> str:
    """Mix in white, up to half of it, while the colour can be seen on white."""
    mixtures = [blend((base, "#ffffff"), share) for share in np.linspace(0, 0.5, 51)]
    return [colour for colour in mixtures if relative_luminance(colour) <= _BRIGHTEST][-1]
