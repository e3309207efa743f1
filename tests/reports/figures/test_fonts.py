import warnings

import pytest

from copy_eval.reports.figures import fonts
from copy_eval.reports.rendering import render_files
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results


@pytest.fixture
def only_dejavu(monkeypatch):
    """As on a machine that has no other fonts than matplotlib's own."""
    monkeypatch.setattr(fonts, "_FALLBACKS", ())
    for cached in (fonts.families, fonts._characters):
        cached.cache_clear()
    yield
    for cached in (fonts.families, fonts._characters):
        cached.cache_clear()


@pytest.mark.usefixtures("only_dejavu")
def test_what_no_font_has_is_written_as_an_escape():
    assert fonts.drawable("Qwen-通义 ß é\n") == "Qwen-\\u901a\\u4e49 ß é\n"


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
    assert len(set(fonts.legend_names(report.accuracy["label"].unique()).values())) == 15


def test_an_installed_font_that_has_a_script_is_used(monkeypatch):
    monkeypatch.setattr(fonts, "_FALLBACKS", ("STIXGeneral", "No Such Font"))
    fonts.families.cache_clear()
    assert fonts.families() == ["DejaVu Sans", "STIXGeneral"]  # matplotlib brings both
    fonts.families.cache_clear()
