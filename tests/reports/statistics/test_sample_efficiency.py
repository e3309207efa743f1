import pandas as pd
import pytest

from copy_eval.reports.report import build_report
from copy_eval.reports.statistics.sample_efficiency import examples_needed
from copy_eval.reports.writing.formats import examples_text, ratio_text
from tests.reports.result_files import write_results, write_trained

STEPS = (1000, 2000, 5000, 10000)


def write_curves(folder, architecture, curves):
    for seed, scores in enumerate(curves):
        for step, score in zip(STEPS, scores, strict=True):
            write_trained(folder, {10: score}, architecture, seed, step, date=float(step))


def needed(folder):
    return {row.training.partition(" ")[0]: row for row in build_report([folder]).examples.itertuples()}


def test_the_first_checkpoint_that_reaches_90_percent_counts_and_the_median_of_the_seeds(tmp_path):
    write_curves(tmp_path, "rope", [(0.1, 0.9, 0.4, 1.0), (0.0, 0.2, 0.96, 1.0), (0.0, 0.1, 0.2, 0.98)])
    row = needed(tmp_path)["rope"]
    assert (row.seeds, row.reached, row.examples, row.fewest, row.most, row.within) == (3, 3, 5000, 2000, 10000, 10000)
    assert (examples_text(row), ratio_text(row)) == ("5,000 (2,000 to 10,000)", "1.0")


def test_a_training_that_is_not_there_within_its_examples_is_said_to_need_more(tmp_path):
    write_curves(tmp_path, "rope", [(1.0, 1.0, 1.0, 1.0)] * 2)
    write_curves(tmp_path, "mamba", [(0.0, 0.0, 0.1, 0.2)] * 3)
    row = needed(tmp_path)["mamba"]
    assert row.ratio == 10
    assert (examples_text(row), ratio_text(row)) == ("not within 10,000", "more than 10.0")


def test_an_accuracy_that_rounding_left_below_90_percent_counts(tmp_path):
    write_curves(tmp_path, "rope", [(0.1, 0.9, 0.9, 0.9)] * 2)
    report = build_report([tmp_path])
    rounded = report.accuracy.assign(accuracy=report.accuracy["accuracy"] - 1e-12)
    assert examples_needed(rounded, report.lines)["examples"].tolist() == [2000]


def test_not_within_is_said_of_no_more_examples_than_every_seed_was_evaluated_after(tmp_path):
    for seed, steps in enumerate((STEPS, STEPS[:3])):
        for step in steps:
            write_trained(tmp_path, {10: 0.1}, "rope", seed, step, date=float(step))
    assert examples_text(needed(tmp_path)["rope"]) == "not within 5,000"


def test_trainings_are_compared_at_the_same_length_of_the_same_task(tmp_path):
    learned_after = {
        ("rope", "string_copy"): {10: 1000, 20: 5000},
        ("mamba", "string_copy"): {10: 2000, 20: 10000},
        ("mamba", "phonebook_copy"): {10: 5000, 20: 5000},
    }
    for (architecture, task), lengths in learned_after.items():
        for step in STEPS:
            scores = {length: float(step >= first) for length, first in lengths.items()}
            write_trained(tmp_path, scores, architecture, 0, step, task=task, date=float(step + len(task)))
    found = build_report([tmp_path]).examples
    key = found["training"].str.partition("-")[0] + " " + found["task"]
    assert dict(zip(zip(key, found["length"], strict=True), found["ratio"], strict=True)) == {
        ("rope string_copy", 10): 1, ("rope string_copy", 20): 1, ("mamba string_copy", 10): 2,
        ("mamba string_copy", 20): 2, ("mamba phonebook_copy", 10): 1, ("mamba phonebook_copy", 20): 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reaching", "text"),
    [(1, "not within 10,000 (1 of 3 seeds did)"), (2, "5,000 (5,000 to more than 10,000)"), (3, "5,000")],
)
def test_seeds_that_do_not_reach_it_count_as_needing_more(tmp_path, reaching, text):
    reached = [(0.0, 0.0, 1.0, 1.0)] * reaching
    write_curves(tmp_path, "rope", reached + [(0.0, 0.0, 0.0, 0.0)] * (3 - reaching))
    assert examples_text(needed(tmp_path)["rope"]) == text


def test_where_nobody_reaches_it_there_is_no_ratio(tmp_path):
    write_curves(tmp_path, "rope", [(0.0, 0.0, 0.1, 0.2)] * 2)
    assert ratio_text(needed(tmp_path)["rope"]) == "n/a"


def test_models_that_we_did_not_train_or_with_two_checkpoints_have_no_curve(tmp_path):
    for step in STEPS:
        write_results(tmp_path, {10: 0.5}, model="org/m", model_revision=f"step{step}", task="string_copy", date=step)
    for step in STEPS[:2]:
        write_trained(tmp_path, {10: 0.5}, step=step)
    assert build_report([tmp_path]).examples.empty


def test_an_empty_table_has_the_columns_of_a_full_one(tmp_path):
    write_curves(tmp_path / "full", "rope", [(0.0, 0.0, 1.0, 1.0)] * 2)
    write_results(tmp_path / "empty", {10: 0.5})
    full, empty = (build_report([tmp_path / name]).examples for name in ("full", "empty"))
    pd.testing.assert_index_equal(full.columns, empty.columns)
