import os

import pytest

from copy_eval.errors import UserError
from copy_eval.reports.frames.result_files import find_result_files
from tests.reports.result_files import write_results


def test_a_path_that_is_not_in_utf_8_is_named_in_one_line_that_can_be_printed(tmp_path):
    folder = tmp_path / os.fsdecode(b"r\xe9sultats")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    file = write_results(folder, {10: 1.0})
    for path in (tmp_path, folder, file):
        with pytest.raises(UserError, match=r"not in UTF-8: .*r\\xe9sultats.*\.json; rename") as error:
            find_result_files([path])
        assert str(error.value).isprintable()
