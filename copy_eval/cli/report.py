"""``copy-eval report``: result files of lm-eval in, a table, a CSV and a plot for each task out."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_eval.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

_LENGTH_LABELS = {
    "phonebook": "entries in the phonebook",
    "c4_copy": "tokens of the text",
    "squad_by_length": "tokens of the paragraph, at least",
}


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser("report", help="tables, CSV and plots of accuracy by length", description=__doc__)
    parser.add_argument(
        "results", nargs="+", type=Path, help="folders or files that lm_eval wrote to its --output_path"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the tables and write ``accuracy_by_length.csv`` and a PNG and an SVG for each task."""
    # pandas and matplotlib take a second to import: only this subcommand pays for them.
    from copy_eval.reports.plots import plot_accuracy
    from copy_eval.reports.results import read_results
    from copy_eval.reports.statistics import accuracy_by_length
    from copy_eval.reports.tables import accuracy_table, to_markdown

    accuracy = accuracy_by_length(read_results(options.results))
    written = []
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        written.append(options.out / "accuracy_by_length.csv")
        accuracy.to_csv(written[-1], index=False)
        for task in accuracy["task"].unique():
            rows = accuracy[accuracy["task"] == task]
            label = next((label for prefix, label in _LENGTH_LABELS.items() if task.startswith(prefix)), "length")
            title = _title(task, rows)
            print(f"\n{title}: exact match by {label}\n\n{to_markdown(accuracy_table(rows))}\n")
            figure = plot_accuracy(rows, title, label)
            for suffix in (".png", ".svg"):
                written.append(options.out / f"{task}{suffix}")
                figure.savefig(written[-1], dpi=150)
    except OSError as error:
        raise UserError(f"cannot write to {options.out}: {error.strerror}") from error
    print("\n".join(f"wrote {path}" for path in written))
    return 0


def _title(task: str, rows: "pd.DataFrame") -> str:
    """Name the task, and the text that it was run on: c4_copy on another text is no result for C4."""
    texts = ", ".join(rows["text"].dropna().unique())
    return f"{task} on {texts}" if texts else task
