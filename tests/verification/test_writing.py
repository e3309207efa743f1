"""The table, the JSON and the JUnit file of a verification."""

import json
from xml.etree import ElementTree

import pytest

from copy_eval.verification.comparing import Comparison, Difference, Verification
from copy_eval.verification.writing import to_json, to_junit, to_terminal

TIE = Difference("phonebook 1", 2, "15", "25", "tie", 1.2e-6, 4e-5)
WRONG = Difference("slip 2", 7, "\nMary", "", "diverged", 3.25, 4e-5)
EQUAL = Verification("m: float32", (Comparison("reference", 3, seconds=2.0), Comparison("batch", 3, (TIE,), 1.0)))
DIVERGED = Verification(
    "m: float32",
    (Comparison("batch", 3, (TIE, WRONG), 1.0), Comparison("without kernels", 3, unused="no CUDA <here>")),
    ("not asked: copy 1",),
)


@pytest.mark.parametrize(
    ("verification", "first"),
    [
        (EQUAL, "copy-eval verify: EQUAL, the answers of 2 ways but for 1 tie"),
        (DIVERGED, "copy-eval verify: DIVERGED, 1 of 1 way: batch"),
    ],
)
def test_the_verdict_is_the_first_line(verification, first):
    assert to_terminal(verification).splitlines()[0] == first


def test_a_divergence_is_shown_before_a_tie_with_what_each_said_and_the_noise():
    text = to_terminal(DIVERGED)
    assert "batch: slip 2 parts at token 7: '\\nMary' in the reference, '' here; diverged: 3.2 logits below" in text
    assert "phonebook 1" not in text
    assert "without kernels: not used: no CUDA <here>\n" in text
    assert "not asked: copy 1\n" in text


def test_json_has_every_difference_and_the_reason_for_what_was_not_used():
    content = json.loads(to_json(DIVERGED))
    assert content["verdict"] == "diverged"
    batch, kernels = content["ways"]
    assert (batch["equal"], batch["ties"], batch["diverged"], batch["unused"]) == (1, 1, 1, None)
    assert [difference["gap"] for difference in batch["differences"]] == [1.2e-6, 3.25]
    assert kernels["unused"] == "no CUDA <here>"


def test_junit_fails_what_diverged_and_skips_what_was_not_used():
    suite = ElementTree.fromstring(to_junit(DIVERGED)).find("testsuite")
    assert {name: suite.get(name) for name in ("tests", "failures", "skipped")} == {
        "tests": "2", "failures": "1", "skipped": "1"
    }  # fmt: skip
    batch, kernels = suite
    assert batch.find("failure").get("message") == "1 of 3 answers diverged"
    assert "slip 2 parts at token 7" in batch.find("failure").text
    assert kernels.find("skipped").get("message") == "no CUDA <here>"
    assert ElementTree.fromstring(to_junit(EQUAL)).find("testsuite").get("failures") == "0"


def test_junit_is_xml_whatever_names_and_answers_hold():
    difference = Difference("a\x00", 1, "\x1b[31m", "\x07", "diverged", 3.0, 1.0)
    ways = (Comparison("b\x1b", 1, (difference,)), Comparison("c", 1, unused="no \x08"))
    suite = ElementTree.fromstring(to_junit(Verification("m\x1b", ways))).find("testsuite")
    assert suite.get("name") == "copy-eval verify: m\\x1b"
    assert [case.get("name") for case in suite] == ["b\\x1b", "c"]
    assert suite[0].find("failure").text.startswith("a\\x00 parts at token 1: ")
    assert suite[1].find("skipped").get("message") == "no \\x08"
