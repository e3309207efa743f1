"""``index.html``: the report as one file that opens in any browser, offline."""

import base64
import gzip
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

import copy_eval
from copy_eval.reports.charts.rendering import javascript
from copy_eval.reports.frames.result_files import counted
from copy_eval.reports.page.models import models_of
from copy_eval.reports.page.sections import chart_sections, section_titles, sections_of
from copy_eval.reports.page.tables import (
    examples_tables,
    files_table,
    leaderboard_table,
    prompts_table,
    wrong_answers_tables,
)
from copy_eval.reports.report import Report
from copy_eval.reports.statistics.summaries import RANK_RULE

_FOLDER = Path(__file__).parent


def render_page(report: Report) -> str:
    """Return the text of ``index.html``: leaderboard, charts and tables of ``report``, with all that they need.

    The page holds Vega compressed (0.4 MB instead of 0.9). Its content security policy lets no other script run, no
    text become a script, and nothing be loaded, whatever a model is called.
    """
    vega = javascript()
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2").render(
        **_content(report),
        version=copy_eval.__version__,
        policy=_content_security_policy([vega, script]),
        vega=base64.b64encode(gzip.compress(vega.encode(), mtime=0)).decode(),
        script=Markup(script),
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
    )


def _content(report: Report) -> dict[str, Any]:
    """Return the variables of the template that depend on the report."""
    models = models_of(report)
    titles = section_titles(report.accuracy)
    sections = sections_of(report, models)
    charts = chart_sections(report, models)
    panels = [section.panel for section in sections]
    panels += [panel for section in charts for group in section.panels.values() for panel in group]
    return {
        "summary": _summary(len(models), len(titles)),
        "models": models,
        "rank_rule": RANK_RULE,
        "leaderboard": leaderboard_table(report, titles, models),
        "sections": sections,
        "chart_sections": charts,
        "drawings": {
            "models": [model.labels for model in models],
            "charts": {panel.anchor: panel.spec for panel in panels},
        },
        "examples": examples_tables(report.examples, titles),
        "wrong_answers": wrong_answers_tables(report.wrong_answers, titles, models),
        "prompts": prompts_table(report.accuracy),
        "files": files_table(report.accuracy, models),
    }


def _summary(models: int, tasks: int) -> str:
    compared = f"{counted(models, 'language model')} on {counted(tasks, 'task')}"
    return f"How often the answer is exactly right when it stands in the prompt, as the prompt grows: {compared}."


def _content_security_policy(scripts: list[str]) -> str:
    """Allow these very scripts, by their hashes, and styles within the page (the charts have some); nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _breakable(text: str) -> Markup:
    """Let a name break behind its slashes and at signs; a browser breaks it at hyphens and spaces alone."""
    return Markup(re.sub(r"([/@])", r"\1<wbr>", str(escape(text))))
