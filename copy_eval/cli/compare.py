"""``copy-eval compare``: two models on the same prompts, length by length."""

import argparse
from pathlib import Path
from typing import Any

from copy_eval.errors import UserError

_DESCRIPTION = """
Compare the exact match of two models, length by length and all lengths of a task together. Where both answered the
same prompts and logged their samples (lm_eval's --log_samples), the comparison is paired, which finds smaller
differences; else it says why it is not. Runs with and without a chat template saw other text and are not paired.
Different versions of a task, and different texts, are never compared.
"""
_EPILOG = """
exit codes: 0 compared, 2 bad input or nothing that can be compared

examples:
  copy-eval compare results/tiny-pythia results/tiny-mamba
  copy-eval compare results/tiny-pythia results/tiny-mamba --format csv > comparison.csv
"""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "compare",
        help="two models on the same prompts",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "a", type=Path, metavar="A", help="result file or folder of one model, revision and way of loading it"
    )
    parser.add_argument("b", type=Path, metavar="B", help="that of the other")
    parser.add_argument(
        "--format", choices=["table", "csv", "json", "markdown"], default="table", help="what to print (default: table)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the comparison."""
    # pandas and scipy take seconds to import: only this subcommand pays for them.
    from copy_eval.reports.comparison.comparison import compare
    from copy_eval.reports.comparison.evaluation import read_evaluation
    from copy_eval.reports.comparison.text import render

    a, b = read_evaluation([options.a]), read_evaluation([options.b])
    comparison = compare(a, b)
    print(render(comparison, a, b, options.format))
    if comparison["difference"].isna().all():
        raise UserError("nothing was compared: there is no length at which both have a score; the notes say why")
    return 0
