import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from scipy.stats import t as student
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.proportion import proportion_confint

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples
from copy_eval.reports.report import build_report
from copy_eval.reports.statistics.accuracy import (
    accuracy_by_depth,
    accuracy_by_length,
    effective_pairs,
    effective_size,
    wilson_interval,
)
from copy_eval.reports.statistics.differences import paired_interval
from tests.reports.logged_runs import write_run
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


@given(st.floats(0.01, 0.99), st.floats(0.5, 5000), st.sampled_from([0.8, 0.95, 0.999]))
def test_wilson_interval_is_that_of_statsmodels_for_sizes_that_are_not_whole_too(share, n, confidence):
    low, high = wilson_interval(pd.Series([share]), pd.Series([n]), confidence)
    expected = proportion_confint(share * n, n, alpha=1 - confidence, method="wilson")
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-12)


def clustered_scores(rng, groups=20, of_each=8):
    """Return scores between 0 and 1 whose mean is 0.6 and which are alike within a cluster."""
    clusters = np.repeat(np.arange(groups), of_each)
    share = np.repeat(rng.beta(3, 2, groups), of_each)
    return np.where(rng.random(len(clusters)) < 0.5, (rng.random(len(clusters)) < share).astype(float), share), clusters


def test_independent_answers_lose_a_little_for_the_unknown_variance_and_copies_count_once():
    answers = np.array([0.0, 1.0] * 50)
    # Student's quantiles for 99 degrees of freedom, twice; 1 / 100 is replaced by 1 / 99 in the variance.
    assert effective_size(answers, list(range(100))) == pytest.approx(99)
    copies = effective_size(np.repeat(answers, 4), np.repeat(np.arange(100), 4).tolist())
    assert copies == pytest.approx(99 * (student.ppf(0.975, 399) / student.ppf(0.975, 99)) ** 2)


@pytest.mark.parametrize("score", [0.0, 1.0, 0.5])
def test_scores_without_variance_count_as_one_answer_a_cluster(score):
    assert effective_size(np.full(40, score), np.repeat(np.arange(8), 5).tolist()) == 8


def test_a_single_cluster_counts_as_one_answer():
    assert effective_size(np.array([1.0, 0.0, 1.0]), ["a"] * 3) == 1


@pytest.mark.parametrize("groups", [8, 30])
def test_the_clustered_interval_covers_the_mean(groups):
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(500):
        scores, clusters = clustered_scores(rng, groups)
        size = effective_size(scores, clusters.tolist())
        low, high = wilson_interval(pd.Series([scores.mean()]), pd.Series([size]))
        covered += low[0] <= 0.6 <= high[0]
    # 95 %, less three standard errors of 500 draws.
    assert covered / 500 > 0.92


def test_the_design_effect_of_differences_is_that_of_a_regression_on_a_constant():
    scores, clusters = clustered_scores(np.random.default_rng(3))
    differences = np.where(scores > 0.6, 1.0, np.where(scores < 0.3, -1.0, 0.0))
    ones = np.ones_like(differences)
    robust = OLS(differences, ones).fit(cov_type="cluster", cov_kwds={"groups": clusters}).bse[0] ** 2
    plain = OLS(differences, ones).fit().bse[0] ** 2
    quantiles = student.ppf(0.975, [len(differences) - 1, len(set(clusters)) - 1])
    expected = len(differences) * plain / robust * (quantiles[0] / quantiles[1]) ** 2
    assert effective_pairs(differences, clusters.tolist()) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("differences", [[0.0] * 12, [1.0] * 12])
def test_differences_that_are_all_the_same_count_once_a_cluster(differences):
    assert effective_pairs(np.array(differences), np.repeat(np.arange(4), 3).tolist()) == 4
    assert effective_pairs(np.array(differences), ["a"] * 12) == 1


@pytest.mark.parametrize("books", [10, 20])
def test_the_clustered_interval_of_a_difference_covers_it(books):
    """With ten questions a book whose difficulty the models share in part; the true difference is 0.6 - 0.75."""
    rng = np.random.default_rng(4)
    covered = unclustered = 0
    for _ in range(500):
        hard = rng.normal(size=(books, 1))
        own = rng.normal(size=(2, books, 1))
        strength = (hard + own) / 2**0.5
        uniform = norm.cdf(0.8 * strength + 0.6 * rng.normal(size=(2, books, 10)))
        right = uniform < np.array([0.75, 0.6])[:, None, None]
        kinds = [right[0] & right[1], right[0] & ~right[1], ~right[0] & right[1], ~(right[0] | right[1])]
        table = np.array([kind.sum() for kind in kinds])
        differences = (right[1].astype(float) - right[0]).ravel()
        size = effective_pairs(differences, np.repeat(np.arange(books), 10).tolist())
        low, high = paired_interval(*(table * size / table.sum()))
        covered += low <= -0.15 <= high
        low, high = paired_interval(*table)
        unclustered += low <= -0.15 <= high
    # 95 %, less three standard errors of 500 draws; as independent prompts they would cover it in three of four.
    assert covered / 500 > 0.92
    assert unclustered / 500 < 0.85


