"""The outcome of a gate: in Markdown, for the page of a CI job and for the terminal, and as JUnit XML."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pandas as pd
from tabulate import tabulate

from copy_eval.measurement import describe_differences
from copy_eval.reports.comparison.evaluation import Evaluation
from copy_eval.reports.comparison.text import describe_evaluation, describe_sensitivity
from copy_eval.reports.frames.result_files import counted
from copy_eval.reports.frames.series import ALL_LENGTHS, length_names
from copy_eval.reports.gate.verdicts import DROP, NEW, PASS, ROUNDING, SKIPPED, UNUSABLE
from copy_eval.reports.writing import junit
from copy_eval.reports.writing.formats import accuracy_text, difference_text, escape, interval_text, p_text


def summarise(judged: pd.DataFrame, baseline: Evaluation, now: Evaluation, max_drop: float, alpha: float) -> str:
    """Write the verdict in the first line, a table by task and length, and what else there is to know.

    Args:
        judged: as ``verdicts.judge`` returns it.
        baseline: what was compared with.
        now: what was compared.
        max_drop: as it was judged by.
        alpha: as it was judged by.
    """
    tests = judged["p"].count()
    about = [
        f"Now: {escape(describe_evaluation(now))}",
        f"Baseline: {escape(describe_evaluation(baseline))}",
        *_setups(baseline, now),
        f"A length, or a task whose lengths fell together, fails if its exact match is lower by more than "
        f"{max_drop:g}, significantly at {alpha:g}: one-sided exact tests, adjusted by Holm's method for {tests} tests",
        *map(escape, describe_sensitivity(judged, alpha, max_drop)),
    ]
    notes = list(_notes(judged, max_drop))
    parts = [f"## copy-eval gate: {_verdict(judged)}", _bullets(about), _table(judged)]
    return "\n\n".join(parts + ([_bullets(notes)] if notes else [])) + "\n"


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _setups(baseline: Evaluation, now: Evaluation) -> Iterator[str]:
    """Say what is not the same about the two runs; that the weights differ is why there is a gate."""
    setups = [
        {facet: value for facet, value in each.setup.items() if facet not in ("weights", "pretrained")}
        for each in (baseline, now)
    ]
    before, after = describe_differences(setups)
    if before or after:
        yield escape(f"Not loaded or prompted alike: the baseline {before or 'plain'}, now {after or 'plain'}")


def _verdict(judged: pd.DataFrame) -> str:
    lengths, together = judged[judged["length"].notna()], judged[judged["length"].isna()]
    dropped, unusable = (int((lengths["verdict"] == verdict).sum()) for verdict in (DROP, UNUSABLE))
    compared = lengths["difference"].count()
    also = f", {unusable} cannot be judged" if unusable else ""
    if dropped:
        return f"FAIL, {dropped} of {counted(compared, 'length')} dropped{also}"
    if DROP in set(together["verdict"]):
        tasks = ", ".join(together.loc[together["verdict"] == DROP, "task"])
        return f"FAIL, the lengths of {escape(tasks)} dropped together{also}"
    if unusable:
        return f"UNUSABLE, {unusable} of the baseline's lengths cannot be judged"
    return f"PASS, none of {counted(compared, 'length')} dropped"


def _table(judged: pd.DataFrame) -> str:
    cells = []
    for _, rows in judged.groupby("task", sort=False):
        names = length_names(rows)
        cells += [_cells(row, names) for row in rows.itertuples()]
    align = ["left", *["right"] * 7, "left"]
    return tabulate(cells, headers="keys", tablefmt="github", disable_numparse=True, colalign=align)


def _cells(row: Any, names: Mapping[int, str]) -> dict[str, str]:
    return {
        "task": escape(row.task),
        "length": ALL_LENGTHS if pd.isna(row.length) else escape(names[row.length]),
        "prompts": " and ".join(dict.fromkeys(str(n) for n in (row.n_a, row.n_b) if pd.notna(n))),
        "baseline": "" if pd.isna(row.n_a) else accuracy_text(row.accuracy_a, row.over_context_a),
        "now": "" if pd.isna(row.n_b) else accuracy_text(row.accuracy_b, row.over_context_b),
        "change": difference_text(row.difference),
        "95 % interval": interval_text(row.low, row.high),
        "adjusted p": p_text(row.p_adjusted),
        "verdict": f"**{row.verdict}**" if row.verdict in (DROP, UNUSABLE) else row.verdict,
    }


def _notes(judged: pd.DataFrame, max_drop: float) -> Iterator[str]:
    """Say why lengths are unusable, new or not paired, and which drops may be chance."""
    for (verdict, note), rows in judged.groupby(["verdict", "note"], sort=False):
        is_unpaired = verdict in (PASS, DROP) and not rows["paired"].any()
        yield escape(f"{'unpaired' if is_unpaired else verdict}: {_name_lengths_by_task(rows)}: {note}")
    if UNUSABLE in set(judged["verdict"]) and judged.loc[judged["verdict"] == UNUSABLE, "p"].notna().any():
        yield escape(
            "evaluate more prompts, also for the baseline; a length whose accuracy in the baseline is at most "
            f"--max-drop ({max_drop:g}) need not be tested"
        )
    uncertain = judged[(judged["verdict"] == PASS) & (judged["difference"] < -max_drop - ROUNDING).fillna(False)]
    if len(uncertain):
        yield escape(f"lower by more than {max_drop:g}, but not significantly: {_name_lengths_by_task(uncertain)}")


def _name_lengths_by_task(rows: pd.DataFrame) -> str:
    """Name lengths by task: ``c4_copy 25, 50; phonebook_copy 10``."""
    named = {
        task: [*length_names(lengths).values(), *(ALL_LENGTHS for _ in range(lengths["length"].isna().sum()))]
        for task, lengths in rows.groupby("task", sort=False)
    }
    return "; ".join(f"{task!s} {', '.join(lengths)}" for task, lengths in named.items())


_OUTCOMES: Mapping[str, Literal["failure", "error", "skipped"]] = {
    DROP: "failure", UNUSABLE: "error", NEW: "skipped", SKIPPED: "skipped"
}  # fmt: skip


def to_junit(judged: pd.DataFrame, now: Evaluation) -> str:
    """Write a test case for each length, and for all lengths of a task together.

    A drop fails, what is unusable is an error, and what is new is skipped.

    Args:
        judged: as ``verdicts.judge`` returns it.
        now: the evaluation that was judged.
    """
    cases = [_case(row) for row in judged.itertuples()]
    return junit.to_junit(f"copy-eval gate of {now.label}", cases, timestamp=now.date[:19])


def _case(row: Any) -> junit.Case:
    classname, name = f"copy_eval.{row.task}", _case_name(row)
    if row.verdict not in _OUTCOMES:
        return junit.Case(classname, name)
    message = _describe_outcome(row)
    return junit.Case(classname, name, _OUTCOMES[row.verdict], row.verdict, message, [message])


def _case_name(row: Any) -> str:
    return f"{row.task}, {ALL_LENGTHS} lengths" if pd.isna(row.length) else row.task_name


def _describe_outcome(row: Any) -> str:
    facts = []
    if pd.notna(row.difference):
        accuracies = f"{accuracy_text(row.accuracy_a, False)} to {accuracy_text(row.accuracy_b, False)}"
        change = f"{difference_text(row.difference)} (95 % interval {interval_text(row.low, row.high)})"
        facts.append(f"exact match {accuracies}, change {change}, adjusted p {p_text(row.p_adjusted)}")
    if pd.notna(row.note):
        facts.append(row.note)
    return "; ".join([row.verdict, *facts])
