from xml.etree import ElementTree

from copy_eval.reports.writing.junit import Case, to_junit

CASES = [
    Case("c", "right", seconds=1.5),
    Case("c", "wrong", "failure", "drop", "0.9 to 0.4", ["0.9 to 0.4", "at <b>\x00\n"], 0.25),
    Case("c", "broken", "error", message="nothing was said"),
    Case("c", "away", "skipped", message="no GPU"),
]


def test_each_outcome_is_counted_and_has_its_element():
    suite = ElementTree.fromstring(to_junit("all", CASES)).find("testsuite")
    assert dict(suite.attrib) == {
        "name": "all", "tests": "4", "failures": "1", "errors": "1", "skipped": "1", "time": "1.750"
    }  # fmt: skip
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"], ["skipped"]]
    assert [dict(child.attrib) for case in suite for child in case] == [
        {"type": "drop", "message": "0.9 to 0.4"},
        {"message": "nothing was said"},
        {"message": "no GPU"},
    ]


def test_a_time_is_written_where_it_is_known():
    suite = ElementTree.fromstring(to_junit("all", [], timestamp="2026-11-21T06:25:40")).find("testsuite")
    assert suite.get("timestamp") == "2026-11-21T06:25:40"


def test_any_text_makes_a_file_that_can_be_read_and_keeps_its_lines():
    hostile = "\x00\x1b\ud800<a>&\"'\n"
    suite = ElementTree.fromstring(to_junit(hostile, [Case(hostile, hostile, "failure", "", hostile), *CASES]))
    assert suite.findall(".//failure")[1].text == "0.9 to 0.4\nat <b>\\x00\\n"
