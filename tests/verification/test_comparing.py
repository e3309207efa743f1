"""Counting what is equal, and what a judge makes of the rest."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.verification.comparing import Answers, Judgement, Request, Verification, compare, count_same

REQUESTS = [Request("a", "one"), Request("b", "two"), Request("c", "three")]
REFERENCE = Answers("reference", ["8323", "6093", ""])


@dataclass
class FixedJudge:
    """A judge by a gap that is known beforehand."""

    gap: float
    noise: float = 1e-4

    def judge(self, request, reference, other):  # noqa: ARG002
        return Judgement(count_same(reference, other), self.gap, self.noise)


def test_equal_answers_have_no_differences():
    comparison = compare(REQUESTS, REFERENCE, Answers("batch", list(REFERENCE.texts), 1.5))
    assert (comparison.equal, comparison.total, comparison.differences, comparison.seconds) == (3, 3, (), 1.5)
    assert Verification("m", (comparison,)).exit_code == 0


def test_a_difference_within_rounding_is_a_tie_and_leaves_the_exit_code_0():
    comparison = compare(REQUESTS, REFERENCE, Answers("batch", ["8324", "6093", ""]), FixedJudge(gap=1e-4))
    assert (comparison.equal, comparison.ties, comparison.diverged) == (2, 1, 0)
    (difference,) = comparison.differences
    assert (difference.request, difference.index, difference.reference, difference.other) == ("a", 3, "3", "4")
    assert Verification("m", (comparison,)).exit_code == 0


@pytest.mark.parametrize(("judge", "verdict"), [(FixedJudge(gap=1.1e-4), "diverged"), (None, "unjudged")])
def test_a_difference_beyond_rounding_or_without_a_judge_is_exit_code_1(judge, verdict):
    comparison = compare(REQUESTS, REFERENCE, Answers("batch", ["8323", "6093", "x"]), judge)
    assert [difference.verdict for difference in comparison.differences] == [verdict]
    assert comparison.diverged == 1
    assert Verification("m", (comparison,)).exit_code == 1


def test_a_few_characters_are_shown_from_the_first_difference_on():
    long = "8323" + "0" * 100
    (difference,) = compare(REQUESTS, REFERENCE, Answers("batch", [long, "6093", ""])).differences
    assert (difference.reference, difference.other) == ("", "0" * 24)


def test_answers_that_are_missing_are_an_error_and_not_a_shorter_comparison():
    with pytest.raises(ValueError, match="zip"):
        compare(REQUESTS, REFERENCE, Answers("batch", ["8323", "6093"]))


@given(st.text(), st.text(), st.text())
def test_texts_are_the_same_up_to_the_place_where_they_part(shared, first, second):
    same = count_same(shared + first, shared + second)
    assert same >= len(shared)
    assert (shared + first)[:same] == (shared + second)[:same]
    assert (shared + first)[same : same + 1] != (shared + second)[same : same + 1] or first == second
