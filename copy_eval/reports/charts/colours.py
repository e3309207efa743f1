"""Colours of accuracies and lengths, and what colours are reckoned with."""

from collections.abc import Collection, Sequence

import altair as alt
import numpy as np


def length_colours(lengths: Collection[int]) -> dict[int, str]:
    """Return a colour for each of the lengths, which come in ascending order: from light and warm to dark and cold."""
    return dict(zip(lengths, (blend(_LENGTHS, share) for share in np.linspace(0, 1, len(lengths))), strict=True))


_LENGTHS = ("#D9683B", "#C33C7B", "#7A48B5", "#2B52A8")
"""A contrast of 3 to white and, brightened as the page does it in the dark, to the page's black."""

_SHARES = ("#deebf7", "#9ecae1", "#4292c6", "#08519c", "#08306b")
"""From 0 % to 100 %, in equal steps: ColorBrewer's blues, without the lightest, which is almost white."""


def share_scale() -> alt.Scale:
    """Return a scale of colours for accuracies from 0 % to 100 %."""
    return alt.Scale(domain=np.linspace(0, 1, len(_SHARES)).tolist(), range=list(_SHARES), interpolate="rgb")


def relative_luminance(colour: str) -> float:
    """Return how bright a colour is, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    channels = np.array(_rgb(colour))
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _rgb(colour: str) -> list[float]:
    return [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]


def blend(colours: Sequence[str], share: float) -> str:
    """Return the colour at a share of the way along several colours, which stand at equal distances."""
    places = np.linspace(0, 1, len(colours))
    channels = (np.interp(share, places, channel) for channel in zip(*map(_rgb, colours), strict=True))
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in channels)
