"""The horizontal axes of the page's charts: what stands where, and which labels fit on a narrow screen."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


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
