"""Which characters a figure can show, and what stands for those that no font has."""

from collections.abc import Iterable
from functools import cache

from matplotlib import font_manager

from copy_eval.reports.frames.models import shorten

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
