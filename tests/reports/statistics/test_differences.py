import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, permutation_test
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from copy_eval.reports.statistics.differences import (
    LIKELY,
    adjust_holm,
    detectable_drop,
    fisher_p,
    mcnemar_power,
    paired_interval,
    paired_p,
    paired_stratum,
    pooled_p,
    unpaired_interval,
)

counts = st.integers(0, 60)

tables = st.tuples(counts, counts, counts, counts).filter(any)

ALTERNATIVES = ["two-sided", "drop"]


def mcnemar_p(only_a, only_b, alternative):
    return paired_p([-1] * only_a + [1] * only_b, alternative)


@pytest.mark.parametrize(
    ("table", "interval"),
    [
        # Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014), 2850-2875, Bentur et al.'s and Cavo et al.'s
        # data; the R package `contingencytables` pins the same. They subtract columns from rows: our B are their rows.
        ((1, 7, 1, 12), (-0.507, -0.026)),
        ((59, 16, 6, 80), (-0.1186, -0.0046)),
        # Altman et al., "Statistics with Confidence" (2000), page 53.
        ((14, 0, 5, 22), (0.011, 0.226)),
        # Newcombe (1998), the method's own paper.
        ((36, 2, 12, 0), (0.0569, 0.3404)),
    ],
)
def test_the_paired_interval_is_that_of_the_textbooks(table, interval):
    assert paired_interval(*table) == pytest.approx(interval, abs=0.0005)


def test_mcnemars_exact_test_is_that_of_the_textbooks():
    # Cavo et al. (2012), as above: McNemar_exact_cond_test_paired_2x2.
    assert mcnemar_p(16, 6, "two-sided") == pytest.approx(0.052479, abs=1e-6)
    # Armitage and Berry (1994), page 127, as StatsDirect computes it.
    assert mcnemar_p(12, 2, "two-sided") == pytest.approx(0.0129, abs=5e-5)


@given(counts, counts)
def test_prompts_by_themselves_are_mcnemars_exact_test(only_a, only_b):
    if only_a + only_b:
        assert mcnemar_p(only_a, only_b, "two-sided") == pytest.approx(binomtest(only_a, only_a + only_b).pvalue)


def test_the_clustered_test_on_darwins_maize():
    # Fisher, The Design of Experiments (1935), section 21: of the 2**15 ways to sign the differences in height of
    # Darwin's 15 pairs of plants, in eighths of an inch, 863 reach the sum of 314 that was found, on one side.
    darwin = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    assert sum(darwin) == 314
    assert paired_p([-net for net in darwin], "drop") == pytest.approx(863 / 2**15)
    assert paired_p(darwin, "two-sided") == pytest.approx(1726 / 2**15)


@given(st.lists(st.integers(-10, 10), min_size=2, max_size=9).filter(any))
def test_the_clustered_test_is_that_of_scipy(nets):
    def total(values, axis):
        return np.sum(values, axis=axis)

    for alternative, side in (("two-sided", "two-sided"), ("drop", "less")):
        expected = permutation_test((nets,), total, permutation_type="samples", alternative=side, n_resamples=np.inf)
        assert paired_p(nets, alternative) == pytest.approx(expected.pvalue)


def test_ten_copies_of_a_book_tell_no_more_than_the_book():
    assert paired_p([-10] * 5 + [0] * 3, "drop") == pytest.approx(1 / 2**5)
    assert mcnemar_p(50, 0, "drop") < 1e-14


def test_two_lengths_of_clusters_are_one_test_of_all_clusters():
    first, second = [-10, 3, -4], [-7, 0, 2, -1]
    together = pooled_p([paired_stratum(first), paired_stratum(second)], "drop")
    assert together == pytest.approx(paired_p(first + second, "drop"))


@pytest.mark.parametrize("alternative", ALTERNATIVES)
def test_equal_models_whose_answers_go_by_the_book_seldom_differ(alternative):
    """McNemar's test, which takes the ten questions about a book for independent, would cry wolf in a third."""
    rng = np.random.default_rng(2)
    alarms = wolf = 0
    for _ in range(1000):
        shares = rng.beta(0.5, 0.5, (2, 20, 1))
        right = rng.random((2, 20, 10)) < shares
        net = right[1].sum(axis=1).astype(int) - right[0].sum(axis=1)
        only_a, only_b = (int((right[side] & ~right[1 - side]).sum()) for side in (0, 1))
        alarms += paired_p(net, alternative) < 0.05
        wolf += mcnemar_p(only_a, only_b, alternative) < 0.05
    # 5 %, and three standard errors of 1000 draws.
    assert alarms / 1000 < 0.071
    assert wolf / 1000 > 0.2


def test_a_drop_is_tested_on_one_side():
    # 12 or more of 14 fair coins: (91 + 14 + 1) / 2**14.
    assert mcnemar_p(12, 2, "drop") == pytest.approx(106 / 2**14)
    assert mcnemar_p(2, 12, "drop") == pytest.approx(1 - 15 / 2**14)


def test_the_unpaired_interval_is_newcombes():
    # Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10: 56/70 - 48/80 and 9/10 - 3/10.
    assert unpaired_interval(48, 80, 56, 70) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert unpaired_interval(3, 10, 9, 10) == pytest.approx((0.1705, 0.8090), abs=5e-5)


@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_unpaired_interval_is_that_of_statsmodels(n_a, n_b, data):
    right_a, right_b = data.draw(st.integers(0, n_a)), data.draw(st.integers(0, n_b))
    expected = confint_proportions_2indep(right_b, n_b, right_a, n_a, compare="diff", method="newcomb")
    assert unpaired_interval(right_a, n_a, right_b, n_b) == pytest.approx(expected, abs=1e-9)


def test_fishers_test_on_the_lady_tasting_tea():
    # 3 of 4 cups each: (16 + 1) / 70 on one side, 34 / 70 on two.
    assert fisher_p(3, 4, 1, 4, "drop") == pytest.approx(17 / 70)
    assert fisher_p(3, 4, 1, 4, "two-sided") == pytest.approx(34 / 70)
    assert fisher_p(1, 4, 3, 4, "drop") == pytest.approx(1 - 1 / 70)


def test_holms_method_on_a_hand_computed_example():
    # In order: 0.01 x 4, 0.02 x 3, then 0.03 x 2 and 0.04 x 1, neither below the one before.
    assert adjust_holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert adjust_holm([]) == []


@given(tables)
def test_the_paired_interval_holds_the_difference_and_turns_with_the_models(table):
    both, only_a, only_b, neither = table
    low, high = paired_interval(both, only_a, only_b, neither)
    assert -1 - 1e-9 <= low <= (only_b - only_a) / sum(table) <= high <= 1 + 1e-9
    assert paired_interval(both, only_b, only_a, neither) == pytest.approx((-high, -low))


@given(counts, counts)
def test_p_values_are_probabilities_and_a_drop_is_no_rise(only_a, only_b):
    two_sided = mcnemar_p(only_a, only_b, "two-sided")
    assert 0 < two_sided <= 1
    assert two_sided == pytest.approx(mcnemar_p(only_b, only_a, "two-sided"))
    drop, rise = mcnemar_p(only_a, only_b, "drop"), mcnemar_p(only_b, only_a, "drop")
    assert (drop < rise) == (only_a > only_b)
    assert two_sided == pytest.approx(min(1, 2 * min(drop, rise)))


def test_holms_method_is_that_of_statsmodels():
    p_values = [0.5, 0.003, 0.003, 0.2, 0.04, 0.0, 1.0]
    assert adjust_holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_their_order(p_values):
    adjusted = adjust_holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    assert [q for _, q in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


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
