import subprocess
import sys

import pytest

from copy_eval.errors import UserError
from copy_eval.reports.writing.files import append_whole, write_files


def test_files_are_written_and_others_stay(tmp_path):
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "a").write_text("old")
    assert write_files(tmp_path, {"a": b"new", "b": b"\x00"}) == [tmp_path / "a", tmp_path / "b"]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "a": b"new",
        "b": b"\x00",
        "theirs": b"kept",
    }


def test_missing_folders_are_made(tmp_path):
    write_files(tmp_path / "x" / "y", {"a": b"1"})
    assert (tmp_path / "x" / "y" / "a").read_bytes() == b"1"


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"cannot write to {tmp_path / 'file'}: "):
        write_files(tmp_path / "file", {"a": b"1"})


def test_a_folder_in_the_place_of_a_file_changes_nothing(tmp_path):
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match="there is a folder named b"):
        write_files(tmp_path, {"a": b"1", "b": b"2"})
    assert [file.name for file in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("folder", ["existing", "new/inner"])
def test_a_disk_that_fills_up_midway_leaves_nothing_behind(tmp_path, folder):
    (tmp_path / "existing").mkdir()
    (tmp_path / "existing" / "a").write_text("old")
    # A limit on the size of files fails a write midway, as a full disk does.
    script = f"""
import resource
from pathlib import Path
from copy_eval.errors import UserError
from copy_eval.reports.writing.files import write_files
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    write_files(Path({str(tmp_path / folder)!r}), {{"a": b"new", "b": bytes(10_000)}})
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == f"cannot write to {tmp_path / folder}: File too large\n"
    assert sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")) == ["existing", "existing/a"]
    assert (tmp_path / "existing" / "a").read_text() == "old"


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
from copy_eval.reports.writing.files import append_whole
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
