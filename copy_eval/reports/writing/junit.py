"""JUnit XML, which GitLab, Jenkins and GitHub's actions show as a list of tests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from copy_eval.reports.frames.result_files import keep_printable


@dataclass(frozen=True)
class Case:
    """A test case."""

    classname: str
    name: str
    outcome: Literal["passed", "failure", "error", "skipped"] = "passed"
    reason: str = ""
    """The outcome in a word; empty for none."""
    message: str = ""
    """The outcome in a line."""
    details: Sequence[str] = ()
    """Lines that are shown below it."""
    seconds: float = 0.0


def to_junit(name: str, cases: Sequence[Case], timestamp: str = "") -> str:
    """Write a suite of test cases; control characters in texts are shown as escapes.

    Args:
        name: of the suite.
        cases: what is in it.
        timestamp: when it ran, such as ``2026-11-21T06:25:40``; empty if nobody knows.
    """
    outcomes = [case.outcome for case in cases]
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root, "testsuite", name=keep_printable(name), tests=str(len(cases)), failures=str(outcomes.count("failure")),
        errors=str(outcomes.count("error")), skipped=str(outcomes.count("skipped")),
        time=f"{sum(case.seconds for case in cases):.3f}",
    )  # fmt: skip
    if timestamp:
        suite.set("timestamp", timestamp)
    for case in cases:
        about = {"classname": keep_printable(case.classname), "name": keep_printable(case.name)}
        element = ElementTree.SubElement(suite, "testcase", about, time=f"{case.seconds:.3f}")
        if case.outcome != "passed":
            said = {"type": case.reason, "message": keep_printable(case.message)}
            said = {attribute: text for attribute, text in said.items() if text}
            ElementTree.SubElement(element, case.outcome, said).text = "\n".join(map(keep_printable, case.details))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True).decode() + "\n"
