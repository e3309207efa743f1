"""Writes a comparison of two models for a terminal, for a page in Markdown, and as CSV and JSON."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from tabulate import tabulate

from copy_eval.measurement import describe_differences
from copy_eval.reports.comparison.evaluation import Evaluation
from copy_eval.reports.frames.result_files import keep_printable
from copy_eval.reports.frames.results import CONTEXT_NOT_CHECKED
from copy_eval.reports.frames.series import ALL_LENGTHS, length_names, length_unit
from copy_eval.reports.statistics.accuracy import metric_title
from copy_eval.reports.statistics.differences import LIKELY, detectable_drop
from copy_eval.reports.writing.formats import accuracy_text, difference_text, escape, interval_text, p_text, to_csv

SIGNIFICANT = 0.05
"""Differences with an adjusted p-value below this are called out."""

_LEGEND = (
    "A, B: exact match, and the 95 % interval of the difference. Only A, only B: prompts that one of the two alone\n"
    "answers rightly. p: McNemar's exact test (Fisher's where unpaired), for all lengths the exact test of their sum;\n"
    "adjusted for all these tests of a task by Holm's method; * below 0.05."
)

_CLUSTERS = (
    "\nPrompts about one book or article make a cluster. What is independent are the clusters: p is that of the exact\n"
    "sign-flip test of their differences, and the intervals are those of the effective number of prompts."
)


def render(comparison: pd.DataFrame, a: Evaluation, b: Evaluation, fmt: str) -> str:
    """Write a comparison.

    Args:
        comparison: as ``comparison.compare`` returns it.
        a: the first model.
        b: the second.
        fmt: table, csv, json or markdown; CSV and JSON have the columns of ``comparison.COLUMNS`` and the two models.
    """
    if fmt in ("csv", "json"):
        return _as_csv(comparison, a, b) if fmt == "csv" else _as_json(comparison, a, b)
    is_markdown = fmt == "markdown"
    write = escape if is_markdown else str
    header = [f"{name} = {line}" for name, line in zip("AB", _describe_models(a, b), strict=True)]
    sections = [part for rows in _series(comparison) for part in _section(rows, is_markdown)]
    parts = ["\n".join(f"- {write(line)}" if is_markdown else line for line in header), *sections]
    uncompared = "\n".join(map(write, _uncompared(comparison)))
    if uncompared:
        parts.append(uncompared)
    if sections:
        parts.append(_LEGEND + (_CLUSTERS if comparison["clusters"].notna().any() else ""))
    return "\n\n".join(parts)


def _describe_models(a: Evaluation, b: Evaluation) -> Iterator[str]:
    """Name the two; one model in two setups by what differs between them."""
    same = (a.model, a.revision) == (b.model, b.revision)
    differences = describe_differences([a.setup, b.setup]) if same else ["", ""]
    for model, difference in zip((a, b), differences, strict=True):
        yield describe_evaluation(model, difference)


def describe_evaluation(evaluation: Evaluation, difference: str = "") -> str:
    """Say which model was evaluated, when, and whether its backend may have cut prompts.

    Args:
        evaluation: of the model.
        difference: what is special about its setup, where that tells it from another.
    """
    label = f"{evaluation.label} ({keep_printable(difference)})" if difference else evaluation.label
    checked = all(score.context_checked for score in evaluation.scores)
    return f"{label}, evaluated {evaluation.date[:10]}" + ("" if checked else f", {CONTEXT_NOT_CHECKED}")


def _as_csv(comparison: pd.DataFrame, a: Evaluation, b: Evaluation) -> str:
    models = {
        f"{key}_{side}": value
        for side, each in (("a", a), ("b", b))
        for key, value in {"model": each.model, "revision": each.revision, "setup": json.dumps(each.setup)}.items()
    }
    return to_csv(pd.concat([pd.DataFrame(models, index=comparison.index), comparison], axis="columns")).rstrip("\n")


def _as_json(comparison: pd.DataFrame, a: Evaluation, b: Evaluation) -> str:
    models: dict[str, Any] = {
        side: {"model": each.model, "revision": each.revision, "setup": each.setup}
        for side, each in (("a", a), ("b", b))
    }
    rows = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in comparison.astype(object).to_dict("records")
    ]
    return json.dumps(models | {"lengths": rows}, indent=2, allow_nan=False)


def _series(comparison: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Part what both sides have into tables: by task, and its version and text; all lengths together come last."""
    common = comparison[comparison["n_a"].notna() & comparison["n_b"].notna()]
    for _, rows in common.groupby(["task", "task_version", "text"], dropna=False):
        yield rows


def _section(rows: pd.DataFrame, is_markdown: bool) -> Iterator[str]:
    task, text = rows["task"].iloc[0], rows["text"].iloc[0]
    title = f"{task} on {text}" if pd.notna(text) else task
    title = f"{title}, by {length_unit(rows)}"
    yield f"### {escape(title)}" if is_markdown else title
    yield _table(rows, "github" if is_markdown else "simple")
    findings = list(_sum_up(rows))
    if findings:
        yield "\n".join(map(escape, findings) if is_markdown else findings)


def _table(rows: pd.DataFrame, style: str) -> str:
    names = length_names(rows)
    cells = [_cells(row, names) for row in rows.itertuples()]
    align = ["right"] * (len(cells[0]) - 1) + ["left"]
    return tabulate(cells, headers="keys", tablefmt=style, disable_numparse=True, colalign=align)


