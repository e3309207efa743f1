import os
import subprocess
import sys
from pathlib import Path

import pytest

from copy_eval.cli import main
from tests.reports.logged_runs import write_run


def test_two_models_are_compared(tmp_path, capsys):
    a = write_run(tmp_path, {10: "1" * 20}, model="a")
    b = write_run(tmp_path, {10: "1" * 10 + "0" * 10}, model="b")
    assert main(["compare", str(a), str(b.parent)]) == 0
    assert "B is worse at 10" in capsys.readouterr().out
    assert main(["compare", str(a), str(b), "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("model_a,revision_a,setup_a,model_b,")


def test_models_without_a_length_in_common_say_why_and_exit_with_code_2(tmp_path, capsys):
    a = write_run(tmp_path, {10: "11"}, model="a")
    b = write_run(tmp_path, {10: "11"}, model="b", version=2.0)
    assert main(["compare", str(a), str(b)]) == 2
    written = capsys.readouterr()
    assert "not compared: phonebook_copy 10: B has version 2.0 of the task, this is 1.0" in written.out
    assert written.err == (
        "copy-eval: nothing was compared: there is no length at which both have a score; the notes say why\n"
    )


def test_a_folder_of_two_models_is_one_line_and_exit_code_2(tmp_path, capsys):
    for model in ("a", "b"):
        write_run(tmp_path, {10: "11"}, model=model)
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(
        "copy-eval: these are 2 models, revisions or ways of loading one, and one is needed; "
        "name its folder or its files: a ("
    )
    assert error.count("\n") == 1


def _compare_into(output, a, b) -> tuple[int, str]:
    """Run the command with its standard output there; return the exit code and what it says of errors."""
    code = "import sys; from copy_eval.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "compare", a, b]
    process = subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)
    return process.returncode, process.stderr


def test_a_reader_that_has_seen_enough_is_no_traceback(tmp_path):
    a, b = (write_run(tmp_path, {10: "11"}, model=model) for model in ("a", "b"))
    reading, writing = os.pipe()
    os.close(reading)
    assert _compare_into(writing, a, b) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_line(tmp_path):
    a, b = (write_run(tmp_path, {10: "11"}, model=model) for model in ("a", "b"))
    with Path("/dev/full").open("w") as full:
        assert _compare_into(full, a, b) == (2, "copy-eval: No space left on device\n")
