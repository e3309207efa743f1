import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from copy_eval.reports.figures import drawing
from copy_eval.reports.figures.drawing import length_colours, model_styles
from copy_eval.reports.report import build_report
from copy_eval.reports.report_files import render_files
from tests.reports.result_files import write_results


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


def contrast_to_white(colour):
    """As WCAG 2.2 defines it."""
    channels = np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05)


@pytest.mark.parametrize("architecture", ["transformer", "state space", "hybrid", None])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_every_model_can_be_seen_on_white(architecture, count):
    colours = [style.colour for style in styles(*[architecture] * count)]
    assert len(set(colours)) == count
    assert min(map(contrast_to_white, colours)) >= 3


@pytest.mark.parametrize("count", [1, 2, 12])
def test_every_length_has_a_colour_of_its_own_that_can_be_seen_on_white(count):
    colours = length_colours(range(count))
    assert list(colours) == list(range(count))
    assert len(set(colours.values())) == count
    assert min(map(contrast_to_white, colours.values())) >= 3


@pytest.fixture
def only_dejavu(monkeypatch):
    """As on a machine that has no other fonts than matplotlib's own."""
    monkeypatch.setattr(drawing, "_FALLBACKS", ())
    for cached in (drawing.families, drawing._characters):
        cached.cache_clear()
    yield
    for cached in (drawing.families, drawing._characters):
        cached.cache_clear()


@pytest.mark.usefixtures("only_dejavu")
def test_what_no_font_has_is_written_as_an_escape():
    assert drawing.drawable("Qwen-通义 ß é\n") == "Qwen-\\u901a\\u4e49 ß é\n"


@pytest.mark.usefixtures("only_dejavu")
def test_names_in_any_script_are_drawn_without_a_warning_and_stay_apart(tmp_path):
    for place, model in enumerate(("组织/模型", "조직/모형", "組織/模型", "org/модель", "org/🦙")):
        for step in (1, 2, 3):
            write_results(
                tmp_path, {10: 0.5, 20: 0.1}, model=model, date=float(10 * place + step), log_samples=True,
                model_revision=f"step{step}",
            )  # fmt: skip
    report = build_report([tmp_path])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(render_files(report).values())
    assert len(set(drawing.legend_names(report.accuracy["label"].unique()).values())) == 15


def test_an_installed_font_that_has_a_script_is_used(monkeypatch):
    monkeypatch.setattr(drawing, "_FALLBACKS", ("STIXGeneral", "No Such Font"))
    drawing.families.cache_clear()
    assert drawing.families() == ["DejaVu Sans", "STIXGeneral"]  # matplotlib brings both
    drawing.families.cache_clear()
