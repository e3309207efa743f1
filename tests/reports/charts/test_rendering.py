import json

import pytest

from copy_eval.reports.charts import rendering
from copy_eval.reports.charts.catalogue import CHARTS
from copy_eval.reports.charts.rendering import drawable, javascript, to_files, to_spec
from copy_eval.reports.charts.theme import FONT
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results, write_trained


@pytest.fixture
def report(tmp_path):
    """Of two models with names in Chinese, each at three training steps, and two seeds of one that we trained."""
    for place, model in enumerate(("组织/模型", "組織/模型")):
        for step in (1, 2, 3):
            write_results(
                tmp_path, {10: 0.5, 20: 0.1}, model=model, date=float(10 * place + step), log_samples=True,
                model_revision=f"step{step}",
            )  # fmt: skip
            write_trained(
                tmp_path, {10: 0.5, 20: 0.1}, "模型", seed=place, step=step, task="phonebook_copy",
                learned="phonebook_copy", memory={10: 20.0, 20: 20.0}, date=float(10 * place + step),
            )  # fmt: skip
    return build_report([tmp_path])


@pytest.mark.parametrize("kind", CHARTS, ids=lambda kind: kind.name)
def test_every_kind_is_valid_and_its_pictures_do_not_change_from_run_to_run(report, kind):
    [rows] = kind.of_series(report).values()
    chart = kind.draw_few(rows)
    chart.to_dict(validate=True)
    first, second = (to_files(chart, "a") for _ in range(2))
    assert [first[name] == second[name] for name in ("a.png", "a.svg")] == [True, True]  # a PDF's parts have no order
    assert {name: content[:4] for name, content in first.items()} == {
        "a.png": b"\x89PNG",
        "a.svg": b"<svg",
        "a.pdf": b"%PDF",
    }


def test_more_rows_than_altair_would_take_unasked_are_drawn(tmp_path):
    report = build_report([write_results(tmp_path, dict.fromkeys(range(1, 6000), 0.5))])
    [rows] = CHARTS[0].of_series(report).values()
    assert len(rows) == 5999
    assert len(next(iter(to_spec(CHARTS[0].draw(rows))["datasets"].values()))) == 5999


@pytest.fixture
def without_chinese(monkeypatch):
    """As on a machine whose fonts have no Chinese."""
    drawn = rendering._picture.__wrapped__
    monkeypatch.setattr(
        rendering, "_picture", lambda character: drawn(rendering._NO_CHARACTER if character > "\u2fff" else character)
    )
    rendering._has_glyph.cache_clear()
    yield
    rendering._has_glyph.cache_clear()


@pytest.mark.usefixtures("without_chinese")
def test_what_no_font_has_is_written_as_an_escape():
    assert json.loads(drawable(json.dumps("Qwen-通义 ß é\n", ensure_ascii=False))) == "Qwen-\\u901a\\u4e49 ß é\n"


@pytest.mark.usefixtures("without_chinese")
def test_names_that_no_font_has_stay_apart(report):
    [rows] = CHARTS[0].of_series(report).values()
    svg = to_files(CHARTS[0].draw_few(rows), "a")["a.svg"].decode()
    assert "\\u7ec4\\u7ec7/" in svg
    assert "\\u7d44\\u7e54/" in svg


def test_the_renderer_says_which_characters_its_fonts_have():
    assert rendering._has_glyph("é")
    assert not rendering._has_glyph("\U0010fffd")
    assert FONT.startswith("DejaVu Sans")


def test_the_script_is_one_file_without_imports_that_carries_vegas_interpreter():
    script = javascript()
    assert len(script) < 1_000_000
    assert "vegaEmbed" in script
    assert "import " not in script[:200]


def test_the_script_does_not_change_from_call_to_call():
    assert javascript() == javascript()
