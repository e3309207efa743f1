import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.tasks.sampling import draw_below, draw_distinct, example_rng

SEEDS = st.integers()


def test_the_sequences_are_pinned() -> None:
    rng = example_rng(1234, 10, 0)
    assert [draw_below(rng, 1000) for _ in range(5)] == [834, 900, 394, 913, 333]
    assert draw_distinct(rng, 10, 10) == [2, 1, 6, 3, 4, 5, 9, 7, 0, 8]


@given(SEEDS, st.integers(1, 200), st.data())
def test_distinct_draws_are_distinct_and_within_bounds(seed: int, bound: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, bound))
    drawn = draw_distinct(example_rng(seed, 0, 0), bound, count)
    assert len(set(drawn)) == len(drawn) == count
    assert all(0 <= number < bound for number in drawn)


def test_more_distinct_draws_than_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot draw 4 different numbers below 3"):
        draw_distinct(example_rng(0, 0, 0), 3, 4)


def test_every_ordered_pair_of_distinct_draws_is_equally_likely() -> None:
    counts = dict.fromkeys([(a, b) for a in range(4) for b in range(4) if a != b], 0)
    for index in range(1200):
        first, second = draw_distinct(example_rng(1234, 4, index), 4, 2)
        counts[first, second] += 1
    # 100 of each are expected; 5 standard deviations are 48.
    assert all(abs(count - 100) < 48 for count in counts.values())


def test_length_and_index_do_not_run_into_each_other() -> None:
    draws = {example_rng(seed, length, index).random() for seed in (1, 11) for length in (1, 11) for index in (1, 11)}
    assert len(draws) == 8
