import pandas as pd
import pytest

from copy_eval.reports.frames.seeds import average_seeds, line_labels
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results, write_trained


def lines(folder):
    return build_report([folder]).lines


def test_seeds_of_one_training_are_their_mean_from_the_lowest_to_the_highest(tmp_path):
    for seed, score in enumerate((0.2, 0.6, 0.7)):
        write_trained(tmp_path, {10: score, 20: score / 2}, seed=seed)
    short, _ = lines(tmp_path).itertuples()
    assert short.label == "rope (3 seeds)@step1000"
    assert (short.accuracy, short.low, short.high, short.seeds) == (pytest.approx(0.5), 0.2, 0.7, 3)


def test_other_models_and_a_single_seed_stay_as_they_are(tmp_path):
    write_trained(tmp_path, {10: 0.2})
    write_results(tmp_path, {10: 0.4}, model="org/one", task="string_copy")
    accuracy = build_report([tmp_path]).accuracy
    found = average_seeds(accuracy)
    assert found.drop(columns="seeds").equals(accuracy)
    assert found["seeds"].isna().all()
    assert line_labels(accuracy).tolist() == accuracy["label"].tolist()


def test_a_mean_says_the_fewest_prompts_and_the_mean_memory_of_its_seeds(tmp_path):
    for seed, size in enumerate((40.0, 60.0)):
        write_trained(tmp_path, {10: 0.5}, seed=seed, memory={10: size})
    accuracy = build_report([tmp_path]).accuracy
    [row] = average_seeds(accuracy.assign(n=[50, 40])).itertuples()
    assert (row.n, row.memory_bytes) == (40, 50)


def test_a_mean_stands_where_the_first_of_its_models_stood(tmp_path):
    for architecture, seeds in (("alibi", [0]), ("nope", [0, 1]), ("rope", [0])):
        for seed in seeds:
            write_trained(tmp_path, {10: 0.5}, architecture, seed)
    accuracy = build_report([tmp_path]).accuracy
    first_is_last = accuracy.iloc[[1, 0, 2, 3]].reset_index(drop=True)
    assert average_seeds(first_is_last)["label"].tolist() == [
        "nope (2 seeds)@step1000", "alibi-seed0@step1000", "rope-seed0@step1000",
    ]  # fmt: skip


def test_steps_and_lengths_and_tasks_and_trainings_are_not_mixed(tmp_path):
    for seed in (0, 1):
        write_trained(tmp_path, {10: 0.2, 20: 0.1}, seed=seed, step=1000)
        write_trained(tmp_path, {10: 0.8}, seed=seed, step=2000, date=2.0)
        write_trained(tmp_path, {10: 0.4}, architecture="mamba", seed=seed)
        write_trained(tmp_path, {10: 0.6}, architecture="mamba", seed=seed, task="phonebook_copy", date=3.0)
    found = {(row.label, row.task, row.length): row.accuracy for row in lines(tmp_path).itertuples()}
    assert found == {
        ("rope (2 seeds)@step1000", "string_copy", 10): 0.2,
        ("rope (2 seeds)@step1000", "string_copy", 20): 0.1,
        ("rope (2 seeds)@step2000", "string_copy", 10): 0.8,
        ("mamba (2 seeds)@step1000", "string_copy", 10): 0.4,
        ("mamba (2 seeds)@step1000", "phonebook_copy", 10): 0.6,
    }


def test_one_architecture_trained_in_two_ways_has_two_names(tmp_path):
    for place, lengths in enumerate([(10, 20), (10, 50)]):
        for seed in (0, 1):
            write_trained(tmp_path, {10: 0.5}, seed=seed + 2 * place, lengths=lengths)
    assert sorted(lines(tmp_path)["label"]) == [
        "rope (lengths=[10, 20], 2 seeds)@step1000",
        "rope (lengths=[10, 50], 2 seeds)@step1000",
    ]


def test_a_seed_over_the_context_leaves_no_mean(tmp_path):
    write_trained(tmp_path, {10: 0.5}, seed=0)
    write_trained(tmp_path, {10: "over context"}, seed=1)
    found = lines(tmp_path)
    assert found["over_context"].tolist() == [True]
    assert found[["accuracy", "low", "high"]].isna().all(axis=None)


def test_a_length_that_one_seed_was_not_evaluated_at_has_no_mean_of_the_others(tmp_path):
    write_trained(tmp_path, {10: 0.5, 20: 0.4}, seed=0)
    write_trained(tmp_path, {10: 0.7}, seed=1)
    short, long = lines(tmp_path).itertuples()
    assert (short.accuracy, short.seeds) == (pytest.approx(0.6), 2)
    assert pd.isna(long.accuracy)
    assert not long.over_context


def test_of_a_seed_that_was_trained_anew_the_newest_result_counts(tmp_path):
    for seed in (0, 1):
        write_trained(tmp_path, {10: 0.1}, seed=seed, date=1.0)
        write_trained(tmp_path, {10: 0.7 + 0.2 * seed}, seed=seed, trained_anew=1, date=2.0)
    [row] = lines(tmp_path).itertuples()
    assert (row.accuracy, row.low, row.high, row.seeds) == pytest.approx((0.8, 0.7, 0.9, 2))


def test_a_model_that_is_called_like_a_mean_keeps_its_name(tmp_path):
    for seed in (0, 1):
        write_trained(tmp_path, {10: 0.5}, seed=seed)
    write_results(tmp_path, {10: 0.1}, model="rope (2 seeds)", task="string_copy")
    assert set(lines(tmp_path)["label"]) == {"rope (2 seeds)", "rope (2 seeds)_@step1000"}