def test_paragraphs_of_one_article_widen_the_interval(tmp_path):
    metadata = {"text_source": "dev.json", "text_sha256": "c" * 64}
    results = read_results([write_run(tmp_path, {100: "1" * 20 + "0" * 20}, task="squad_by_length", metadata=metadata)])
    widths = []
    for articles in (range(40), [place // 10 for place in range(40)], [None] * 40):
        samples = read_samples(results).assign(cluster=pd.array([each and str(each) for each in articles], "string"))
        row = accuracy_by_length(
            results, samples.assign(cluster=samples["cluster"].fillna("0") if articles[0] is not None else pd.NA)
        ).iloc[0]
        widths.append(row["high"] - row["low"])
    apart, together, unknown = widths
    assert together > 1.5 * apart
    assert unknown == pytest.approx(apart, rel=0.05)


def test_a_length_over_the_context_has_no_interval(tmp_path):
    accuracy = accuracy_by_length(read_results([write_results(tmp_path, {10: 0.5, 20: "over context"})]))
    assert accuracy["length"].tolist() == [10, 20]
    assert accuracy["low"].isna().tolist() == accuracy["high"].isna().tolist() == [False, True]
    assert accuracy["low"][0] == pytest.approx(interval(25, 50)[0])


@pytest.fixture
def depths(tmp_path):
    file = write_results(tmp_path, {40: 0.6, 320: "over context"}, log_samples=True)
    return accuracy_by_depth(read_samples(read_results([file])))


def test_accuracy_by_depth_covers_every_prompt_once(depths):
    rows = depths[depths["length"] == 40]
    assert rows["n"].tolist() == [10] * 5
    assert rows["accuracy"].tolist() == [1.0, 1.0, 1.0, 0.0, 0.0]  # the first 30 of 50 are right
    assert rows["depth_from"].tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8])
    assert rows["depth_to"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_length_over_the_context_has_no_accuracy_at_any_depth(depths):
    rows = depths[depths["length"] == 320]
    assert rows["over_context"].all()
    assert rows["accuracy"].isna().all()


def grid_run(folder, depths, books=8, lengths=(1024, 2048)):
    """Write a run that asks each book at some depths, the last of which alone are right, and return the report."""
    right = "".join("1" if depth == depths[-1] else "0" for _ in range(books) for depth in depths)
    docs = [{"depth": depth, "book": f"book {book}"} for book in range(books) for depth in depths]
    about = {"title": "filled", "cluster": "book"}
    return build_report([write_run(folder, dict.fromkeys(lengths, right), task="filled", about=about, docs=docs)])


def test_a_task_with_given_depths_has_a_cell_for_each_of_them(tmp_path):
    rows = grid_run(tmp_path, [0.0, 0.1, 0.5, 1.0]).depths.query("length == 2048")
    assert rows["depth_from"].tolist() == rows["depth_to"].tolist() == [0.0, 0.1, 0.5, 1.0]
    assert rows["n"].tolist() == [8] * 4
    assert rows["accuracy"].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_a_cell_of_many_questions_about_few_books_has_the_interval_of_the_books(tmp_path):
    quarters = grid_run(tmp_path, [0.0, 0.1, 0.2, 1.0]).depth_quarters.query("length == 1024")
    assert quarters["n"].tolist() == [24, 8]
    # None of 24 is right: that says as much as none of 8 books.
    assert quarters["high"].iloc[0] == pytest.approx(interval(0, 8)[1])


def test_a_few_prompts_with_random_depths_at_one_length_are_no_given_depths(tmp_path):
    docs = [{"depth": depth} for depth in (0.01, 0.35, 0.39, 0.41)]
    run = write_run(tmp_path, {160: "1111"}, task="filled", about={"title": "filled"}, docs=docs)
    rows = build_report([run]).depths
    assert rows["depth_to"].tolist() == pytest.approx([0.2, 0.4, 0.6])
    assert rows["n"].tolist() == [1, 2, 1]


def test_a_single_depth_is_a_cell_too(tmp_path):
    rows = grid_run(tmp_path, [0.5]).depths
    assert rows[["depth_from", "depth_to"]].drop_duplicates().to_numpy().tolist() == [[0.5, 0.5]]


def test_the_interval_of_a_length_is_that_of_its_books(tmp_path):
    rows = grid_run(tmp_path, [0.0, 1.0], lengths=(1024,)).accuracy
    alike = effective_size(np.array([0.0, 1.0] * 8), np.repeat(np.arange(8), 2).tolist())
    low, high = wilson_interval(pd.Series([0.5]), pd.Series([alike]))
    assert rows[["low", "high"]].to_numpy().tolist() == [[low[0], high[0]]]
