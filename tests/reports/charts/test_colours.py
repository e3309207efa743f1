import numpy as np
import pytest

from copy_eval.reports.charts.colours import length_colours


def contrast_to_white(colour):
    """As WCAG 2.2 defines it."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


@pytest.mark.parametrize("count", [1, 2, 12])
def test_every_length_has_a_colour_of_its_own_that_can_be_seen_on_white(count):
    colours = length_colours(range(count))
    assert list(colours) == list(range(count))
    assert len(set(colours.values())) == count
    assert min(map(contrast_to_white, colours.values())) >= 3
