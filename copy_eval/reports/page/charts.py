"""The page's charts, as the JSON that plotly.js draws: plain dictionaries, without plotly's Python classes."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.page.models import Model


@dataclass(frozen=True)
class _LengthAxis:
    lengths: Mapping[int, str]
    unit: str
    linear: bool

    def place(self, length: float) -> float:
        """Return where a length stands, in plotly's coordinates."""
        return float(length) if self.linear else math.log10(length)

    @property
    def width(self) -> float:
        return self.place(max(self.lengths)) - self.place(min(self.lengths))

    def beside(self, length: int, share: float) -> float:
        """Return the length that stands a share of the axis' width to the right of ``length``."""
        place = self.place(length) + share * self.width
        return place if self.linear else 10**place

    def layout(self) -> dict[str, Any]:
        margin = 0.04 * self.width or 0.5
        return {
            "title": {"text": self.unit},
            "type": "linear" if self.linear else "log",
            "range": [self.place(min(self.lengths)) - margin, self.place(max(self.lengths)) + margin],
            "tickvals": [float(length) for length in self.lengths],
            "ticktext": self._tick_labels(),
            "tickangle": 0,
            "fixedrange": True,
            "showline": True,
            "zeroline": False,
        }

    def _tick_labels(self) -> list[str]:
        """Return a label for each length, but none where it would run into the one before on a narrow screen."""
        labels: list[str] = []
        end = -math.inf
        for length, name in self.lengths.items():
            place, half = self.place(length), len(name) / 2 * _CHARACTER * self.width
            is_clear = place - half - end >= _CHARACTER * self.width
            labels.append(name if is_clear or self.width == 0 else "")
            end = place + half if is_clear else end
        return labels


_CHARACTER = 0.025
"""Width of a character of a label as a share of the axis, on a screen of 360 pixels."""

_STRIP = -0.13
"""Height at which a length over the context is marked: below the axis, where no accuracy can be."""


def accuracy_chart(
    points: Mapping[Model, Mapping[int, Any]], lengths: Mapping[int, str], unit: str, linear: bool
) -> dict[str, Any]:
    """Return a figure of accuracy against length: for each model a line with its 95 % Wilson interval as a band.

    A length over a model's context has a mark below the axis. Each trace carries the place of its model as ``meta``, so
    that the page can hide it. The colours of text and grid are the page's: its script adds them.

    Args:
        points: the rows of ``Report.accuracy``, by model and length, in the order of the lengths.
        lengths: names of all lengths, in ascending order.
        unit: what the lengths count.
        linear: whether the axis is linear, else it is logarithmic.
    """
    axis = _LengthAxis(lengths, unit, linear)
    scored = {model: [row for row in rows.values() if not pd.isna(row.accuracy)] for model, rows in points.items()}
    refused = {model: [row.length for row in rows.values() if row.over_context] for model, rows in points.items()}
    traces = [_band(model, rows) for model, rows in scored.items() if rows]
    traces += [_line(model, rows, axis) for model, rows in scored.items() if rows]
    marked = [model for model, rows in refused.items() if rows]
    step = 0.06 / max(len(marked), 5)
    asides = [step * (place - (len(marked) - 1) / 2) for place in range(len(marked))]
    traces += [_marks(model, refused[model], aside, axis) for model, aside in zip(marked, asides, strict=True)]
    return {"data": traces, "layout": _layout(axis, with_strip=bool(marked))}


def _line(model: Model, rows: Sequence[Any], axis: _LengthAxis) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [float(row.length) for row in rows],
        "y": [row.accuracy for row in rows],
        "text": [_hover_text(model, row, axis) for row in rows],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": model.colour, "dash": model.dashes, "width": 2},
        "marker": {"color": model.colour, "symbol": model.symbol, "size": 8},
        "meta": model.place,
    }


def _band(model: Model, rows: Sequence[Any]) -> dict[str, Any]:
    lengths = [float(row.length) for row in rows]
    return {
        "type": "scatter",
        "mode": "none",
        "x": lengths + lengths[::-1],
        "y": [row.high for row in rows] + [row.low for row in reversed(rows)],
        "fill": "toself",
        "fillcolor": model.colour,
        "hoverinfo": "skip",
        "meta": model.place,
    }


def _marks(model: Model, lengths: Sequence[int], aside: float, axis: _LengthAxis) -> dict[str, Any]:
    """Mark lengths that a model cannot take; the marks of several models stand side by side."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [axis.beside(length, aside) for length in lengths],
        "y": [_STRIP] * len(lengths),
        "text": [f"{_name(model)}<br>{OVER_CONTEXT}<br>{axis.unit}: {axis.lengths[length]}" for length in lengths],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": model.colour, "symbol": "x-thin-open", "size": 7, "line": {"width": 2}},
        "cliponaxis": False,
        "meta": model.place,
    }


def _hover_text(model: Model, row: Any, axis: _LengthAxis) -> str:
    return (
        f"{_name(model)}<br>{row.accuracy:.1%} exact match<br>95 % interval {row.low:.1%} to {row.high:.1%}<br>"
        f"{axis.unit}: {axis.lengths[row.length]}<br>{row.n} prompts"
    )


def _name(model: Model) -> str:
    # plotly reads some HTML in its texts, links among them: what comes from a file is escaped. It does not know the
    # references to quotes.
    return f"<b>{html.escape(model.label, quote=False)}</b>"


def _layout(axis: _LengthAxis, with_strip: bool) -> dict[str, Any]:
    ticks = {0.2 * place: f"{20 * place} %" for place in range(6)} | ({_STRIP: "over<br>context"} if with_strip else {})
    return {
        "showlegend": False,  # the page's checkboxes are the legend
        "dragmode": False,  # a finger on the chart scrolls the page
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "margin": {"l": 62, "r": 16, "t": 12, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis.layout(),
        "yaxis": {
            "title": {"text": "exact match"},
            "range": [_STRIP - 0.07 if with_strip else -0.03, 1.03],
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
            "fixedrange": True,
            "zeroline": False,
        },
    }
