"""``copy-eval report``: result files of lm-eval in; tables, CSV, charts and a page out."""

import argparse
from pathlib import Path
from typing import Any

_DESCRIPTION = """\
Read lm-eval's result files and write a leaderboard, tables (CSV, Markdown and LaTeX), charts (PNG, SVG and PDF) and a
page, index.html. The same measurement twice counts once: the run with most prompts, of these the newest. A model that
was loaded or prompted in several ways has a row for each. Runs that logged their samples (lm_eval --log_samples) also
give heat maps by the place of the answer in the prompt. What an earlier report left in the folder, and this one does
not write, is removed, unless it was changed since."""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser("report", help="leaderboard, tables, charts and a page", description=_DESCRIPTION)
    parser.add_argument(
        "results", nargs="+", type=Path, help="folders or files that lm_eval wrote to its --output_path"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument(
        "--pool", action="store_true", help="add up runs of a model on different prompts (other data_seed)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables and write the files of the report."""
    # pandas and Altair take seconds to import: only this subcommand pays for them.
    from copy_eval.reports.frames.result_files import counted
    from copy_eval.reports.frames.series import FEW_STEPS
    from copy_eval.reports.report import build_report
    from copy_eval.reports.report_files import render_files, write_report
    from copy_eval.reports.writing.formats import to_terminal
    from copy_eval.reports.writing.tables import accuracy_tables, examples_tables, leaderboard_table

    report = build_report(options.results, options.pool)
    written, removed = write_report(options.out, render_files(report))
    brief = report.with_few_steps(FEW_STEPS)
    tables = [*accuracy_tables(brief), *examples_tables(brief), leaderboard_table(brief)]
    for table in tables:
        print(to_terminal(table))
    if left_out := len(report.leaderboard) - len(brief.leaderboard):
        print(f"Left out above: {counted(left_out, 'other training step')} of these models; tables.md has all rows.")
    print("\n".join(dict.fromkeys(note for table in tables for note in table.notes)) + "\n")
    print("\n".join(f"wrote {file}" for file in written))
    for file in removed:
        print(f"removed {file}, of an earlier report")
    return 0
