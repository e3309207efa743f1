"""The files of a report: CSV, tables, charts and the page, contents by name; and the folder they are written to."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from copy_eval.errors import UserError
from copy_eval.reports.charts.catalogue import CHARTS, ChartKind
from copy_eval.reports.charts.rendering import to_files
from copy_eval.reports.page import render_page
from copy_eval.reports.report import Report
from copy_eval.reports.writing.files import write_files
from copy_eval.reports.writing.formats import to_csv, to_latex, to_markdown
from copy_eval.reports.writing.tables import (
    accuracy_tables,
    depth_tables,
    examples_tables,
    leaderboard_table,
    wrong_answer_tables,
)

_Part = Callable[[], dict[str, bytes]]


def render_files(report: Report) -> dict[str, bytes]:
    """Return the files of a report, contents by name: CSV, tables, charts and ``index.html``.

    Charts are drawn for each series S of results: ``S``, ``depth_S`` where samples with a depth were logged, and
    ``emergence_S`` where a model has several training steps. The rows behind each stand in a CSV.
    """
    files: dict[str, bytes] = {}
    for part in tqdm(list(_parts(report)), desc="drawing", unit="part", delay=2, disable=None):
        files |= part()
    return files


def _parts(report: Report) -> Iterator[_Part]:
    yield partial(_tables, report)
    for kind in CHARTS:
        for series, rows in kind.of_series(report).items():
            yield partial(_chart, kind, rows, series)
    yield partial(_page, report)


def _chart(kind: ChartKind, rows: pd.DataFrame, series: str) -> dict[str, bytes]:
    return to_files(kind.draw_few(rows), kind.prefix + series)


def _page(report: Report) -> dict[str, bytes]:
    return {"index.html": render_page(report).encode()}


def _tables(report: Report) -> dict[str, bytes]:
    tables = [
        leaderboard_table(report),
        *accuracy_tables(report),
        *depth_tables(report),
        *examples_tables(report),
        *wrong_answer_tables(report),
    ]
    texts = {
        "leaderboard.csv": to_csv(report.leaderboard),
        "tables.md": "\n".join(map(to_markdown, tables)),
        "tables.tex": "% needs \\usepackage{booktabs}\n\n" + "\n".join(map(to_latex, tables)),
    }
    frames = {kind.table: kind.rows(report) for kind in CHARTS} | {
        # Charts draw the means over seeds; these have a row for each seed.
        "accuracy_by_length.csv": report.accuracy,
        "memory.csv": report.memory,
        "accuracy_over_seeds.csv": report.lines.dropna(subset="seeds"),
        "accuracy_by_quarter.csv": report.depth_quarters,
        "examples_to_90.csv": report.examples,
        "wrong_answers.csv": report.wrong_answers,
    }
    texts |= {name: to_csv(frame) for name, frame in frames.items() if len(frame)}
    return {name: text.encode() for name, text in texts.items()}


_MANIFEST = ".copy-eval-report"
"""Names what a report wrote, as ``sha256sum`` does: a hash and a name a line."""


def write_report(folder: Path, files: Mapping[str, bytes]) -> tuple[list[Path], list[Path]]:
    """Write the files of a report, and remove what an earlier report left in the folder and this one does not write.

    What was changed since an earlier report wrote it stays, like all that no report wrote.

    Returns:
        The paths of the files that were written, and of those that were removed.

    Raises:
        UserError: if something cannot be written or removed.
    """
    earlier = _read_manifest(folder / _MANIFEST)
    manifest = "".join(f"{_hash(content)}  {name}\n" for name, content in files.items())
    *written, _ = write_files(folder, {**files, _MANIFEST: manifest.encode()})
    stale = [folder / name for name, digest in earlier.items() if name not in files and _holds(folder / name, digest)]
    for file in stale:
        try:
            file.unlink()
        except OSError as error:
            raise UserError(f"cannot remove {file}, which an earlier report wrote: {error.strerror}") from error
    return written, stale


def _read_manifest(file: Path) -> dict[str, str]:
    """Return the hashes of files by their names; what names no file in this very folder is passed over."""
    try:
        lines = [line.partition("  ") for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: digest for digest, _, name in lines if name and Path(name).name == name}


def _holds(file: Path, digest: str) -> bool:
    return file.is_file() and not file.is_symlink() and _hash(file.read_bytes()) == digest


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
