import pandas as pd
import pytest

from copy_eval.errors import UserError
from copy_eval.reports.comparison.comparison import COLUMNS, compare
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.statistics.differences import fisher_p
from tests.reports.logged_runs import write_run


def _compare(folder, a, b):
    return compare(*(read_evaluation([write_run(folder, **run)]) for run in ({"model": "a"} | a, {"model": "b"} | b)))


def test_the_same_prompts_are_compared_pair_by_pair(tmp_path):
    frame = _compare(
        tmp_path, {"answers": {10: "11111111", 20: "11110000"}}, {"answers": {10: "00000011", 20: "11100001"}}
    )
    assert frame.dtypes.astype(str).to_dict() == COLUMNS
    assert frame["paired"].all()
    counts = ["length", "n_a", "n_b", "accuracy_a", "accuracy_b", "difference", "only_a", "only_b"]
    assert frame[counts].to_numpy().tolist() == [
        [10, 8, 8, 1.0, 0.25, -0.75, 6, 0],
        [20, 8, 8, 0.5, 0.5, 0.0, 1, 1],
        [pd.NA, 16, 16, 0.75, 0.375, -0.375, 7, 1],
    ]
    # 6 of 6, 1 of 2 and 7 of 8 fair coins on two sides, adjusted for three tests.
    assert frame["p"].tolist() == pytest.approx([2 / 64, 1.0, 18 / 256])
    assert frame["p_adjusted"].tolist() == pytest.approx([6 / 64, 1.0, 36 / 256])


def test_p_values_are_adjusted_within_a_task(tmp_path):
    for model, answer in (("a", "1"), ("b", "0")):
        write_run(tmp_path, {10: answer * 6, 20: answer * 6}, model=model, date=1.0)
        write_run(tmp_path, {25: answer * 6}, model=model, task="c4_copy", date=2.0)
    frame = compare(read_evaluation([tmp_path / "a"]), read_evaluation([tmp_path / "b"]))
    assert frame["task_name"].tolist() == ["c4_copy_25", "phonebook_copy_10", "phonebook_copy_20", pd.NA]
    assert frame["p_adjusted"].tolist() == pytest.approx([2 / 64, 4 / 64, 4 / 64, 3 * 2 / 2**12])


BOOKS = {"docs": [{"book": f"book {place // 5}"} for place in range(40)], "about": {"cluster": "book"}}
"""Five questions about each of eight books."""


def test_questions_about_one_book_count_together(tmp_path):
    # B loses all of three books, gains one answer in a fourth, and changes nothing in four.
    a, b = "1" * 35 + "0" * 5, "0" * 15 + "1" * 20 + "10000"
    row = _compare(tmp_path, {"answers": {10: a}} | BOOKS, {"answers": {10: b}} | BOOKS).iloc[0]
    assert (row["only_a"], row["only_b"], row["clusters"]) == (15, 1, 8)
    # Of the 16 ways to toss four coins of 5, 5, 5 and 1, this sum of 14 is the second from either end.
    assert row["p"] == pytest.approx(4 / 16)
    alone = _compare(tmp_path / "alone", {"answers": {10: a}}, {"answers": {10: b}}).iloc[0]
    assert pd.isna(alone["clusters"])
    assert alone["p"] < 0.001
    assert row["difference"] == alone["difference"] == -14 / 40
    assert row["n_effective"] < 15 < alone["n_effective"] == 40
    assert row["low"] < alone["low"] < alone["high"] < row["high"]


def test_the_clusters_of_one_side_go_for_both(tmp_path):
    unknown = {"about": {}}
    rows = [
        _compare(
            tmp_path / f"{place}", {"answers": {10: "1" * 40}} | a, {"answers": {10: "0" * 10 + "1" * 30}} | b
        ).iloc[0]
        for place, (a, b) in enumerate([(BOOKS, BOOKS), (unknown, BOOKS), (BOOKS, unknown)])
    ]
    assert [row["p"] for row in rows] == pytest.approx([2 / 4] * 3)
    assert len({row["low"] for row in rows}) == 1


def test_an_article_with_paragraphs_of_two_lengths_counts_once_in_all_lengths_together(tmp_path):
    before, now = (
        {"answers": dict.fromkeys((10, 20), "1" * 40)},
        {"answers": dict.fromkeys((10, 20), "0" * 20 + "1" * 20)},
    )
    frame = _compare(tmp_path, before | BOOKS, now | BOOKS)
    assert frame["clusters"].tolist() == [8, 8, 8]
    assert frame["p"].tolist() == pytest.approx([2 / 2**4] * 3)


