"""``copy-eval gate``: fails a CI job when a checkpoint copies significantly worse than the baseline."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_eval.errors import UserError

if TYPE_CHECKING:
    from copy_eval.reports.comparison.evaluation import Evaluation

_DESCRIPTION = """
Compare the results of a checkpoint with a baseline, length by length and all lengths of a task together, and print a
summary in Markdown. A length, or a task, fails if its exact match is lower by more than --max-drop and the drop is
significant at --alpha (one-sided exact tests, adjusted for their number). With --log_samples on both sides the tests
are paired and find smaller drops. The summary says how small a drop the given prompts can show.

--max-drop rarely decides about a single length: at 200 prompts no drop of less than about 5 points is significant, so
its default of 0.02 lets nothing pass there that --alpha would not. It decides about all lengths together, and where a
length has some thousand prompts. A length whose accuracy in the baseline is not above it cannot fail.
"""
_EPILOG = """
exit codes: 0 pass, 1 a length or a task dropped, 2 unusable input, such as a length of the baseline that RESULTS do
not have, that is over the context now, or that has too few prompts or right answers for any drop to be significant; a
length that is new passes

examples:
  copy-eval gate results --baseline baseline.json --update
  copy-eval gate results --baseline baseline.json
  copy-eval gate results --baseline baseline.json --summary "$GITHUB_STEP_SUMMARY" --junit gate.xml
"""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "gate",
        help="fail a CI job on a significant drop",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULTS", help="result files or folders of one model and revision"
    )
    parser.add_argument("--baseline", required=True, type=Path, metavar="FILE", help="baseline, a small JSON file")
    parser.add_argument("--update", action="store_true", help="write RESULTS as the baseline instead of comparing")
    parser.add_argument(
        "--max-drop", type=float, default=0.02, metavar="SHARE", help="accuracy that may be lost (default: %(default)s)"
    )
    parser.add_argument(
        "--alpha", type=float, default=0.01, metavar="P", help="level of significance (default: %(default)s)"
    )
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the summary to this file")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a test case for each length as JUnit XML")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the baseline, or judge the results by it and return the exit code."""
    # pandas and scipy take seconds to import: only this subcommand pays for them.
    from copy_eval.reports.comparison.evaluation import read_evaluation
    from copy_eval.reports.gate.baseline import read_baseline
    from copy_eval.reports.gate.outcome import summarise, to_junit
    from copy_eval.reports.gate.verdicts import exit_code, judge
    from copy_eval.reports.writing.files import append_whole, write_files

    if options.update:
        return _update(read_evaluation(options.results), options)
    # The baseline first: it is small, and what is wrong with it is known at once.
    baseline, now = read_baseline(options.baseline), read_evaluation(options.results)
    judged = judge(baseline, now, options.max_drop, options.alpha)
    summary = summarise(judged, baseline, now, options.max_drop, options.alpha)
    print(summary, end="")
    if options.summary:
        append_whole(options.summary, summary)
    if options.junit:
        write_files(options.junit.parent, {options.junit.name: to_junit(judged, now).encode()})
    return exit_code(judged)


def _update(now: "Evaluation", options: argparse.Namespace) -> int:
    from copy_eval.reports.frames.result_files import counted
    from copy_eval.reports.gate.baseline import to_json
    from copy_eval.reports.gate.verdicts import UNUSABLE, judge
    from copy_eval.reports.writing.files import write_files

    if options.summary or options.junit:
        raise UserError("--update writes a baseline and nothing else; leave out --summary and --junit")
    write_files(options.baseline.parent, {options.baseline.name: to_json(now).encode()})
    judged = judge(now, now, options.max_drop, options.alpha)
    silent = judged[(judged["verdict"] == UNUSABLE) & judged["length"].notna()]
    unpaired = sum(score.answers is None and not score.over_context for score in now.scores)
    hint = f"; {unpaired} without samples, for which comparisons are unpaired (--log_samples)" if unpaired else ""
    print(f"wrote {options.baseline}: {now.label}, {counted(len(now.scores), 'length')}{hint}")
    if len(silent):
        named = ", ".join(silent["task_name"])
        print(f"too few prompts or right answers for any drop to be significant, evaluate more: {named}")
    return 0
