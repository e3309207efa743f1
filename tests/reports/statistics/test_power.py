import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.reports.statistics.differences import mcnemar_p
from copy_eval.reports.statistics.power import LIKELY, detectable_drop, mcnemar_power


@pytest.mark.parametrize(("n", "drop", "churn"), [(200, 0.05, 0.07), (40, 0.2, 0.3), (1200, 0.05, 0.0)])
def test_power_is_how_often_simulated_drops_are_seen(n, drop, churn):
    rng = np.random.default_rng(0)
    shares = [drop + churn / 2, churn / 2, 1 - drop - churn]
    tables, often = np.unique(rng.multinomial(n, shares, 4000)[:, :2], axis=0, return_counts=True)
    seen = sum(
        count for (only_a, only_b), count in zip(tables, often, strict=True) if mcnemar_p(only_a, only_b, "drop") < 0.01
    )
    assert mcnemar_power(n, drop, churn, 0.01) == pytest.approx(seen / 4000, abs=0.025)


def test_a_drop_at_one_length_is_seldom_seen_and_one_at_all_lengths_surely():
    # Five points from 90 % at 200 prompts a length, with the churn of answers that agree in six cases of ten.
    churn = 2 * 0.4 * 0.9 * 0.1
    assert mcnemar_power(200, 0.05, churn, 0.01 / 7) == pytest.approx(0.13, abs=0.02)
    assert mcnemar_power(1200, 0.05, churn, 0.01 / 7) > 0.95


def test_without_churn_ten_lost_answers_are_seen_at_the_thousandth():
    # 2**-10 < 0.001 < 2**-9
    assert mcnemar_power(10, 1.0, 0.0, 0.001) == 1.0
    assert mcnemar_power(9, 1.0, 0.0, 0.001) == 0.0


@given(st.integers(20, 3000), st.floats(0.1, 1), st.floats(0, 0.2), st.sampled_from([0.05, 0.01, 0.001]))
def test_the_detectable_drop_is_seen_and_a_smaller_one_is_not(n, accuracy, churn, alpha):
    drop = detectable_drop(n, accuracy, churn, alpha)
    if drop is None:
        assert mcnemar_power(n, max(accuracy - churn / 2, 0), churn, alpha) < LIKELY
    else:
        assert mcnemar_power(n, drop, churn, alpha) >= LIKELY
        assert mcnemar_power(n, max(drop - 0.002, 0), churn, alpha) < LIKELY


def test_a_drop_of_no_more_than_the_allowed_is_never_seen():
    # 24 of 1200 answers lost are significant, and no more than 2 points.
    assert mcnemar_power(1200, 0.012, 0.0, 0.001) > 0.7
    assert mcnemar_power(1200, 0.012, 0.0, 0.001, allowed=0.02) < 0.01
    assert detectable_drop(1200, 0.9, 0.0, 0.001, allowed=0.02) > 0.02


def test_two_prompts_detect_nothing():
    assert detectable_drop(2, 1.0, 0.0, 0.01) is None
