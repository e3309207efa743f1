"""How many tokens go into a pass, and which rows share one."""

from hypothesis import given
from hypothesis import strategies as st

from copy_eval.model_adapters.forward import PAIRS_AT_ONCE, TOKENS_AT_ONCE, count_at_once, split_columns, split_rows


def test_the_longer_the_cache_the_fewer_tokens_go_into_a_pass():
    assert [count_at_once(slots) for slots in (1, 8192, 16384, 131072, 2**30)] == [8192, 8192, 4096, 512, 64]


def test_the_stretches_of_a_long_prompt_become_shorter():
    assert [len(stretch) for stretch in split_columns(0, 16384)] == [8192, 5062, 3130]
    assert [len(stretch) for stretch in split_columns(2**40, 200)] == [64, 64, 64, 8]


@given(st.integers(0, 2**18), st.integers(1, 40_000), st.integers(1, 64))
def test_stretches_are_the_longest_that_a_pass_may_take(slots, width, rows):
    stretches = list(split_columns(slots, width, rows))
    assert [column for stretch in stretches for column in stretch] == list(range(width))
    for stretch in stretches:
        size, before = rows * len(stretch), slots + stretch.start
        assert size <= max(64, TOKENS_AT_ONCE)
        assert size * (before + len(stretch)) <= PAIRS_AT_ONCE or size <= 64
        longer = size + rows
        assert (
            stretch is stretches[-1]
            or longer > TOKENS_AT_ONCE
            or (longer > 64 and longer * (before + len(stretch) + 1) > PAIRS_AT_ONCE)
        )


@given(st.integers(1, 2**20), st.integers(1, 64), st.integers(1, 20_000))
def test_rows_share_as_few_passes_as_hold_them_and_none_has_too_many_tokens(slots, rows, width):
    at_once = count_at_once(slots)
    assert at_once <= TOKENS_AT_ONCE
    assert at_once * slots <= PAIRS_AT_ONCE or at_once == 64

    passes = split_rows(rows, width, at_once)

    assert [row for some in passes for row in some] == list(range(rows))
    assert all(len(some) * width <= at_once or len(some) == 1 for some in passes)
    assert len(passes) <= -(-rows // max(1, at_once // width))
    assert len({len(some) for some in passes[:-1]}) <= 1
