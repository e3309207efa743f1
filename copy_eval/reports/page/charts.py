"""The page's charts, as the JSON that plotly.js draws: plain dictionaries, without plotly's Python classes."""

import html
import math
from typing import Any

import pandas as pd

from copy_eval.reports.page.models import Model


def accuracy_chart(accuracy: pd.DataFrame, models: list[Model], length_label: str) -> dict[str, Any]:
    """Return a figure of accuracy against length: for each model a line with its 95 % Wilson interval as a band.

    Each trace carries the place of its model among ``models`` as ``meta``, so that the page can hide it.
    The colours of text and grid are the page's: its script adds them.

    Args:
        accuracy: rows of one task, with the columns of ``Report.accuracy``.
        models: all models of the page.
        length_label: what the length counts, with its unit.
    """
    curves = dict(list(accuracy.dropna(subset="accuracy").sort_values("length").groupby("label")))
    shown = [model for model in models if model.label in curves]
    bands = [_band(curves[model.label], model) for model in shown]
    traces = bands + [_line(curves[model.label], model, length_label) for model in shown]
    return {"data": traces, "layout": _layout(accuracy, length_label)}


def _line(points: pd.DataFrame, model: Model, length_label: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": points["length"].astype(float).tolist(),
        "y": points["accuracy"].astype(float).tolist(),
        "text": [_hover_text(point, model, length_label) for point in points.itertuples()],
        "hovertemplate": "%{text}<extra></extra>",
        "line": {"color": model.colour, "dash": model.dashes, "width": 2},
        "marker": {"color": model.colour, "size": 8},
        "meta": model.place,
    }


def _band(points: pd.DataFrame, model: Model) -> dict[str, Any]:
    lengths, low, high = (points[name].astype(float).tolist() for name in ("length", "low", "high"))
    return {
        "type": "scatter",
        "mode": "none",
        "x": lengths + lengths[::-1],
        "y": high + low[::-1],
        "fill": "toself",
        "fillcolor": model.colour,
        "opacity": 0.15,
        "hoverinfo": "skip",
        "meta": model.place,
    }


def _hover_text(point: Any, model: Model, length_label: str) -> str:
    # plotly reads some HTML in its texts, links among them: what comes from a file is escaped.
    # It does not know the references to quotes.
    name = html.escape(model.label, quote=False)
    return (
        f"<b>{name}</b><br>{point.accuracy:.1%} exact match<br>95 % interval {point.low:.1%} to {point.high:.1%}<br>"
        f"{length_label}: {point.length}<br>{point.n} prompts"
    )


def _layout(accuracy: pd.DataFrame, length_label: str) -> dict[str, Any]:
    lengths = sorted(int(length) for length in accuracy["length"].unique())
    return {
        "showlegend": False,  # the page's checkboxes are the legend
        "dragmode": False,  # a finger on the chart scrolls the page
        "hovermode": "closest",
        "margin": {"l": 52, "r": 16, "t": 12, "b": 52},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": {
            "title": {"text": length_label},
            "type": "log" if lengths[0] > 0 else "linear",
            "tickvals": lengths,
            "ticktext": _tick_labels(lengths),
            "tickangle": 0,
            "fixedrange": True,
            "showline": True,
            "zeroline": False,
        },
        "yaxis": {
            "title": {"text": "exact match"},
            "range": [-0.02, 1.02],
            "tickformat": ".0%",
            "fixedrange": True,
            "zeroline": False,
        },
        "hoverlabel": {"align": "left", "namelength": -1},
    }


def _tick_labels(lengths: list[int]) -> list[str]:
    """Return a label for each length, but none where it would run into the one before on a narrow screen."""
    places = [math.log(length) if lengths[0] > 0 else length for length in lengths]
    closest = 0.09 * (places[-1] - places[0])
    labels, last = [], -math.inf
    for length, place in zip(lengths, places, strict=True):
        is_clear = place - last >= closest
        labels.append(str(length) if is_clear else "")
        last = place if is_clear else last
    return labels
