import pandas as pd
import pytest

from copy_eval.reports.figures.common import few_steps, human_size
from copy_eval.reports.frames.results import read_results
from tests.reports.result_files import write_results


def test_a_plot_shows_few_of_many_training_steps_with_the_last(tmp_path):
    for step in range(1, 12):
        write_results(tmp_path, {10: 0.5}, model_revision=f"step{step}", date=step)
    accuracy = read_results([tmp_path])
    assert sorted(few_steps(accuracy, 3)["step"].unique()) == [1, 6, 11]
    assert few_steps(accuracy, 1)["step"].unique().tolist() == [11]


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (pd.NA, ""),
        (999, "999"),
        (1_643_296, "1.64M"),
        (162_322_944, "162M"),
        (2_775_208_960, "2.78B"),
        (1.6e12, "1600B"),
    ],
)
def test_sizes_for_people(parameters, text):
    assert human_size(parameters) == text
