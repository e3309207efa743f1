"""The page's charts, as the JSON that plotly.js draws: plain dictionaries, without plotly's Python classes.

First their horizontal axis: what stands where, and which labels fit on a narrow screen.
"""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.ticker import EngFormatter

from copy_eval.over_context import OVER_CONTEXT
from copy_eval.reports.page.models import Model


@dataclass(frozen=True)
class Axis:
    """A horizontal axis.

    Args:
        names: what to call the values on the axis, in ascending order of the values.
        title: what the values are.
        linear: whether the axis is linear, else it is logarithmic.
        all_ticks: whether a value whose name does not fit has a tick all the same.
    """

    names: Mapping[float, str]
    title: str
    linear: bool
    all_ticks: bool = True

    def beside(self, value: float, share: float) -> float:
        """Return the value that stands a share of the axis' width to the right of ``value``."""
        place = self._place(value) + share * self._width
        return place if self.linear else 10**place

    def layout(self) -> dict[str, Any]:
        """Return the axis as plotly's layout takes it."""
        margin = 0.04 * self._width or 0.5
        ticks = {float(value): label for value, label in self._labels().items() if label or self.all_ticks}
        return {
            "title": {"text": self.title},
            "type": "linear" if self.linear else "log",
            "range": [self._place(min(self.names)) - margin, self._place(max(self.names)) + margin],
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
            "tickangle": 0,
            "fixedrange": True,
            "showline": True,
            "zeroline": False,
        }

    def _place(self, value: float) -> float:
        """Return where a value stands, in plotly's coordinates."""
        return float(value) if self.linear else math.log10(value)

    @property
    def _width(self) -> float:
        return self._place(max(self.names)) - self._place(min(self.names))

    def _labels(self) -> dict[float, str]:
        """Return a label for each value, but none where it would run into the one before on a narrow screen."""
        labels: dict[float, str] = {}
        end = -math.inf
        for value, name in self.names.items():
            place, half = self._place(value), len(name) / 2 * _CHARACTER * self._width
            is_clear = place - half - end >= _CHARACTER * self._width or self._width == 0
            labels[value] = name if is_clear else ""
            end = place + half if is_clear else end
        return labels


_CHARACTER = 0.025
"""Width of a character of a label as a share of the axis, on a screen of 360 pixels."""

_STRIP = -0.13
"""Height at which a length over the context is marked: below the axis, where no accuracy can be."""


def accuracy_chart(
    points: Mapping[Model, Mapping[int, Any]], lengths: Mapping[int, str], unit: str, linear: bool, metric: str
) -> dict[str, Any]:
    """Return a figure of accuracy against length: for each model a line with its 95 % interval as a band.

    A length over a model's context has a mark below the axis. Each trace carries the place of its model as ``meta``, so
    that the page can hide it. The colours of text and grid are the page's: its script adds them.

    Args:
        points: the rows of ``Report.accuracy``, by model and length, in the order of the lengths.
        lengths: names of all lengths, in ascending order.
        unit: what the lengths count.
        linear: whether the axis is linear, else it is logarithmic.
        metric: what the accuracy is.
    """
    axis = Axis({float(length): name for length, name in lengths.items()}, unit, linear)
    scored = {model: [row for row in rows.values() if not pd.isna(row.accuracy)] for model, rows in points.items()}
    refused = {model: [row.length for row in rows.values() if row.over_context] for model, rows in points.items()}
    traces = [_band(rows, _lengths(rows), model.colour) | _of(model) for model, rows in scored.items() if rows]
    traces += [_line(model, rows, axis, metric) | _of(model) for model, rows in scored.items() if rows]
    marked = [model for model, rows in refused.items() if rows]
    step = 0.06 / max(len(marked), 5)
    asides = [step * (place - (len(marked) - 1) / 2) for place in range(len(marked))]
    traces += [_marks(model, refused[model], aside, axis) for model, aside in zip(marked, asides, strict=True)]
    return {"data": traces, "layout": _layout(axis, metric, with_strip=bool(marked))}


