import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.reports.statistics import accuracy_by_length, wilson_interval


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_agrees_with_published_values(right, n, low, high):
    assert wilson_interval(right / n, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_accuracy_and_mirrors(counts):
    right, n = counts
    low, high = wilson_interval(right / n, n)
    assert 0 <= low <= right / n <= high <= 1
    assert wilson_interval((n - right) / n, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_length_over_the_context_has_no_interval():
    results = pd.DataFrame(
        {
            "metric": ["exact_match", "exact_match", "digit_accuracy"],
            "length": [10, 20, 10],
            "value": pd.array([0.5, None, 0.9], dtype="Float64"),
            "n": [20, 20, 20],
        }
    )
    accuracy = accuracy_by_length(results)
    assert accuracy["length"].tolist() == [10, 20]
    assert accuracy["low"].isna().tolist() == accuracy["high"].isna().tolist() == [False, True]
