import numpy as np
import pandas as pd
from matplotlib.colors import to_hex

from copy_eval.reports.figures.styles import model_styles


def styles(*architectures):
    return list(
        model_styles(
            pd.DataFrame({"label": list(map(str, range(len(architectures)))), "architecture": architectures})
        ).values()
    )


def test_colour_and_marker_tell_the_architecture():
    transformer, state_space, hybrid, unknown = styles("transformer", "state space", "hybrid", None)
    assert len({style.colour for style in (transformer, state_space, hybrid, unknown)}) == 4
    assert len({style.marker for style in (transformer, state_space, hybrid, unknown)}) == 4


def test_larger_models_are_darker_and_the_largest_is_solid():
    drawn = styles("transformer", "transformer", "transformer")
    brightness = [np.sum([int(to_hex(style.colour)[place : place + 2], 16) for place in (1, 3, 5)]) for style in drawn]
    assert brightness == sorted(brightness, reverse=True)
    assert drawn[-1].dashes == ()
    assert len({style.dashes for style in drawn}) == 3
