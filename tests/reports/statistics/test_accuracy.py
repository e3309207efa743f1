import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.statistics.accuracy import (
    accuracy_by_length,
    area_under_curve,
    effective_length,
    wilson_interval,
)
from tests.reports.result_files import write_results


def interval(right, n):
    low, high = wilson_interval(pd.Series([right / n]), pd.Series([n]))
    return low[0], high[0]


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Newcombe 1998 (Statistics in Medicine 17:857-872), table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_interval_agrees_with_published_values(right, n, low, high):
    assert interval(right, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_interval_holds_the_accuracy_and_mirrors(counts):
    right, n = counts
    low, high = interval(right, n)
    assert 0 <= low <= right / n <= high <= 1
    assert interval(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_a_length_over_the_context_has_no_interval(tmp_path):
    accuracy = accuracy_by_length(read_results([write_results(tmp_path, {10: 0.5, 20: "over context"})]))
    assert accuracy["length"].tolist() == [10, 20]
    assert accuracy["low"].isna().tolist() == accuracy["high"].isna().tolist() == [False, True]
    assert accuracy["low"][0] == pytest.approx(interval(25, 50)[0])


def curve(points):
    return pd.Series(list(points), dtype="Int64"), pd.Series(list(points.values()), dtype="Float64")


@pytest.mark.parametrize(
    ("points", "length"),
    [
        ({10: 1.0, 20: 0.95, 40: 0.5}, 20),
        ({40: 0.5, 20: 0.9, 10: 1.0}, 20),  # in any order, and reaching is enough
        ({10: 1.0, 20: 0.8, 40: 1.0}, 10),  # a later length does not make up for an earlier one
        ({10: 0.89, 20: 1.0}, None),
        ({10: 1.0, 20: 1.0}, 20),
        ({10: 1.0, 20: None, 40: 1.0}, 10),  # over the context
        ({0: 1.0, 100: 0.5}, 0),  # a bucket that begins at 0
        ({0: 0.5}, None),
    ],
)
def test_effective_length(points, length):
    assert effective_length(*curve(points), 0.9) == length


@pytest.mark.parametrize(
    ("points", "linear", "area"),
    # By hand: trapezoids between the points, divided by the width of the axis.
    [
        ({10: 1.0, 20: 1.0, 160: 1.0}, False, 1.0),
        ({10: 1.0, 40: 0.0}, False, 0.5),
        ({10: 1.0, 20: 0.5, 40: 0.0}, False, 0.5),
        ({10: 1.0, 20: 0.5, 80: 0.0}, False, (0.75 * 1 + 0.25 * 2) / 3),
        ({0: 1.0, 100: 0.5, 400: 0.0}, True, (0.75 * 100 + 0.25 * 300) / 400),
        ({80: 0.0, 10: 1.0, 20: 0.5}, False, (0.75 * 1 + 0.25 * 2) / 3),
        ({10: 1.0, 20: 1.0, 40: None}, False, 1.0),  # a length over the context is no 0
        ({10: 1.0, 20: None, 40: 0.0}, False, 0.5),
        ({10: 1.0, 20: None}, False, None),
        ({}, False, None),
    ],
)
def test_area_under_the_curve(points, linear, area):
    assert area_under_curve(*curve(points), linear) == (None if area is None else pytest.approx(area))
