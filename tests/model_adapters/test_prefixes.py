"""Prompts that begin alike are found in any order, and where their common beginning is cut saves the most tokens."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from copy_eval.model_adapters.prefixes import find_families

HEADER, BOOK_A, BOOK_B = [1] * 5, [2] * 100, [3] * 80


def saved(members, shared):
    return (members - 1) * shared


def find(prompts, gain=saved):
    return sorted((sorted(family.members), family.shared) for family in find_families(prompts, gain))


def test_questions_meet_at_their_book_and_not_at_the_header_of_all_books():
    prompts = [HEADER + book + [question] for question in (7, 8, 9) for book in (BOOK_A, BOOK_B)]
    assert find([*prompts, [4, 4]]) == [([0, 2, 4], 105), ([1, 3, 5], 85), ([6], 0)]


def test_those_without_a_book_meet_at_the_header():
    prompts = [[*HEADER, *BOOK_A, 7], [*HEADER, 4], [*HEADER, *BOOK_A, 8], [*HEADER, 9]]
    assert find(prompts) == [([0, 2], 105), ([1, 3], 5)]


def test_many_prompts_meet_at_what_all_share_although_pairs_of_them_share_more():
    prompts = [[*HEADER, question, 6, answer] for question in range(20) for answer in (7, 8)]
    assert find(prompts) == [(list(range(40)), 5)]


def test_each_prompt_keeps_a_token_of_its_own():
    assert find([BOOK_A, BOOK_A]) == [([0, 1], 99)]
    assert find([[1, 2, 3, 4], [1, 2, 3]]) == [([0, 1], 2)]
    assert find([[1], [1, 2]]) == [([0], 0), ([1], 0)]


def test_what_prompts_share_must_be_worth_it():
    prompts = [[*HEADER, 7], [*HEADER, 8]]
    assert find(prompts, lambda members, shared: saved(members, shared) - 5) == [([0], 0), ([1], 0)]
    assert find(prompts, lambda members, shared: saved(members, shared) - 4) == [([0, 1], 5)]
    assert find([]) == []


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), max_size=8))
def test_no_way_to_cut_neighbours_into_families_saves_more(prompts):
    families = find_families(prompts, saved)

    assert sorted(member for family in families for member in family.members) == list(range(len(prompts)))
    for family in families:
        assert len({tuple(prompts[member][: family.shared]) for member in family.members}) == 1
        assert all(len(prompts[member]) > family.shared for member in family.members)
    assert sum(saved(len(family.members), family.shared) for family in families) >= save_most(sorted(prompts))


def save_most(prompts):
    """Try every way to cut a sorted list of prompts into neighbours."""
    shared = [
        next(
            (place for place, (a, b) in enumerate(zip(one[:-1], other[:-1], strict=False)) if a != b),
            min(len(one), len(other)) - 1,
        )
        for one, other in pairwise(prompts)
    ]
    best = [0] * (len(prompts) + 1)
    for end in range(1, len(prompts) + 1):
        best[end] = max(
            best[start] + (end - start - 1) * min(shared[start : end - 1], default=0) for start in range(end)
        )
    return best[-1]
