from copy_eval.reports.frames.training import training_curves
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


def test_two_training_steps_make_no_curve(tmp_path):
    assert curves(tmp_path, "step1", "step2", "main").empty
