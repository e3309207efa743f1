import pytest

from copy_eval.errors import UserError
from copy_eval.reports.results import COLUMNS, read_results
from tests.reports.result_files import write_results


def test_a_row_for_each_length_and_metric_of_our_tasks_alone(tmp_path):
    frame = read_results([write_results(tmp_path, {10: 1.0, 20: 0.5})])
    assert frame.dtypes.astype(str).to_dict() == COLUMNS
    assert frame[["task", "length", "metric", "value"]].to_numpy().tolist() == [
        ["phonebook_copy", 10, "digit_accuracy", 1.0],
        ["phonebook_copy", 10, "exact_match", 1.0],
        ["phonebook_copy", 20, "digit_accuracy", 0.5],
        ["phonebook_copy", 20, "exact_match", 0.5],
    ]
    assert set(frame["n"]) == {50}


def test_a_folder_is_searched_and_the_newest_result_counts(tmp_path):
    write_results(tmp_path, {10: 0.1}, date=1.0)
    write_results(tmp_path, {10: 0.9}, date=2.0)
    frame = read_results([tmp_path])
    assert frame.loc[frame["metric"] == "exact_match", "value"].tolist() == [0.9]


def test_over_context_is_no_accuracy(tmp_path):
    frame = read_results([write_results(tmp_path, {10: 1.0, 1280: "over context"})])
    rows = frame[frame["length"] == 1280]
    assert rows["over_context"].all()
    assert rows["value"].isna().all()
    assert not frame.loc[frame["length"] == 10, "over_context"].any()


@pytest.mark.parametrize(("bucket", "length"), [("0_100", 0), ("100_150", 100), ("400_plus", 400)])
def test_a_bucket_is_placed_at_its_lower_bound(tmp_path, bucket, length):
    file = write_results(tmp_path, {length: 0.5}, task="squad_by_length")
    file.write_text(file.read_text().replace(f"squad_by_length_{length}", f"squad_by_length_{bucket}"))
    frame = read_results([file])
    assert set(frame["task"]) == {"squad_by_length"}
    assert set(frame["length"]) == {length}


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no such file or folder: .*nowhere"):
        read_results([tmp_path / "nowhere"])


def test_a_folder_without_our_results_says_what_to_name(tmp_path):
    with pytest.raises(UserError, match="--output_path"):
        read_results([tmp_path])


def test_a_truncated_file_is_named(tmp_path):
    file = write_results(tmp_path, {10: 1.0})
    file.write_text(file.read_text()[:100])
    with pytest.raises(UserError, match=f"{file.name} is not a whole JSON file"):
        read_results([file])
