"""What a drawn chart shows, read from its SVG, in which each mark describes itself."""

import json
import re
from xml.etree import ElementTree

from copy_eval.reports.charts.rendering import to_files, to_spec

SVG = "{http://www.w3.org/2000/svg}"


def draw(chart):
    """Draw a chart, after Altair checked it against Vega-Lite's schema, and return its SVG's elements."""
    chart.to_dict(validate=True)
    return list(ElementTree.fromstring(to_files(chart, "chart")["chart.svg"]).iter())


def marks(chart, kind):
    """The marks of a kind ("point", "rect"), each as a dictionary of what it says of itself."""
    labels = [element.get("aria-label") for element in draw(chart) if element.get("aria-roledescription") == kind]
    return [dict(part.split(": ", 1) for part in label.split("; ")) for label in labels]


def texts(chart):
    """All texts, in the order in which they are drawn; a line each."""
    return ["".join(element.itertext()) for element in draw(chart) if element.tag == f"{SVG}text"]


def fields(chart):
    """The fields of the data that are drawn, in the order in which the specification names them."""
    return re.findall(r'"field": "([^"]*)"', json.dumps(to_spec(chart)))