def _cells(row: Any, names: Mapping[int, str]) -> dict[str, str]:
    return {
        "length": ALL_LENGTHS if pd.isna(row.length) else names[row.length],
        **_headlines(row),
        "prompts": _prompts_text(row),
        "A": accuracy_text(row.accuracy_a, row.over_context_a),
        "B": accuracy_text(row.accuracy_b, row.over_context_b),
        "B - A": difference_text(row.difference),
        "95 % interval": interval_text(row.low, row.high),
        "only A": "" if pd.isna(row.only_a) else str(row.only_a),
        "only B": "" if pd.isna(row.only_b) else str(row.only_b),
        "p": p_text(row.p),
        "adjusted p": p_text(row.p_adjusted) + (" *" if _is_significant(row.p_adjusted) else ""),
    }


def _prompts_text(row: Any) -> str:
    if row.n_a != row.n_b:
        return f"{row.n_a} and {row.n_b}"
    return f"{row.n_a}" if pd.isna(row.clusters) else f"{row.n_a} in {row.clusters} clusters"


def _headlines(row: Any) -> dict[str, str]:
    """Return the metric that stands for the task where it is not exact match, over all prompts of each side."""
    if row.headline == "exact_match":
        return {}
    title = metric_title(row.headline)
    values = {"A": row.headline_value_a, "B": row.headline_value_b}
    return {f"{title} {side}": "" if pd.isna(value) else f"{value:.3f}" for side, value in values.items()}


def _is_significant(p: Any) -> bool:
    return pd.notna(p) and p < SIGNIFICANT


def _sum_up(rows: pd.DataFrame) -> Iterator[str]:
    """Say in words at which lengths B is better, worse, or not known to be either, and what was not paired."""
    tested = rows[rows["p_adjusted"].notna() & rows["length"].notna()]
    significant = tested["p_adjusted"] < SIGNIFICANT
    findings = {
        "B is better at": tested[significant & (tested["difference"] > 0)],
        "B is worse at": tested[significant & (tested["difference"] < 0)],
        "no significant difference at": tested[~significant],
    }
    names = length_names(rows)
    found = [f"{words} {_name_lengths(lengths, names)}" for words, lengths in findings.items() if len(lengths)]
    if found:
        yield "; ".join(found)
    row: Any
    for row in rows[rows["length"].isna()].itertuples():
        which = "B is worse" if row.difference < 0 else "B is better"
        yield f"all lengths together: {which if _is_significant(row.p_adjusted) else 'no significant difference'}"
    # Half of the level is for a drop, the other half for a rise.
    yield from (line.partition(": ")[2] for line in describe_sensitivity(rows, SIGNIFICANT / 2))
    for note, noted in rows.groupby("note"):
        compared, paired = noted["p"].notna().any(), noted["paired"].fillna(False).all()
        prefix = "not on all prompts" if paired else "unpaired" if compared else "not compared"
        yield f"{prefix} at {_name_lengths(noted, names)}: {note}"


def _name_lengths(rows: pd.DataFrame, names: Mapping[int, str]) -> str:
    return ", ".join(names[length] for length in rows["length"])


def _uncompared(comparison: pd.DataFrame) -> Iterator[str]:
    alone = comparison[comparison["n_a"].isna() | comparison["n_b"].isna()]
    for (task, note), rows in alone.groupby(["task", "note"]):
        yield f"not compared: {task} {_name_lengths(rows, length_names(rows))}: {note}"


def describe_sensitivity(rows: pd.DataFrame, alpha: float, allowed: float = 0.0) -> Iterator[str]:
    """Yield a line for each task: the smallest drop that is seen at one length, and at all lengths together.

    Args:
        rows: of a comparison, with ``comparison.COLUMNS``.
        alpha: level of significance of all its tests together, on the side of a drop.
        allowed: a drop of no more than this does not count.
    """
    tested = rows[rows["p"].notna()]
    level = alpha / max(len(tested), 1)
    for task, of_task in tested.groupby("task", sort=False):
        lengths, together = of_task[of_task["length"].notna()], of_task[of_task["length"].isna()]
        # The answers that change either way at all lengths tell best how many do at one.
        churn = _churn(lengths)
        accuracy = lengths["right_a"].sum() / lengths["n_a"].sum()
        if accuracy == 0:
            continue  # there is nothing to lose
        # Of lengths with unlike numbers of prompts, the fewest that count.
        at_one = detectable_drop(int(lengths["n_effective"].min()), accuracy, churn, level, allowed)
        seen = f"at one length {_points(at_one)}"
        if len(together):
            at_all = detectable_drop(int(together["n_effective"].min()), accuracy, churn, level, allowed)
            seen += f", at all lengths together {_points(at_all)}"
        yield f"{task}: the smallest drop that is seen with a probability of {LIKELY:.0%}: {seen}"


def _churn(lengths: Any) -> float:
    """Return the share of answers that change without changing the accuracy."""
    if lengths["paired"].all():
        return float(2 * lengths[["only_a", "only_b"]].sum().min() / lengths["n_a"].sum())
    # Nothing tells which answers changed: as if the two answered independently of each other.
    accuracy = lengths["right_a"].sum() / lengths["n_a"].sum()
    return float(2 * accuracy * (1 - accuracy))


def _points(drop: float | None) -> str:
    return "not even the loss of every right answer" if drop is None else f"{100 * drop:.1f} points"
