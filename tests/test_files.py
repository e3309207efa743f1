"""Files that are whole or not there, also where two processes write the same one."""

import json
import resource
from concurrent.futures import ThreadPoolExecutor

import pytest

from copy_eval.files import write_whole


def test_a_file_has_the_text_and_the_mode_that_any_new_file_has(tmp_path):
    write_whole(tmp_path / "file", "Zürich\n")
    (tmp_path / "other").touch()
    assert (tmp_path / "file").read_bytes() == "Zürich\n".encode()
    assert (tmp_path / "file").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    write_whole(tmp_path / "file", "old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))  # a write beyond it fails as on a full disk
    try:
        with pytest.raises(OSError, match="too large"):
            write_whole(tmp_path / "file", "new" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "old")]


def test_writers_with_the_same_process_number_do_not_mix(tmp_path):
    # As in two containers that share a folder, whose processes often have the same number.
    texts = [json.dumps([number] * 20_000) for number in range(8)]
    with ThreadPoolExecutor(len(texts)) as writers:
        list(writers.map(lambda text: write_whole(tmp_path / "file", text), texts))
    assert (tmp_path / "file").read_text() in texts
    assert len(list(tmp_path.iterdir())) == 1
