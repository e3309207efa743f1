import json
import re

import pytest

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import COLUMNS, ELSEWHERE, OTHER_ENTRY, RIGHT_NUMBER, read_samples
from tests.reports.result_files import PROMPTS, write_results


def samples_of(file):
    (samples,) = file.parent.glob("samples_*")
    return samples


def edit_first(file, change):
    lines = samples_of(file).read_text().splitlines()
    sample = json.loads(lines[0])
    change(sample)
    samples_of(file).write_text("\n".join([json.dumps(sample), *lines[1:]]))


def test_one_row_a_prompt_with_its_depth_and_kind(tmp_path):
    frame = read_samples(read_results([write_results(tmp_path, {10: 0.96}, log_samples=True)]))
    assert frame.dtypes.astype(str).to_dict() == COLUMNS
    assert frame["index"].tolist() == list(range(PROMPTS))
    assert frame["exact_match"].tolist() == [1.0] * 48 + [0.0] * 2
    assert frame["depth"].iloc[[0, -1]].tolist() == [0.0, 1.0]
    assert frame["kind"].isna().sum() == 48
    assert frame["kind"].iloc[-2:].tolist() == [RIGHT_NUMBER, OTHER_ENTRY]


def test_the_depth_stands_in_the_field_that_the_task_names(tmp_path):
    file = write_results(tmp_path, {10: 0.96}, log_samples=True, about={"depth": "place"})
    assert read_samples(read_results([file]))["depth"].isna().all()
    samples_of(file).write_text(samples_of(file).read_text().replace('"depth"', '"place"'))
    assert read_samples(read_results([file]))["depth"].iloc[[0, -1]].tolist() == [0.0, 1.0]


def test_a_fragment_of_the_book_is_a_kind_of_its_own(tmp_path):
    file = write_results(tmp_path, {10: 0.0}, log_samples=True)
    edit_first(file, lambda sample: sample.update(wrong_is_other_entry=0.0, wrong_not_in_book=0.0))
    assert read_samples(read_results([file]))["kind"].iloc[0] == ELSEWHERE


def test_without_logged_samples_there_are_no_rows(tmp_path):
    write_results(tmp_path, {10: 0.5}, model="bare")
    write_results(tmp_path, {10: 0.5}, model="logged", log_samples=True)
    assert read_samples(read_results([tmp_path]))["model"].unique().tolist() == ["logged"]
    assert read_samples(read_results([tmp_path / "bare"])).dtypes.astype(str).to_dict() == COLUMNS


def test_samples_of_a_length_over_the_context_have_no_score(tmp_path):
    frame = read_samples(read_results([write_results(tmp_path, {10: "over context"}, log_samples=True)]))
    assert len(frame) == PROMPTS
    assert frame["over_context"].all()
    assert frame["exact_match"].isna().all()


def test_samples_of_pooled_runs_follow_the_order_of_their_fingerprints(tmp_path):
    write_results(tmp_path, {10: 0.0}, sha="2" * 64, date=1.0, log_samples=True)
    write_results(tmp_path, {10: 1.0}, sha="1" * 64, date=2.0, log_samples=True)
    frame = read_samples(read_results([tmp_path], pool=True))
    assert frame["exact_match"].tolist() == [1.0] * PROMPTS + [0.0] * PROMPTS
    assert frame["index"].is_unique


def no_samples(file, caplog):
    """Read the samples of a file, of which none is usable, and return the one line that says why."""
    assert read_samples(read_results([file])).empty
    (line,) = caplog.messages
    assert "\n" not in line
    return line


def test_samples_that_are_too_few_are_named_and_left_out(tmp_path, caplog):
    file = write_results(tmp_path, {10: 0.5}, log_samples=True)
    samples = samples_of(file)
    file.write_text(file.read_text().replace('"effective": 50', '"effective": 51'))
    assert no_samples(file, caplog) == f"skipped {samples}: 50 samples, but the results are of 51"


def test_samples_with_another_accuracy_are_named_and_left_out(tmp_path, caplog):
    file = write_results(tmp_path, {10: 0.5}, log_samples=True)
    edit_first(file, lambda sample: sample.update(exact_match=0.0))
    assert no_samples(file, caplog).endswith("exact_match is 0.4800, but 0.5000 in the results")


def test_samples_of_another_run_are_known_by_their_hash(tmp_path, caplog):
    file = write_results(tmp_path, {10: 0.5}, log_samples=True)
    edit_first(file, lambda sample: sample.update(prompt_hash="0" * 64))
    assert f"{samples_of(file)}: not the samples of the results beside it" in no_samples(file, caplog)


@pytest.mark.parametrize("damage", [lambda text: text[:-20], lambda text: "{}\n" + text, lambda text: "[]\n" + text])
def test_a_damaged_file_of_samples_is_named_with_the_line(tmp_path, caplog, damage):
    file = write_results(tmp_path, {10: 0.5}, log_samples=True)
    samples_of(file).write_text(damage(samples_of(file).read_text()))
    assert re.search(r"\.jsonl, line (1|50): not a sample as lm-eval logs it", no_samples(file, caplog))


@pytest.mark.parametrize(
    "change",
    [
        lambda sample: sample["doc"].update(index=-1),
        lambda sample: sample["doc"].update(index=1),
        lambda sample: sample["doc"].update(index="0"),
        lambda sample: sample["doc"].update(depth=1e308),
        lambda sample: sample["doc"].update(book=["a"]),
        lambda sample: sample.update(exact_match=2.0),
        lambda sample: sample.update(exact_match=True),
        lambda sample: sample.update(metrics=7),
        lambda sample: sample.update(doc=None),
    ],
)
def test_a_sample_with_values_of_the_wrong_kind_is_no_sample(tmp_path, caplog, change):
    file = write_results(tmp_path, {10: 1.0}, log_samples=True, about={"cluster": "book"})
    edit_first(file, change)
    assert no_samples(file, caplog).startswith(f"skipped {samples_of(file)}")
