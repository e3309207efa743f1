import numpy as np
import pandas as pd
import pytest

from copy_eval.reports.report import build_report
from copy_eval.reports.statistics.summaries import area_under_curve, effective_length
from tests.reports.result_files import write_results


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


def test_a_threshold_that_is_met_exactly_is_reached_whatever_rounding_says():
    # 0.9 of 50 and 0.9 of 150, put together, are 0.8999999999999999.
    lengths = pd.Series([10, 20], dtype="Int64")
    assert effective_length(lengths, pd.Series([0.9, np.nextafter(0.9, 0)], dtype="Float64"), 0.9) == 20


@pytest.fixture
def report(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.9, 40: 0.6, 320: "over context"}, model="small", log_samples=True)
    write_results(tmp_path, {10: 0.4, 20: 0.4, 320: 0.4}, model="large", model_num_parameters=10**9)
    return build_report([tmp_path])


def test_the_leaderboard_has_a_row_a_model_and_says_what_is_not_known(report):
    board = report.leaderboard.set_index("label").astype(object).fillna("missing").to_dict("index")
    assert board["small"] == {
        "rank": 1, "score": pytest.approx((0.95 + 0.75 + 0.3 * 3) / 5), "setup": '{"adapter": "pythia"}',
        "model": "small", "revision": "main", "architecture": "missing", "parameters": "missing",
        "phonebook_copy_unit": "entries in the phonebook",
        "phonebook_copy_area": pytest.approx((0.95 + 0.75) / 2), "phonebook_copy_area_lengths": "10-40",
        "phonebook_copy_effective_length_90": 20, "phonebook_copy_effective_length_50": 40,
        "phonebook_copy_10": 1.0, "phonebook_copy_20": 0.9, "phonebook_copy_40": 0.6,
        "phonebook_copy_320": "over context",
    }  # fmt: skip
    assert board["large"]["phonebook_copy_effective_length_90"] == "none"
    assert board["large"]["phonebook_copy_40"] == "missing"
    assert board["large"]["phonebook_copy_area_lengths"] == "10-320"


def test_nobody_gains_by_leaving_out_tasks(tmp_path):
    for model, scores in {"fair": {10: 0.6, 20: 0.6}, "good": {10: 0.9, 20: 0.9}, "brief": {10: 1.0, 20: 1.0}}.items():
        write_results(tmp_path, scores, model=model)
        if model != "brief":
            write_results(tmp_path, scores, model=model, task="c4_copy", date=2.0)
    assert build_report([tmp_path]).leaderboard["label"].tolist() == ["good", "fair", "brief"]


@pytest.mark.parametrize("beyond", [{40: "over context", 80: "over context", 160: "over context"}, {}])
def test_a_model_that_is_scored_at_short_lengths_alone_does_not_outrank_one_that_holds_on(tmp_path, beyond):
    write_results(tmp_path, {10: 1.0, 20: 1.0} | beyond, model="short")
    write_results(tmp_path, dict.fromkeys((10, 20, 40, 80, 160), 0.9), model="long")
    board = build_report([tmp_path]).leaderboard
    assert board[["label", "rank"]].to_numpy().tolist() == [["long", 1], ["short", 2]]
    # From 20 to 40 its line falls to 0, and stays there: 1.5 of the 4 doublings.
    assert board["score"].tolist() == pytest.approx([0.9, 1.5 / 4])


def test_a_task_named_like_a_column_of_another_keeps_its_own(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.4}, task="keys")
    write_results(tmp_path, {90: 0.6}, task="keys_effective_length", date=2.0)
    board = build_report([tmp_path]).leaderboard
    assert board[["keys_effective_length_90", "keys_effective_length_90_"]].to_numpy().tolist() == [[10, 0.6]]


def test_the_columns_of_buckets_say_both_bounds(tmp_path):
    write_results(tmp_path, {100: 0.2, 400: 0.4}, task="squad_by_length", below={100: 150, 400: None})
    board = build_report([tmp_path]).leaderboard
    assert board[["squad_by_length_100-150", "squad_by_length_400+"]].to_numpy().tolist() == [[0.2, 0.4]]


def test_equal_scores_share_a_rank(tmp_path):
    for model in "abc":
        write_results(tmp_path, {10: 0.5 if model == "c" else 0.7}, model=model)
    assert build_report([tmp_path]).leaderboard["rank"].tolist() == [1, 1, 3]


def test_f1_stands_for_squad(tmp_path):
    file = write_results(
        tmp_path, {0: 0.2, 100: 0.4}, task="squad_by_length",
        about={"headline_metric": "f1"}, metadata={"text_source": "dev.json", "text_sha256": "c" * 64},
    )  # fmt: skip
    file.write_text(
        file.read_text().replace('"digit_accuracy,none"', '"f1,none"').replace('"f1,none": 0.2', '"f1,none": 0.6')
    )
    report = build_report([file])
    assert report.accuracy[["metric", "accuracy"]].to_numpy().tolist() == [["f1", 0.6], ["f1", 0.4]]
    assert report.leaderboard["squad_by_length_area"].tolist() == [pytest.approx(0.5)]


def test_a_model_without_a_single_fitting_length_is_over_context(tmp_path):
    board = build_report([write_results(tmp_path, {640: "over context"})]).leaderboard
    assert board["phonebook_copy_effective_length_50"].tolist() == ["over context"]
    assert board["phonebook_copy_area"].isna().all()


def test_versions_of_a_task_have_columns_of_their_own(tmp_path):
    write_results(tmp_path, {10: 0.2}, version=1.0)
    write_results(tmp_path, {10: 0.6}, version=2.0, date=2.0)
    board = build_report([tmp_path]).leaderboard
    assert board[["phonebook_copy_v1.0_10", "phonebook_copy_v2.0_10"]].to_numpy().tolist() == [[0.2, 0.6]]


def test_shares_of_wrong_answers(report):
    rows = report.wrong_answers.set_index(["label", "length"])
    assert rows.index.tolist() == [("small", 10), ("small", 20), ("small", 40), ("small", 320)]
    # The last 20 of 50 answers are wrong, every other with another entry's number.
    shares = rows.loc[("small", 40), ["n", "wrong", "other_entry", "not_in_book", "right_number", "elsewhere"]]
    assert shares.tolist() == pytest.approx([50, 20, 0.5, 0.45, 0.05, 0.0])
    assert rows.loc[("small", 10), "wrong"] == 0
    assert rows.loc[("small", 10), ["other_entry", "not_in_book", "right_number", "elsewhere"]].isna().all()
    assert rows.loc[("small", 320), "over_context"]
    assert rows.loc[("small", 320), ["wrong", "other_entry"]].isna().all()
