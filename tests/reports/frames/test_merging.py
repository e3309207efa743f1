import logging

import pytest

from copy_eval.reports.frames.results import read_results
from tests.reports.result_files import write_results

SEED_1, SEED_2 = "1" * 64, "2" * 64


def accuracies(frame):
    return frame[frame["metric"] == "exact_match"]


def write_two_seeds(folder):
    """Scores 0.2 and 0.6 on 50 prompts each; the seed that sorts first is the newer one."""
    return [
        write_results(folder, {10: 0.2}, sha=SEED_2, date=1.0, log_samples=True),
        write_results(folder, {10: 0.6}, sha=SEED_1, date=2.0, log_samples=True),
    ]


def test_of_different_prompts_the_newest_count_and_the_others_are_named(tmp_path, caplog):
    older, newer = write_two_seeds(tmp_path)
    with caplog.at_level(logging.WARNING):
        rows = accuracies(read_results([tmp_path]))
    assert rows[["value", "n", "prompts_sha256", "file"]].to_numpy().tolist() == [[0.6, 50, SEED_1, str(newer)]]
    assert caplog.messages == [
        "left out 1 older evaluations on other prompts (--pool adds them up): "
        f"phonebook_copy_10 of 'some/model' in {older}"
    ]


def test_pooled_runs_are_weighted_and_marked(tmp_path):
    older, newer = write_two_seeds(tmp_path)
    for file, stderr in ((older, 0.3), (newer, 0.4)):
        file.write_text(
            file.read_text().replace('"exact_match_stderr,none": "N/A"', f'"exact_match_stderr,none": {stderr}')
        )
    frame = read_results([tmp_path], pool=True)
    (row,) = accuracies(frame).itertuples()
    assert (row.value, row.n, row.stderr) == (pytest.approx(0.4), 100, pytest.approx(0.25))
    assert row.prompts_sha256.startswith("pooled:")
    assert row.file.split("\n") == [str(newer), str(older)]  # in the order of the fingerprints
    # 20 of the 40 wrong answers of one run and 10 of the 20 of the other are another entry's number.
    assert frame.loc[frame["metric"] == "wrong_is_other_entry", "value"].tolist() == [pytest.approx(0.5)]


def test_shares_of_wrong_answers_are_weighted_by_wrong_answers(tmp_path):
    for sha, date, score, share in ((SEED_1, 1.0, 0.0, 0.2), (SEED_2, 2.0, 0.8, 0.8)):
        file = write_results(tmp_path, {10: score}, sha=sha, date=date)
        added = f'"wrong_is_other_entry,none": {share}, "x,none"'
        file.write_text(file.read_text().replace('"digit_accuracy,none"', added))
    frame = read_results([tmp_path], pool=True)
    # (50 x 0.2 + 10 x 0.8) / 60
    assert frame.loc[frame["metric"] == "wrong_is_other_entry", "value"].tolist() == [pytest.approx(0.3)]


def test_the_same_prompts_are_not_pooled(tmp_path):
    write_results(tmp_path, {10: 0.2}, date=1.0)
    write_results(tmp_path, {10: 0.6}, date=2.0)
    rows = accuracies(read_results([tmp_path], pool=True))
    assert rows[["value", "n", "prompts_sha256"]].to_numpy().tolist() == [[0.6, 50, "a" * 64]]


def test_pooling_keeps_a_length_over_context_if_one_run_was(tmp_path):
    write_results(tmp_path, {10: 0.2}, sha=SEED_1, date=1.0)
    write_results(tmp_path, {10: "over context"}, sha=SEED_2, date=2.0)
    rows = accuracies(read_results([tmp_path], pool=True))
    assert rows["over_context"].tolist() == [True]
    assert rows["value"].isna().tolist() == [True]


@pytest.mark.parametrize("pool", [False, True])
def test_versions_of_a_task_never_mix(tmp_path, pool):
    write_results(tmp_path, {10: 0.2}, version=1.0, sha=SEED_1, date=1.0)
    write_results(tmp_path, {10: 0.6}, version=2.0, sha=SEED_2, date=2.0)
    rows = accuracies(read_results([tmp_path], pool=pool))
    assert rows[["series", "title", "value"]].to_numpy().tolist() == [
        ["phonebook_copy_v1.0", "phonebook_copy, version 1.0", 0.2],
        ["phonebook_copy_v2.0", "phonebook_copy, version 2.0", 0.6],
    ]


def test_metrics_of_an_older_run_do_not_stand_in_for_the_newest(tmp_path):
    write_results(tmp_path, {10: 0.2}, date=1.0, log_samples=True)
    write_results(tmp_path, {10: 0.6}, date=2.0)
    assert "wrong_is_other_entry" not in set(read_results([tmp_path])["metric"])
