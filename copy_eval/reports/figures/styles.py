"""How models and lengths look wherever they are drawn, so that they can be told apart and seen on white paper."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from copy_eval.reports.frames.models import HYBRID, STATE_SPACE, TRANSFORMER

_LOOKS = {
    # Okabe and Ito's colours: distinct for colour-blind readers. The markers tell them apart in grey print.
    TRANSFORMER: ("#0072B2", "o"),
    STATE_SPACE: ("#D55E00", "s"),
    HYBRID: ("#009E73", "^"),
}
_UNKNOWN = ("#666666", "D")

_DASHES: tuple[tuple[int, ...], ...] = ((), (5, 2), (1, 2), (6, 2, 1, 2))


@dataclass(frozen=True)
class Style:
    """The look of a model's lines: ``#rrggbb``, matplotlib's marker, and lengths of dashes and gaps (none: solid)."""

    colour: str
    marker: str
    dashes: tuple[int, ...]


def model_styles(accuracy: pd.DataFrame) -> dict[str, Style]:
    """Return a style for each label, in the order of the frame.

    Within an architecture the shade grows darker with size, and later training steps are darker than earlier ones. The
    dashes change from each model to the next, the largest having solid lines.

    Args:
        accuracy: rows with ``label`` and ``architecture``, sorted as ``read_results`` sorts them.
    """
    models = accuracy.drop_duplicates("label").set_index("label")["architecture"].fillna("")
    styles = {}
    for label, architecture in models.items():
        peers = list(models.index[models == architecture])
        base, marker = _LOOKS.get(architecture, _UNKNOWN)
        from_largest = len(peers) - 1 - peers.index(label)
        styles[str(label)] = Style(_shade(base, from_largest, len(peers)), marker, _DASHES[from_largest % len(_DASHES)])
    return styles


def length_colours(lengths: Collection[int]) -> dict[int, str]:
    """Return a colour for each of the lengths, which come in ascending order: from light and warm to dark and cold."""
    shares = np.linspace(0, 1, len(lengths))
    return dict(zip(lengths, map(to_hex, _LENGTHS(shares)), strict=True))


_LENGTHS = LinearSegmentedColormap.from_list("lengths", ["#D9683B", "#C33C7B", "#7A48B5", "#2B52A8"])
"""A contrast of 3 to white and, brightened as the page does it in the dark, to the page's black."""


def relative_luminance(colour: str) -> float:
    """Return how bright a colour is, from 0 (black) to 1 (white), as WCAG 2.2 defines it."""
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in to_rgb(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


_BRIGHTEST = 0.29
"""The luminance above which a line is hard to see on white: its contrast is 1.05 / (0.29 + 0.05), a little over 3."""


def _shade(base: str, from_largest: int, count: int) -> str:
    """Mix in a little black for the largest of several models, and for the smallest as much white as can be seen."""
    if count == 1:
        return base
    lightness = from_largest / (count - 1)
    dark, light = [0.75 * channel for channel in to_rgb(base)], to_rgb(_lightest(base))
    return to_hex([one + lightness * (other - one) for one, other in zip(dark, light, strict=True)])  # type: ignore[arg-type]


def _lightest(base: str) -> str:
    """Mix in white, up to half of it, while the colour can be seen on white."""
    mixtures = LinearSegmentedColormap.from_list("", [base, "#ffffff"])(np.linspace(0, 0.5, 51))
    return [colour for colour in map(to_hex, mixtures) if relative_luminance(colour) <= _BRIGHTEST][-1]
