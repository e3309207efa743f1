import hashlib

from hypothesis import given
from hypothesis import strategies as st

from copy_eval.tasks.fingerprint import fingerprint

PAIRS = st.lists(st.tuples(st.text(), st.text()), max_size=4)


def test_the_hash_is_sha256_of_one_json_line_a_pair() -> None:
    expected = hashlib.sha256(b'["a\\nb", "c"]\n["", "\\u00e9"]\n').hexdigest()
    assert fingerprint([("a\nb", "c"), ("", "é")]) == expected


@given(PAIRS, PAIRS)
def test_equal_hashes_mean_equal_pairs(some: list[tuple[str, str]], others: list[tuple[str, str]]) -> None:
    assert (fingerprint(some) == fingerprint(others)) == (some == others)


def test_a_letter_that_moves_from_the_prompt_to_the_answer_changes_the_hash() -> None:
    assert fingerprint([("ab", "c")]) != fingerprint([("a", "bc")])
