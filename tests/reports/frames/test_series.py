import pytest

from copy_eval.reports.frames.results import read_results
from copy_eval.reports.frames.series import few_steps, training_curves, trajectory_names
from copy_eval.reports.report import build_report
from tests.reports.result_files import write_results


def curves(folder, *revisions):
    for date, revision in enumerate(revisions):
        write_results(folder, {10: 0.5, 20: 0.1}, model_revision=revision, date=date)
    return training_curves(build_report([folder]).accuracy)


def test_three_training_steps_make_a_curve_and_other_revisions_are_not_on_it(tmp_path):
    found = curves(tmp_path, "step0", "main", "step64", "step1000")
    assert found["step"].unique().tolist() == [0, 64, 1000]
    assert len(found) == 6


def test_of_a_step_with_several_weights_the_newest_counts(tmp_path):
    for step in (1, 2, 3):
        write_results(tmp_path, {10: 0.5}, model_revision=f"step{step}", date=step, weights_sha256=str(step) * 64)
    write_results(tmp_path, {10: 0.9}, model_revision="step3", date=9, weights_sha256="9" * 64)
    found = training_curves(build_report([tmp_path]).accuracy)
    assert found.sort_values("step")[["step", "accuracy"]].to_numpy().tolist() == [[1, 0.5], [2, 0.5], [3, 0.9]]


def test_trajectories_of_one_model_are_told_apart_by_name(tmp_path):
    for step in range(1, 7):
        dtype = "torch.float32" if step <= 3 else "torch.float16"
        write_results(tmp_path, {10: 0.5}, model="org/m", model_revision=f"step{step}", date=step, model_dtype=dtype)
    names = trajectory_names(training_curves(build_report([tmp_path]).accuracy))
    assert list(names.values()) == ["org/m (float32)", "org/m (float16)"]


def test_two_training_steps_make_no_curve(tmp_path):
    assert curves(tmp_path, "step1", "step2", "main").empty


def test_a_plot_shows_few_of_many_training_steps_with_the_last(tmp_path):
    for step in range(1, 12):
        write_results(tmp_path, {10: 0.5}, model_revision=f"step{step}", date=step)
    accuracy = read_results([tmp_path])
    assert sorted(few_steps(accuracy, 3)["step"].unique()) == [1, 6, 11]
    assert few_steps(accuracy, 1)["step"].unique().tolist() == [11]


# A whole path, as lm-eval notes it, and the name that a pattern in a suite gives.
@pytest.mark.parametrize("run", ["/models/rope-seed0", "rope-seed0"])
def test_folders_of_a_training_run_are_steps_of_one_model(tmp_path, run):
    for step in (1000, 2000, 3000):
        write_results(tmp_path, {10: 0.5}, model=f"{run}/step{step}", date=step)
    accuracy = read_results([tmp_path])
    assert accuracy["model"].unique().tolist() == [run]
    assert sorted(accuracy["step"].unique()) == [1000, 2000, 3000]
    assert sorted(accuracy["label"].unique()) == [f"rope-seed0@step{step}" for step in (1000, 2000, 3000)]
