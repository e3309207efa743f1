"""How all figures are drawn: settings, titles and axes, the looks of models and lengths, the characters of names."""

import io
import textwrap
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from copy_eval.reports.frames.result_files import HYBRID, STATE_SPACE, TRANSFORMER
from copy_eval.reports.frames.results import shorten

_SETTINGS: Any = {
    "text.parse_math": False,  # a dollar sign in a model's name is a dollar sign
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "svg.hashsalt": "copy-eval",  # the same report gives the same file
}


@contextmanager
def figure_settings() -> Iterator[None]:
    """Apply the settings of our figures, to drawing and saving alike, and leave those of the process alone."""
    with mpl.rc_context(_SETTINGS | {"font.family": families()}):
        yield


def to_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Return ``name.png`` and ``name.svg`` with their content."""
    files = {}
    with figure_settings():
        for suffix, metadata in (("png", {}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            figure.savefig(buffer, format=suffix, dpi=200, metadata=metadata)
            files[f"{name}.{suffix}"] = buffer.getvalue()
            figure.set_layout_engine("none")  # the first drawing has laid it out
    return files


def wrap_title(title: str, about: str, figure: Figure) -> str:
    """Return a title, broken where it would leave the figure, and below it what is to be known about the drawing."""
    return f"{textwrap.fill(drawable(title), int(figure.get_figwidth() * 12.5))}\n{about}"


def format_accuracy_axis(axes: Axes) -> None:
    """Let the vertical axis run from 0 % to 100 %."""
    axes.set_ylim(-0.03, 1.03)
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_yticks(np.linspace(0, 1, 6))


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


_FIRST = "DejaVu Sans"
"""Comes with matplotlib: Latin, Greek, Cyrillic, Arabic and more, but no Chinese, Japanese or Korean."""

_FALLBACKS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "Noto Sans", "WenQuanYi Zen Hei", "WenQuanYi Micro Hei",
    "Droid Sans Fallback", "IPAexGothic", "IPAGothic", "TakaoGothic", "NanumGothic", "Hiragino Sans", "PingFang SC",
    "Apple SD Gothic Neo", "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "SimHei", "Arial Unicode MS", "Unifont",
)  # fmt: skip
"""Common fonts that have what the first one lacks, on Linux, macOS and Windows."""


@cache
def families() -> list[str]:
    """Return the installed families in the order in which matplotlib looks a character up."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    return [_FIRST, *(name for name in _FALLBACKS if name in installed)]


@cache
def _characters() -> frozenset[int]:
    """Return the code points that some font has."""
    found: set[int] = set()
    for family in families():
        found |= font_manager.get_font(font_manager.findfont(family)).get_charmap().keys()
    return frozenset(found)


def drawable(text: str) -> str:
    """Return a text in which a character that no font has is written as Python's escape, instead of an empty box."""
    return "".join(
        character
        if ord(character) in _characters() or character == "\n"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def legend_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a short name for each label, in characters that can be drawn."""
    return {label: drawable(name) for label, name in shorten(labels).items()}
