"""The outcome of a gate as JUnit XML, which GitLab, Jenkins and GitHub's actions show as tests."""

from typing import Any
from xml.etree import ElementTree

import pandas as pd

from copy_eval.reports.comparison.evaluation import Evaluation
from copy_eval.reports.frames.labels import keep_printable
from copy_eval.reports.frames.series import ALL_LENGTHS
from copy_eval.reports.gate.verdicts import DROP, NEW, SKIPPED, UNUSABLE
from copy_eval.reports.writing.number_texts import accuracy_text, difference_text, interval_text, p_text

_ELEMENTS = {DROP: "failure", UNUSABLE: "error", NEW: "skipped", SKIPPED: "skipped"}


def to_junit(judged: pd.DataFrame, now: Evaluation) -> str:
    """Write a test case for each length, and for all lengths of a task together.

    A drop fails, what is unusable is an error, and what is new is skipped.

    Args:
        judged: as ``verdicts.judge`` returns it.
        now: the evaluation that was judged.
    """
    elements = judged["verdict"].map(_ELEMENTS)
    suite = ElementTree.Element(
        "testsuite", name=keep_printable(f"copy-eval gate of {now.label}"), tests=str(len(judged)),
        failures=str((elements == "failure").sum()), errors=str((elements == "error").sum()),
        skipped=str((elements == "skipped").sum()), time="0", timestamp=now.date[:19],
    )  # fmt: skip
    for row in judged.itertuples():
        _add_case(suite, row)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode() + "\n"


def _add_case(suite: ElementTree.Element, row: Any) -> None:
    name = {"classname": keep_printable(f"copy_eval.{row.task}"), "name": keep_printable(_name(row))}
    case = ElementTree.SubElement(suite, "testcase", name, time="0")
    if row.verdict in _ELEMENTS:
        message = keep_printable(_describe(row))
        ElementTree.SubElement(case, _ELEMENTS[row.verdict], type=row.verdict, message=message).text = message


def _name(row: Any) -> str:
    return f"{row.task}, {ALL_LENGTHS} lengths" if pd.isna(row.length) else row.task_name


def _describe(row: Any) -> str:
    facts = []
    if pd.notna(row.difference):
        accuracies = f"{accuracy_text(row.accuracy_a, False)} to {accuracy_text(row.accuracy_b, False)}"
        change = f"{difference_text(row.difference)} (95 % interval {interval_text(row.low, row.high)})"
        facts.append(f"exact match {accuracies}, change {change}, adjusted p {p_text(row.p_adjusted)}")
    if pd.notna(row.note):
        facts.append(row.note)
    return "; ".join([row.verdict, *facts])
