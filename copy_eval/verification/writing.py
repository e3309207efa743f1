"""The outcome of a verification: a table for the terminal, JSON, and JUnit XML."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace

from tabulate import tabulate

from copy_eval.reports.frames.result_files import counted
from copy_eval.reports.writing import junit
from copy_eval.verification.comparing import Comparison, Difference, Verification

_SCHEMA = 1


def to_terminal(verification: Verification) -> str:
    """Write the verdict in the first line, a row for each way, and what there is to know of each difference."""
    rows = [_cells(comparison) for comparison in verification.comparisons]
    table = tabulate(rows, headers="keys", tablefmt="simple", disable_numparse=True, colalign=["left", *["right"] * 4])
    lines = [
        *(f"{way.way}: not used: {way.unused}" for way in verification.comparisons if way.unused),
        *verification.notes,
        *_differences(verification),
    ]
    parts = [f"copy-eval verify: {describe_verdict(verification)}", verification.subject, table, "\n".join(lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_verdict(verification: Verification) -> str:
    """Say in a few words whether all ways answer alike."""
    compared = [comparison for comparison in verification.comparisons if not comparison.unused]
    wrong = [comparison.way for comparison in compared if comparison.diverged]
    if wrong:
        return f"DIVERGED, {len(wrong)} of {counted(len(compared), 'way')}: {', '.join(wrong)}"
    ties = sum(comparison.ties for comparison in compared)
    but = f" but for {counted(ties, 'tie')}" if ties else ""
    return f"EQUAL, the answers of {counted(len(compared), 'way')}{but}"


def _cells(comparison: Comparison) -> dict[str, str]:
    equal = "not used" if comparison.unused else f"{comparison.equal} of {comparison.total}"
    seconds = "" if comparison.seconds is None else f"{comparison.seconds:.1f}"
    numbers = ("", "") if comparison.unused else (str(comparison.ties), str(comparison.diverged))
    return {"way": comparison.way, "equal": equal, "ties": numbers[0], "diverged": numbers[1], "seconds": seconds}


def _differences(verification: Verification) -> Iterator[str]:
    """Describe the first difference of each way, a divergence before a tie."""
    for comparison in verification.comparisons:
        if comparison.differences:
            first = min(comparison.differences, key=lambda difference: difference.verdict == "tie")
            yield f"{comparison.way}: {describe_difference(first)}"


def describe_difference(difference: Difference) -> str:
    """Say where two answers part, what each says there, and what that is."""
    where = "" if difference.index is None else f" at token {difference.index}"
    text = f"{difference.request} parts{where}: {difference.reference!r} in the reference, {difference.other!r} here"
    if difference.gap is None or difference.noise is None:
        return f"{text}; {difference.verdict}"
    return (
        f"{text}; {difference.verdict}: {difference.gap:.2g} logits below the best choice, where rounding moves logits "
        f"by {difference.noise:.2g}"
    )


def to_json(verification: Verification) -> str:
    """Write all of it; ``schema`` rises when the meaning of a key changes."""
    ways = [
        asdict(comparison)
        | {"equal": comparison.equal, "ties": comparison.ties, "diverged": comparison.diverged}
        | {"unused": comparison.unused or None}  # the reason
        for comparison in verification.comparisons
    ]
    content = {
        "schema": _SCHEMA,
        "verdict": "diverged" if verification.exit_code else "equal",
        "subject": verification.subject,
        "notes": verification.notes,
        "ways": ways,
    }
    return json.dumps(content, indent=1) + "\n"


def to_junit(verification: Verification) -> str:
    """Write a test case for each way: one that diverged fails, and one that was not used is skipped."""
    cases = [_case(comparison) for comparison in verification.comparisons]
    return junit.to_junit(f"copy-eval verify: {verification.subject}", cases)


def _case(comparison: Comparison) -> junit.Case:
    case = junit.Case("copy_eval.verify", comparison.way, seconds=comparison.seconds or 0)
    if comparison.unused:
        return replace(case, outcome="skipped", message=comparison.unused)
    if not comparison.diverged:
        return case
    details = [describe_difference(each) for each in comparison.differences if each.verdict != "tie"]
    message = f"{comparison.diverged} of {counted(comparison.total, 'answer')} diverged"
    return replace(case, outcome="failure", reason="diverged", message=message, details=details)
