import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.reports.comparison.evaluation import read_evaluation
from copy_eval.reports.gate.baseline import read_baseline, to_json
from copy_eval.reports.gate.verdicts import exit_code, judge
from copy_eval.reports.statistics.differences import adjust_holm, paired_stratum, pooled_p
from tests.reports.logged_runs import write_run


def _evaluate(folder, answers, **run):
    return read_evaluation([write_run(folder, answers, **run)])


def _judge(folder, before, now, max_drop=0.02, alpha=0.01, **changed):
    baseline = _evaluate(folder, before, model="before")
    return judge(baseline, _evaluate(folder, now, **({"model": "now"} | changed)), max_drop, alpha)


def test_an_unchanged_model_passes(tmp_path):
    judged = _judge(tmp_path, {10: "1101" * 3}, {10: "1101" * 3})
    assert judged["verdict"].tolist() == ["pass"]
    assert exit_code(judged) == 0


def test_a_significant_drop_fails_on_one_side_adjusted_for_all_tests(tmp_path):
    before = {10: "1" * 20, 20: "1" * 20, 40: "0" * 20}
    judged = _judge(tmp_path, before, {10: "1" * 10 + "0" * 10, 20: "1" * 14 + "0" * 6, 40: "0" * 20})
    # 10 of 10 and 6 of 6 fair coins, and 16 of 16 together: three tests. The third length has nothing to lose.
    assert judged["length"].tolist() == [10, 20, 40, pd.NA]
    assert judged["p_adjusted"].fillna(-1).tolist() == pytest.approx([2 / 2**10, 1 / 2**6, -1, 3 / 2**16])
    assert judged["verdict"].tolist() == ["drop", "pass", "pass", "drop"]
    assert exit_code(judged) == 1


def test_lengths_that_fall_together_fail_although_none_does_alone(tmp_path):
    before, now = dict.fromkeys((10, 20, 40, 80), "1" * 50), dict.fromkeys((10, 20, 40, 80), "1" * 46 + "0" * 4)
    judged = _judge(tmp_path, before, now)
    assert judged["verdict"].tolist() == ["pass"] * 4 + ["drop"]
    assert judged["p_adjusted"].iloc[-1] == pytest.approx(5 / 2**16)
    assert exit_code(judged) == 1
    assert exit_code(_judge(tmp_path, before, now, max_drop=0.1)) == 0


def test_all_answers_wrong_on_two_prompts_a_length_do_not_pass(tmp_path):
    lengths = (10, 20, 40, 80, 120, 160)
    judged = _judge(tmp_path, dict.fromkeys(lengths, "11"), dict.fromkeys(lengths, "00"), alpha=1e-4)
    assert judged["verdict"].tolist() == ["unusable"] * 7
    assert judged["note"].iloc[0] == "2 prompts are too few for any drop to be significant"
    assert exit_code(judged) == 2


def test_the_loss_of_one_book_of_eight_is_no_significant_drop(tmp_path):
    books = {"docs": [{"book": f"book {place // 10}"} for place in range(80)], "about": {"cluster": "book"}}
    now = "0" * 10 + "1" * 70
    baseline = read_baseline(_written(tmp_path, _evaluate(tmp_path, {10: "1" * 80}, model="before", **books)))
    judged = judge(baseline, _evaluate(tmp_path, {10: now}, model="now", **books), 0.02, 0.05)
    assert judged[["verdict", "p"]].to_numpy().tolist() == [["pass", pytest.approx(1 / 2)]]
    # As 80 independent prompts they would have failed.
    alone = _judge(tmp_path / "alone", {10: "1" * 80}, {10: now}, alpha=0.05)
    assert alone["verdict"].tolist() == ["drop"]


def _written(folder, evaluation):
    file = folder / "baseline.json"
    file.write_text(to_json(evaluation))
    return file


def test_two_books_are_too_few_however_many_questions_they_are_asked(tmp_path):
    books = {"docs": [{"book": f"book {place // 10}"} for place in range(20)], "about": {"cluster": "book"}}
    baseline = _evaluate(tmp_path, {10: "1" * 20}, model="before", **books)
    judged = judge(baseline, _evaluate(tmp_path, {10: "0" * 20}, model="now", **books), 0.02, 0.01)
    assert judged["verdict"].tolist() == ["unusable"]
    assert judged["note"].iloc[0] == "20 prompts in 2 clusters are too few for any drop to be significant"


@pytest.mark.parametrize(("max_drop", "verdict"), [(0.02, "unusable"), (0.025, "pass")])
def test_few_right_answers_are_unusable_unless_they_may_all_be_lost(tmp_path, max_drop, verdict):
    judged = _judge(tmp_path, {10: "1" * 5 + "0" * 195}, {10: "0" * 200}, max_drop=max_drop)
    assert judged["verdict"].tolist() == [verdict]
    assert judged["note"].notna().all()


