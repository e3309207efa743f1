import subprocess
import sys

import pytest

from copy_eval.errors import UserError
from copy_eval.reports.writing.appending import append_whole


def test_appending_keeps_what_is_there(tmp_path):
    append_whole(tmp_path / "a.txt", "one\n")
    append_whole(tmp_path / "a.txt", "two\n")
    assert (tmp_path / "a.txt").read_text() == "one\ntwo\n"


def test_a_folder_that_is_missing_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"cannot write .*a\.txt: No such file or directory"):
        append_whole(tmp_path / "nowhere" / "a.txt", "text")


# A limit on the size of files stops a write midway as a full disk does; a process of its own has it.
def test_a_write_that_stops_midway_leaves_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("before")
    code = f"""
import resource, signal, sys
from pathlib import Path
from copy_eval.errors import UserError
from copy_eval.reports.writing.appending import append_whole
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    append_whole(Path({str(file)!r}), "x" * 50_000)
except UserError as error:
    sys.exit(str(error))
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert process.stderr == f"cannot write {file}: File too large\n"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]
    assert file.read_text() == "before"