def test_other_books_are_compared_by_their_effective_number(tmp_path):
    a, b = "1" * 40, "0" * 20 + "1" * 20
    row = _compare(tmp_path, {"answers": {10: a}} | BOOKS, {"answers": {10: b}, "sha": "b" * 64} | BOOKS).iloc[0]
    assert (row["paired"], row["n_a"], row["n_b"]) == (False, 40, 40)
    # All right in 8 books, half of them in 8: no more than as many independent answers.
    assert row["p"] >= fisher_p(8, 8, 4, 8, "two-sided")
    assert row["n_effective"] <= 8


@pytest.mark.parametrize(
    ("a", "b", "note"),
    [
        ({}, {"sha": "b" * 64}, "other prompts (their fingerprints differ)"),
        ({"log_samples": False}, {}, "no usable samples of A (--log_samples)"),
        ({"log_samples": False}, {"log_samples": False}, "no usable samples of A and B (--log_samples)"),
        ({}, {"chat_template": "f" * 64}, "other text around the prompts (B alone has a chat template)"),
        (
            {"system_instruction": "e" * 64},
            {"system_instruction": "f" * 64},
            "other text around the prompts (A and B have another system instruction)",
        ),
    ],
)
def test_what_cannot_be_paired_is_compared_unpaired_and_says_why(tmp_path, a, b, note):
    frame = _compare(tmp_path, {"answers": {10: "11111111"}} | a, {"answers": {10: "10000000"}} | b)
    row = frame.iloc[0]
    assert (row["paired"], row["note"]) == (False, note)
    assert row["p"] == fisher_p(8, 8, 1, row["n_b"], "two-sided")
    assert pd.isna(row["only_a"])
    assert row["low"] < row["difference"] < row["high"] < 0


def test_of_two_subsets_of_the_same_prompts_those_in_common_are_compared_pair_by_pair(tmp_path):
    frame = _compare(tmp_path, {"answers": {10: "11110011"}}, {"answers": {10: "10100"}})
    row = frame.iloc[0]
    assert (row["paired"], row["n_a"], row["n_b"], row["only_a"], row["only_b"]) == (True, 5, 5, 2, 0)
    assert (row["accuracy_a"], row["accuracy_b"]) == (0.8, 0.4)
    assert row["note"] == "8 prompts against 5: the 5 that both have are compared"


def test_all_lengths_together_find_what_no_length_shows(tmp_path):
    a, b = "1" * 50, "1" * 46 + "0" * 4
    frame = _compare(tmp_path, {"answers": dict.fromkeys((10, 20, 40), a)}, {"answers": dict.fromkeys((10, 20, 40), b)})
    together = frame[frame["length"].isna()].iloc[0]
    assert (frame.loc[frame["length"].notna(), "p_adjusted"] > 0.1).all()
    assert (together["n_a"], together["only_a"], together["difference"]) == (150, 12, pytest.approx(-0.08))
    assert together["p_adjusted"] == pytest.approx(4 * 2 / 2**12)
    assert together["low"] < -0.08 < together["high"] < 0


@pytest.mark.parametrize(
    ("b", "note"),
    [
        ({"version": 2.0}, "B has version 2.0 of the task, this is 1.0"),
        ({"task": "other"}, "B was not evaluated on it"),
        (
            {"metadata": {"text_sha256": "f" * 64, "text_source": "/data/mine.txt"}},
            "B has it on mine.txt (SHA-256 ffffffff)",
        ),
    ],
)
def test_what_only_one_side_has_is_named_and_not_compared(tmp_path, b, note):
    frame = _compare(tmp_path, {"answers": {10: "11"}}, {"answers": {10: "00"}} | b)
    assert len(frame) == 2
    assert frame["p"].isna().all()
    assert frame.loc[frame["n_b"].isna(), "note"].tolist() == [note]


def test_a_length_over_the_context_is_no_accuracy_and_does_not_count_in_the_adjustment(tmp_path):
    frame = _compare(tmp_path, {"answers": {10: "111111", 20: "11-"}}, {"answers": {10: "000000", 20: "000"}})
    assert frame["over_context_a"].tolist() == [False, True]
    assert frame["accuracy_a"].tolist() == [1.0, pd.NA]
    assert frame["difference"].tolist() == [-1.0, pd.NA]
    assert frame["p_adjusted"].tolist() == [pytest.approx(2 / 64), pd.NA]


def test_a_folder_of_several_models_lists_them(tmp_path):
    for model in ("org/a", "org/b"):
        write_run(tmp_path, {10: "1"}, model=model)
    with pytest.raises(
        UserError,
        match=r"2 models, revisions or ways of.*org/a \(.*org__a.*json\), org/b \(.*org__b.*json\)",
    ):
        read_evaluation([tmp_path])