def test_a_subset_of_which_the_baseline_had_none_right_tells_nothing(tmp_path):
    lengths = (10, 20, 40, 80, 120, 160)
    baseline = dict.fromkeys(lengths, "00" + "1" * 100 + "0" * 98)
    judged = _judge(tmp_path, baseline, dict.fromkeys(lengths, "00"))
    assert judged["verdict"].tolist() == ["unusable"] * 6 + ["pass"]
    assert exit_code(judged) == 2


def test_the_loss_of_every_answer_at_one_length_of_few_prompts_does_not_pass(tmp_path):
    lengths = (10, 20, 40, 80, 120, 160)
    whole = dict.fromkeys(lengths, "1" * 8)
    judged = _judge(tmp_path, whole, whole | {160: "0" * 8})
    # 2**-8 is below 0.01, but not among seven tests.
    assert set(judged.loc[judged["length"].notna(), "verdict"]) == {"unusable"}
    assert exit_code(judged) == 2


def test_a_falling_curve_passes_against_itself(tmp_path):
    curve = {
        length: "1" * right + "0" * (200 - right)
        for length, right in zip((10, 20, 40, 80, 120, 160), (190, 150, 100, 40, 9, 0), strict=True)
    }
    assert exit_code(_judge(tmp_path, curve, curve)) == 0


def test_a_subset_of_the_prompts_is_judged_on_what_both_have(tmp_path):
    judged = _judge(tmp_path, {10: "1" * 100 + "0" * 100}, {10: "1" * 60 + "0" * 40})
    assert judged[["n_a", "accuracy_a", "only_a", "verdict"]].to_numpy().tolist() == [[100, 1.0, 40, "drop"]]


def test_a_drop_of_no_more_than_the_allowed_passes_however_significant(tmp_path):
    before, now = {10: "1" * 500}, {10: "1" * 490 + "0" * 10}
    assert _judge(tmp_path, before, now, max_drop=0.02)["verdict"].tolist() == ["pass"]
    assert _judge(tmp_path, before, now, max_drop=0.019)["verdict"].tolist() == ["drop"]


def test_a_rise_passes(tmp_path):
    assert _judge(tmp_path, {10: "0" * 49 + "1"}, {10: "1" * 50})["verdict"].tolist() == ["pass"]


def test_other_prompts_are_judged_unpaired(tmp_path):
    judged = _judge(tmp_path, {10: "1" * 50}, {10: "1" * 10 + "0" * 40}, sha="b" * 64)
    assert judged[["paired", "verdict"]].to_numpy().tolist() == [[False, "drop"]]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=3)
def test_with_nothing_changed_a_gate_fails_no_more_often_than_alpha(seed):
    rng = np.random.default_rng(seed)
    failed = 0
    gates, alpha, n = 400, 0.1, 100
    for _ in range(gates):
        p = []
        for lengths in (6, 7):  # two tasks
            strata = []
            for accuracy in rng.choice([0.5, 0.9, 0.97], lengths):
                only_a, only_b = (rng.binomial(n, accuracy * (1 - accuracy)) for _ in "ab")
                strata.append(paired_stratum([-1] * only_a + [1] * only_b))
            p += [pooled_p([stratum], "drop") for stratum in strata] + [pooled_p(strata, "drop")]
        failed += min(adjust_holm(p)) < alpha
    # Three standard errors above the level.
    assert failed / gates < alpha + 3 * (alpha * (1 - alpha) / gates) ** 0.5


def test_what_the_baseline_has_and_the_run_has_not_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "1" * 9, 20: "11", 640: "-1"}, {10: "1" * 9})
    assert judged["verdict"].tolist() == ["pass", "unusable", "unusable"]
    assert exit_code(judged) == 2


def test_another_task_version_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "11"}, {10: "11"}, version=2.0)
    assert judged[["verdict", "note"]].to_numpy().tolist() == [
        ["unusable", "the new run has version 2.0 of the task, this is 1.0"],
        ["new", "the baseline has version 1.0 of the task, this is 2.0"],
    ]


def test_a_length_newly_over_the_context_is_unusable(tmp_path):
    judged = _judge(tmp_path, {10: "11", 20: "1-", 40: "1-"}, {10: "1-", 20: "1-", 40: "11"})
    assert judged["verdict"].tolist() == ["unusable", "over context", "new"]
    assert exit_code(judged) == 2


def test_a_new_length_passes(tmp_path):
    judged = _judge(tmp_path, {10: "1" * 9}, {10: "1" * 9, 20: "00"})
    assert judged["verdict"].tolist() == ["pass", "new"]
    assert exit_code(judged) == 0


def test_a_drop_is_reported_although_something_else_is_unusable(tmp_path):
    assert exit_code(_judge(tmp_path, {10: "1" * 20, 20: "11"}, {10: "0" * 20})) == 1


@pytest.mark.parametrize("wrong", [{"max_drop": -0.1}, {"max_drop": 2.0}, {"alpha": 0.0}, {"alpha": float("nan")}])
def test_bounds_that_make_no_sense_are_refused(tmp_path, wrong):
    with pytest.raises(UserError, match=r"--(max-drop|alpha) .*: give a"):
        _judge(tmp_path, {10: "11"}, {10: "11"}, **wrong)
