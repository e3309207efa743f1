import hashlib
import json
import logging

import pytest

from copy_eval.reports.frames.result_files import samples_file
from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples
from tests.reports.logged_runs import write_run
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
        "left out 1 evaluations on other prompts, older or of fewer prompts (--pool adds them up): "
        f"phonebook_copy_10 of 'some/model' in {older}"
    ]


def test_pooled_runs_are_weighted_and_marked(tmp_path):
    older, newer = write_two_seeds(tmp_path)
    frame = read_results([tmp_path], pool=True)
    (row,) = accuracies(frame).itertuples()
    assert (row.value, row.n) == (pytest.approx(0.4), 100)
    assert row.stderr == pytest.approx((0.4 * 0.6 / 99) ** 0.5)  # of the mean of 100 samples
    assert row.prompts_sha256.startswith("pooled:")
    assert row.file.split("\n") == [str(newer), str(older)]  # in the order of the fingerprints
    # 20 of the 40 wrong answers of one run and 10 of the 20 of the other are another entry's number.
    assert frame.loc[frame["metric"] == "wrong_is_other_entry", "value"].tolist() == [pytest.approx(0.5)]


def test_the_error_of_pooled_runs_is_that_of_their_books(tmp_path):
    for seed, sha in ((1, SEED_1), (2, SEED_2)):
        docs = [{"book": f"{seed}/{place // 5}"} for place in range(20)]
        write_run(tmp_path, {10: "1" * 10 + "0" * 10}, sha=sha, date=seed, docs=docs, about={"cluster": "book"})
    (row,) = accuracies(read_results([tmp_path], pool=True)).itertuples()
    assert (row.value, row.n) == (0.5, 40)
    # Eight books of two runs, each all right or all wrong.
    assert row.stderr == pytest.approx((0.5 * 0.5 / 7) ** 0.5)


def test_runs_without_samples_are_added_up_where_prompts_are_generated(tmp_path):
    for sha, date, score, stderr in ((SEED_1, 1.0, 0.2, 0.3), (SEED_2, 2.0, 0.6, 0.4)):
        file = write_results(tmp_path, {10: score}, sha=sha, date=date, metadata={"data_seed": int(date)})
        file.write_text(
            file.read_text().replace('"exact_match_stderr,none": "N/A"', f'"exact_match_stderr,none": {stderr}')
        )
    (row,) = accuracies(read_results([tmp_path], pool=True)).itertuples()
    assert (row.value, row.n, row.stderr) == (pytest.approx(0.4), 100, pytest.approx(0.25))


def write_paragraphs(folder, sha, answers, first, **run):
    """Write a run on paragraphs, whose prompts are known by their place in the whole text."""
    metadata = {"text_source": "dev.json", "text_sha256": "c" * 64}
    file = write_run(folder, {100: answers}, task="squad_by_length", sha=sha, metadata=metadata, **run)
    if run.get("log_samples", True):
        samples = samples_file(file, "squad_by_length_100")
        lines = [json.loads(line) for line in samples.read_text().splitlines()]
        for line in lines:
            line["prompt_hash"] = f"paragraph {first + line['doc']['index']}"
        samples.write_text("".join(json.dumps(line) + "\n" for line in lines))
        hashes = "".join(line["doc_hash"] + line["prompt_hash"] + line["target_hash"] for line in lines)
        report = json.loads(file.read_text())
        report["task_hashes"]["squad_by_length_100"] = hashlib.sha256(hashes.encode()).hexdigest()
        file.write_text(json.dumps(report))
    return file


def test_a_prompt_that_two_seeds_ask_counts_once(tmp_path):
    # Paragraphs 0 to 9 and 4 to 13: 14 of them, 4 to 9 in both.
    write_paragraphs(tmp_path, SEED_1, "1111000000", first=0, date=1.0)
    write_paragraphs(tmp_path, SEED_2, "0000001111", first=4, date=2.0)
    (row,) = accuracies(read_results([tmp_path], pool=True)).itertuples()
    assert (row.n, row.value) == (14, pytest.approx(8 / 14))
    samples = read_samples(read_results([tmp_path], pool=True))
    assert (len(samples), samples["exact_match"].sum()) == (14, 8)


def test_without_samples_prompts_from_a_text_are_not_pooled_and_a_line_says_so(tmp_path, caplog):
    write_paragraphs(tmp_path, SEED_1, "1111000000", first=0, date=1.0, log_samples=False)
    newer = write_paragraphs(tmp_path, SEED_2, "0000000011", first=4, date=2.0)
    (row,) = accuracies(read_results([tmp_path], pool=True)).itertuples()
    assert (row.n, row.value, row.file) == (10, 0.2, str(newer))
    assert "is not pooled: without samples (--log_samples) nothing tells which prompts are the same" in caplog.text


def test_fewer_prompts_of_the_same_seed_are_not_added_to_more(tmp_path, caplog):
    for sha, date, score in ((SEED_1, 1.0, 1.0), (SEED_2, 2.0, 0.5)):
        write_results(tmp_path, {10: score}, sha=sha, date=date, metadata={"data_seed": 1234})
    (row,) = accuracies(read_results([tmp_path], pool=True)).itertuples()
    assert (row.n, row.value) == (50, 0.5)
    assert "is not pooled" in caplog.text


