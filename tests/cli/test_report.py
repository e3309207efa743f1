import re

import pandas as pd

from copy_eval.cli import main
from tests.reports.result_files import write_results, write_trained

HOSTILE = '=cmd(),"q"\n<script>alert(1)</script>$x$'


def report(folder, *results):
    return main(["report", *map(str, results), "--out", str(folder)])


def test_report_prints_the_table_and_writes_every_file(tmp_path, capsys):
    for step in (1, 10, 100):
        write_results(tmp_path, {10: 1.0, 20: 0.5}, model_revision=f"step{step}", date=step, log_samples=True)
    assert report(tmp_path / "report", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "some/model@step10   100.0 (93-100)  50.0 (37-63)" in printed
    kinds, suffixes = ("", "depth_", "emergence_"), ("png", "svg", "pdf")
    charts = [f"{kind}phonebook_copy.{suffix}" for kind in kinds for suffix in suffixes]
    written = {file.name for file in (tmp_path / "report").iterdir() if not file.name.startswith(".")}
    assert written == {
        "leaderboard.csv", "accuracy_by_length.csv", "accuracy_by_depth.csv", "wrong_answers.csv", "tables.md",
        "accuracy_by_quarter.csv", "tables.tex", "index.html", *charts,
    }  # fmt: skip
    assert all(f"wrote {tmp_path / 'report' / name}\n" in printed for name in written)
    frame = pd.read_csv(tmp_path / "report" / "accuracy_by_length.csv")
    assert frame[["step", "length", "accuracy"]].to_numpy().tolist() == [
        [step, length, accuracy] for step in (1, 10, 100) for length, accuracy in ((10, 1.0), (20, 0.5))
    ]


def test_the_terminal_shows_the_last_checkpoint_of_a_training_and_says_how_many_it_leaves_out(tmp_path, capsys):
    for place, step in enumerate((1000, 2000, 5000)):
        write_trained(tmp_path, {10: 0.3 * place}, step=step)
    assert report(tmp_path / "report", tmp_path) == 0
    printed = capsys.readouterr().out
    assert printed.count("rope-seed0@step5000") == 2  # in the table of accuracies and in the leaderboard
    assert "step1000" not in printed
    assert "step2000" not in printed
    assert "Left out above: 2 other training steps of these models; tables.md has all rows.\n" in printed
    tables = (tmp_path / "report" / "tables.md").read_text()
    assert all(tables.count(f"rope-seed0@step{step}") == 2 for step in (1000, 2000, 5000))


def test_a_report_in_the_place_of_another_removes_what_only_that_wrote(tmp_path, capsys):
    both = [write_results(tmp_path, {10: 1.0}), write_results(tmp_path, {0: 1.0}, task="squad_by_length", date=2.0)]
    assert report(tmp_path / "report", *both) == 0
    assert report(tmp_path / "report", both[0]) == 0
    gone = tmp_path / "report" / "squad_by_length.png"
    assert f"removed {gone}, of an earlier report\n" in capsys.readouterr().out
    assert not gone.exists()


def test_a_length_over_the_context_shows_in_every_text_file(tmp_path):
    results = write_results(tmp_path, {10: 1.0, 320: "over context"}, log_samples=True)
    assert report(tmp_path / "report", results) == 0
    for name in ("leaderboard.csv", "tables.md", "tables.tex", "index.html"):
        assert "over context" in (tmp_path / "report" / name).read_text(), name
    picture = (tmp_path / "report" / "phonebook_copy.svg").read_text()
    assert re.search(r">over</tspan><tspan[^>]*>context<", picture)
    for name in ("accuracy_by_length.csv", "wrong_answers.csv"):
        frame = pd.read_csv(tmp_path / "report" / name).set_index("length")
        assert frame["over_context"].to_dict() == {10: False, 320: True}, name


def test_a_hostile_name_is_never_a_formula_in_a_spreadsheet(tmp_path):
    assert report(tmp_path / "report", write_results(tmp_path, {10: 0.5}, model=HOSTILE)) == 0
    for name in ("leaderboard.csv", "accuracy_by_length.csv"):
        frame = pd.read_csv(tmp_path / "report" / name)
        assert frame["model"].tolist() == [f"'{HOSTILE}"]
        assert frame["label"].str.startswith("'=cmd()").all()


def test_pool_adds_up_two_seeds(tmp_path, capsys):
    for date, (score, sha) in enumerate([(0.2, "1" * 64), (0.6, "2" * 64)]):
        write_results(tmp_path, {10: score}, sha=sha, date=date, metadata={"data_seed": date})
    assert main(["report", str(tmp_path), "--pool", "--out", str(tmp_path / "report")]) == 0
    assert "40.0 (31-50)" in capsys.readouterr().out


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert report(tmp_path / "report", tmp_path / "nowhere") == 2
    assert capsys.readouterr().err == f"copy-eval: no such file or folder: {tmp_path / 'nowhere'}\n"
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert report(tmp_path / "file", write_results(tmp_path, {10: 1.0})) == 2
    assert capsys.readouterr().err.startswith(f"copy-eval: cannot write to {tmp_path / 'file'}: ")
