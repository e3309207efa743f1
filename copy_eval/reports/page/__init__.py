"""``index.html``: the report as one file that opens in any browser, offline."""

import base64
import gzip
import hashlib
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from plotly.offline import get_plotlyjs

import copy_eval
from copy_eval.reports.page.content import page_content
from copy_eval.reports.report import Report

_FOLDER = Path(__file__).parent


def render_page(report: Report) -> str:
    """Return the text of ``index.html``: leaderboard, charts and tables of ``report``, with all that they need.

    The page holds plotly.js compressed (2 MB instead of 5) and its content security policy lets no other script run
    and nothing be loaded, whatever a model is called.
    """
    plotly = get_plotlyjs()
    script = (_FOLDER / "page.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2").render(
        **page_content(report),
        version=copy_eval.__version__,
        policy=_content_security_policy([plotly, script]),
        plotly=base64.b64encode(gzip.compress(plotly.encode(), mtime=0)).decode(),
        script=Markup(script),
        style=Markup((_FOLDER / "page.css").read_text(encoding="utf-8")),
    )


def _content_security_policy(scripts: list[str]) -> str:
    """Allow these very scripts, by their hashes, and styles within the page (plotly writes some); nothing else."""
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def _breakable(text: str) -> Markup:
    """Let a name break behind its slashes and at signs; a browser breaks it at hyphens and spaces alone."""
    return Markup(re.sub(r"([/@])", r"\1<wbr>", str(escape(text))))
