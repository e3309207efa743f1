import pytest

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.samples import read_samples
from copy_eval.reports.statistics.depths import accuracy_by_depth
from tests.reports.result_files import write_results


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
