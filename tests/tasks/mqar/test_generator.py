import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.mqar.generator import KEYS, draw_example

SEEDS, PAIRS, INDEXES = st.integers(), st.integers(1, len(KEYS)), st.integers(0, 10**6)


def test_the_first_example_of_four_pairs_reads() -> None:
    example = draw_example(1234, 4, 0)
    assert (example.prompt, example.answer, example.depth) == ("$hhzjbnkknkhr|kkjbhhkh|", "nnzr.", None)


@given(SEEDS, PAIRS, INDEXES)
def test_every_key_has_one_value_and_is_asked_for_once(data_seed: int, pairs: int, index: int) -> None:
    example = draw_example(data_seed, pairs, index)
    found = re.fullmatch(r"\$((?:[a-m]{2}[n-z])+)\|((?:[a-m]{2})+)\|", example.prompt)
    assert found is not None
    book = {found[1][place : place + 2]: found[1][place + 2] for place in range(0, 3 * pairs, 3)}
    asked = [found[2][place : place + 2] for place in range(0, 2 * pairs, 2)]
    assert len(book) == pairs
    assert sorted(asked) == sorted(book)
    assert example.answer == "".join(book[key] for key in asked) + "."


def test_keys_are_asked_for_in_any_order() -> None:
    prompts = [draw_example(1234, 2, index).prompt for index in range(400)]
    in_order = sum(prompt[1:3] == prompt[8:10] for prompt in prompts)
    assert in_order == pytest.approx(200, abs=40)


def test_more_pairs_than_keys_are_refused() -> None:
    with pytest.raises(UserError, match="170 pairs need as many different keys, but there are 169"):
        draw_example(1234, 170, 0)
