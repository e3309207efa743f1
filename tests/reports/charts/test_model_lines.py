import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from copy_eval.reports.charts.model_lines import legend_key, model_styles
from tests.reports.charts.test_colours import contrast_to_white


def styles(*architectures):
    """The styles of models of these architectures, from the smallest to the largest."""
    models = pd.DataFrame(
        {
            "label": [f"{place:02}" for place in range(len(architectures))],
            "architecture": architectures,
            "parameters": range(len(architectures)),
            "model": "m",
            "step": None,
        }
    )
    found = model_styles(models.sample(frac=1, random_state=0))
    return [found[label] for label in models["label"]]


def test_colour_and_marker_tell_the_architecture():
    drawn = styles("transformer", "state space", "hybrid", "recurrent", None)
    assert len({style.colour for style in drawn}) == 5
    assert len({style.marker for style in drawn}) == 5


def test_larger_models_are_darker_and_the_largest_is_solid():
    drawn = styles("transformer", "transformer", "transformer")
    brightness = [np.sum([int(style.colour[place : place + 2], 16) for place in (1, 3, 5)]) for style in drawn]
    assert brightness == sorted(brightness, reverse=True)
    assert drawn[-1].dashes == ()
    assert len({style.dashes for style in drawn}) == 3


@pytest.mark.parametrize("architecture", ["transformer", "state space", "hybrid", "recurrent", None])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_model_can_be_seen_on_white(architecture, count):
    colours = [style.colour for style in styles(*[architecture] * count)]
    assert len(set(colours)) == count
    assert min(map(contrast_to_white, colours)) >= 3


def test_a_legends_key_has_the_marker_and_as_many_bars_as_there_are_dashes():
    solid, dashed = styles("transformer", "transformer")[::-1]
    assert legend_key(solid).count("M") == 1 + 1
    assert legend_key(dashed).count("M") == 3 + 1


def turn(path):
    """Twice the signed area within a path of straight lines: positive if it goes clockwise on a screen."""
    points = [(0.0, 0.0)]
    for command, numbers in re.findall(r"([MLHV])([^A-Z]+)", path):
        *_, x, y = [float(number) for number in re.findall(r"-?[\d.]+", numbers)] * 2
        points.append((x, points[-1][1]) if command == "H" else (points[-1][0], y) if command == "V" else (x, y))
    (_, *corners) = points
    return sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise([*corners, corners[0]]))


@pytest.mark.parametrize("architecture", ["state space", "hybrid", "recurrent", None])
def test_marker_and_bar_of_a_legends_key_turn_alike_so_that_neither_cuts_a_hole_into_the_other(architecture):
    [style] = styles(architecture)
    bar, marker = legend_key(style).split("Z")[:2]
    assert turn(bar) > 0
    assert turn(marker) > 0