def training_chart(
    curves: Mapping[int, Sequence[Any]],
    steps: Sequence[int],
    lengths: Mapping[int, str],
    unit: str,
    colours: Mapping[int, str],
    metric: str,
) -> dict[str, Any]:
    """Return a figure of one model's accuracy against training step: a line with its band for each length.

    The axis of steps is logarithmic; step 0 stands where 0.1 would. The traces have no ``meta``: who shows and hides
    the figure does so as a whole.

    Args:
        curves: by length, the rows of ``training_curves`` that have an accuracy, in the order of their steps.
        steps: all steps, in ascending order.
        lengths: names of the lengths.
        unit: what the lengths count.
        colours: of the lengths.
        metric: what the accuracy is.
    """
    name = EngFormatter(sep="")  # 1000 is 1k, as in the plot
    axis = Axis({_step_place(step): name(step) for step in steps}, "training step", linear=False, all_ticks=False)
    faint = {"opacity": min(0.15, 0.5 / max(len(curves), 1))}  # many bands lie on top of each other at 0 and 100 %
    traces = [_band(rows, _steps(rows), colours[length]) | faint for length, rows in curves.items()]
    traces += [
        _training_line(rows, f"{unit}: {lengths[length]}", colours[length], metric) for length, rows in curves.items()
    ]
    return {"data": traces, "layout": _layout(axis, metric, with_strip=False)}


def _step_place(step: int) -> float:
    return float(step) or 0.1


def _lengths(rows: Sequence[Any]) -> list[float]:
    return [float(row.length) for row in rows]


def _steps(rows: Sequence[Any]) -> list[float]:
    return [_step_place(row.step) for row in rows]


def _of(model: Model) -> dict[str, Any]:
    return {"meta": model.place}


def _line(model: Model, rows: Sequence[Any], axis: Axis, metric: str) -> dict[str, Any]:
    texts = [_hover_text(_name(model), row, metric, f"{axis.title}: {axis.names[row.length]}") for row in rows]
    return _points(rows, _lengths(rows), texts) | {
        "line": {"color": model.colour, "dash": model.dashes, "width": 2},
        "marker": {"color": model.colour, "symbol": model.symbol, "size": 8},
    }


def _training_line(rows: Sequence[Any], length: str, colour: str, metric: str) -> dict[str, Any]:
    texts = [_hover_text(f"<b>{length}</b>", row, metric, f"training step: {row.step:,}") for row in rows]
    return _points(rows, _steps(rows), texts) | {
        "line": {"color": colour, "width": 2},
        "marker": {"color": colour, "size": 6},
    }


def _points(rows: Sequence[Any], places: list[float], texts: list[str]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": places,
        "y": [row.accuracy for row in rows],
        "text": texts,
        "hovertemplate": "%{text}<extra></extra>",
    }


def _band(rows: Sequence[Any], places: list[float], colour: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "none",
        "x": places + places[::-1],
        "y": [row.high for row in rows] + [row.low for row in reversed(rows)],
        "fill": "toself",
        "fillcolor": colour,
        "hoverinfo": "skip",
    }


def _marks(model: Model, lengths: Sequence[int], aside: float, axis: Axis) -> dict[str, Any]:
    """Mark lengths that a model cannot take; the marks of several models stand side by side."""
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [axis.beside(length, aside) for length in lengths],
        "y": [_STRIP] * len(lengths),
        "text": [f"{_name(model)}<br>{OVER_CONTEXT}<br>{axis.title}: {axis.names[length]}" for length in lengths],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {"color": model.colour, "symbol": "x-thin-open", "size": 7, "line": {"width": 2}},
        "cliponaxis": False,
        "meta": model.place,
    }


def _hover_text(head: str, row: Any, metric: str, place: str) -> str:
    return (
        f"{head}<br>{row.accuracy:.1%} {html.escape(metric, quote=False)}<br>"
        f"95 % interval {row.low:.1%} to {row.high:.1%}<br>"
        f"{place}<br>{row.n} prompts"
    )


def _name(model: Model) -> str:
    # plotly reads some HTML in its texts, links among them: what comes from a file is escaped. It does not know the
    # references to quotes.
    name = f"<b>{html.escape(model.label, quote=False)}</b>"
    return f"{name}<br>{model.note}" if model.note else name


def _layout(axis: Axis, metric: str, with_strip: bool) -> dict[str, Any]:
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
            "title": {"text": html.escape(metric, quote=False)},
            "range": [_STRIP - 0.07 if with_strip else -0.03, 1.03],
            "tickvals": list(ticks),
            "ticktext": list(ticks.values()),
            "fixedrange": True,
            "zeroline": False,
        },
    }