def test_a_newer_run_on_fewer_of_the_same_prompts_does_not_count(tmp_path, caplog):
    full = write_run(tmp_path, {10: "1" * 20}, date=1.0)
    limited = write_run(tmp_path, {10: "0" * 4}, date=2.0)
    (row,) = accuracies(read_results([tmp_path])).itertuples()
    assert (row.n, row.value, row.file) == (20, 1.0, str(full))
    assert caplog.messages == [
        f"phonebook_copy_10 of 'some/model': an older run of 20 prompts counts, not the newer one of 4 in {limited}"
    ]


@pytest.mark.parametrize(
    ("other", "labels"),
    [
        ({"adapter": "hf"}, ["some/model (hf)", "some/model (pythia)"]),
        (
            {"model_args": {"pretrained": "some/model", "load_in_8bit": True}},
            ["some/model", "some/model (load_in_8bit=True)"],
        ),
        ({"model_args": {"pretrained": "some/model", "max_length": 64}}, ["some/model", "some/model (max_length=64)"]),
        ({"model_dtype": "torch.float16"}, ["some/model", "some/model (float16)"]),
        ({"chat_template": "f" * 64}, ["some/model", "some/model (chat template)"]),
        ({"system_instruction": "f" * 64}, ["some/model", "some/model (system instruction)"]),
        ({"gen_kwargs": {"temperature": 1}}, ["some/model", 'some/model (gen_kwargs={"temperature": 1})']),
    ],
)
def test_what_was_loaded_or_prompted_otherwise_is_a_row_of_its_own(tmp_path, other, labels):
    write_results(tmp_path, {10: 1.0}, date=1.0)
    write_results(tmp_path, {10: 0.1}, date=2.0, **other)
    rows = accuracies(read_results([tmp_path]))
    assert sorted(rows["label"]) == labels
    assert sorted(rows["value"]) == [0.1, 1.0]


def test_a_task_with_solved_examples_before_its_prompts_is_a_row_of_its_own(tmp_path):
    write_results(tmp_path, {10: 1.0}, date=1.0)
    other = write_results(tmp_path, {10: 0.1}, date=2.0)
    other.write_text(other.read_text().replace('"dataset_kwargs"', '"num_fewshot": 2, "dataset_kwargs"'))
    assert sorted(accuracies(read_results([tmp_path]))["label"]) == ["some/model", "some/model (num_fewshot=2)"]


@pytest.mark.parametrize(
    "other",
    [{"device": "cuda"}, {"model_args": "pretrained=some/model,device=cpu,draft=0"}, {"batch_size": 16}],
)
def test_what_cannot_change_an_answer_makes_no_row_of_its_own(tmp_path, other):
    write_results(tmp_path, {10: 1.0}, date=1.0)
    write_results(tmp_path, {10: 0.5}, date=2.0, **other)
    assert accuracies(read_results([tmp_path]))["value"].tolist() == [0.5]


def test_other_weights_under_one_name_are_rows_of_their_own_and_a_run_that_does_not_say_is_none_of_them(tmp_path):
    for date, weights in enumerate(("a" * 64, "b" * 64, None)):
        write_results(tmp_path, {10: 0.5}, date=date, weights_sha256=weights)
    labels = sorted(read_results([tmp_path])["label"].unique())
    assert labels == ["some/model (weights aaaaaaaa)", "some/model (weights bbbbbbbb)", "some/model (weights unknown)"]


def test_weights_that_a_task_noted_for_another_backend_count(tmp_path):
    for date, weights in enumerate(("a" * 64, "b" * 64)):
        write_results(tmp_path, {10: 0.5}, adapter="hf", date=date, metadata={"weights_sha256": weights})
    labels = sorted(read_results([tmp_path])["label"].unique())
    assert labels == ["some/model (weights aaaaaaaa)", "some/model (weights bbbbbbbb)"]


def test_a_run_that_does_not_say_its_weights_had_the_only_ones_that_are_known(tmp_path):
    write_results(tmp_path, {10: 0.5}, date=1.0)
    write_results(tmp_path, {10: 0.7}, date=2.0, weights_sha256="a" * 64)
    assert accuracies(read_results([tmp_path]))["value"].tolist() == [0.7]


def test_shares_of_wrong_answers_are_weighted_by_wrong_answers(tmp_path):
    for sha, date, score, share in ((SEED_1, 1.0, 0.0, 0.2), (SEED_2, 2.0, 0.8, 0.8)):
        file = write_results(tmp_path, {10: score}, sha=sha, date=date, metadata={"data_seed": int(date)})
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
    write_results(tmp_path, {10: 0.2}, sha=SEED_1, date=1.0, metadata={"data_seed": 1})
    write_results(tmp_path, {10: "over context"}, sha=SEED_2, date=2.0, metadata={"data_seed": 2})
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
