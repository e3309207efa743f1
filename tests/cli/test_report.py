import pandas as pd

from copy_eval.cli import main
from tests.reports.result_files import write_results


def test_report_prints_the_table_and_writes_csv_and_plots(tmp_path, capsys):
    results = write_results(tmp_path, {10: 1.0, 20: 0.5}, model="small")
    assert main(["report", str(results), "--out", str(tmp_path / "report")]) == 0
    assert "| small   | 1.00 ±.04 | 0.50 ±.13 |" in capsys.readouterr().out
    frame = pd.read_csv(tmp_path / "report" / "accuracy_by_length.csv")
    assert frame[["model", "length", "accuracy"]].to_numpy().tolist() == [["small", 10, 1.0], ["small", 20, 0.5]]
    assert (tmp_path / "report" / "phonebook_copy.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "report" / "phonebook_copy.svg").read_text()


def test_bad_input_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nowhere"), "--out", str(tmp_path / "report")]) == 2
    assert capsys.readouterr().err == f"copy-eval: no such file or folder: {tmp_path / 'nowhere'}\n"
    assert not (tmp_path / "report").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert main(["report", str(write_results(tmp_path, {10: 1.0})), "--out", str(tmp_path / "file")]) == 2
    assert capsys.readouterr().err.startswith(f"copy-eval: cannot write to {tmp_path / 'file'}: ")
