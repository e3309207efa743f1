"""Charts as files, drawn without a browser, and as specifications that a browser draws."""

import json
from functools import cache
from typing import Any

import altair as alt
import vl_convert

from copy_eval.reports.charts.theme import FONT, Drawing, apply_theme

_VERSION = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
"""Of Vega-Lite, the one that Altair writes."""

_NO_CHARACTER = "\ue000"
"""Of the private use area, where Unicode has no characters and common fonts have none."""

_PIXELS = 2
"""Pixels of a PNG for each of the chart, 1/96 inch: 192 to the inch."""


def to_files(chart: Drawing, name: str) -> dict[str, bytes]:
    """Return ``name.png``, ``name.svg`` and ``name.pdf`` with their content."""
    text = drawable(json.dumps(to_spec(apply_theme(chart)), ensure_ascii=False))
    svg = vl_convert.vegalite_to_svg(text, vl_version=_VERSION)
    return {
        f"{name}.png": vl_convert.svg_to_png(svg, scale=_PIXELS, ppi=96),
        f"{name}.svg": svg.encode(),
        f"{name}.pdf": vl_convert.svg_to_pdf(svg),
    }


def to_spec(chart: Drawing) -> dict[str, Any]:
    """Return a chart as Vega-Lite's JSON, with its data, however many rows they are.

    It is not validated, which takes longer than drawing it; the tests validate every kind of chart.
    """
    with alt.data_transformers.enable("default", max_rows=None):
        return dict(chart.to_dict(validate=False))


def javascript() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which sets ``window.vegaEmbed``."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VERSION)


def drawable(json_text: str) -> str:
    """Return JSON in which a character that no font has stands as Python's escape, instead of an empty box."""
    escapes: dict[str, str | int | None] = {}
    for character in set(json_text):
        if not character.isascii() and not _has_glyph(character):
            escapes[character] = json.dumps(character.encode("unicode_escape").decode())[1:-1]
    return json_text.translate(str.maketrans(escapes))


@cache
def _has_glyph(character: str) -> bool:
    """Tell whether a character is drawn as something else than a code point that no font has."""
    return character.isspace() or _picture(character) != _picture(_NO_CHARACTER)


@cache
def _picture(character: str) -> bytes:
    """Draw a character with the fonts of this machine, those that the charts are drawn with."""
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="40" height="24"><text x="4" y="18" font-family="{FONT}" '
        f'font-size="16">&#{ord(character)};</text></svg>'
    )
    return vl_convert.svg_to_png(svg)
