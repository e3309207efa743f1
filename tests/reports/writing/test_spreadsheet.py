import io

import pandas as pd
import pytest

from copy_eval.reports.writing.spreadsheet import to_csv


@pytest.mark.parametrize("name", ["=cmd()", "+1", "-1", "@sum", "\t=1", "\n=1"])
def test_a_text_that_a_spreadsheet_would_run_stays_text(name):
    frame = pd.read_csv(io.StringIO(to_csv(pd.DataFrame({"model": [name]}))))
    assert frame["model"].tolist() == [f"'{name}"]


def test_a_carriage_return_neither_ends_a_line_nor_begins_a_formula():
    assert to_csv(pd.DataFrame({"model": ["\r=1", "a\rb"]})) == "model\n\\r=1\na\\rb\n"


def test_numbers_and_other_texts_stay_as_they_are():
    frame = pd.DataFrame({"model": ['a, "b"\nc', "a=b"], "change": [-0.25, 1.0], "n": pd.array([-1, None], "Int64")})
    assert to_csv(frame) == 'model,change,n\n"a, ""b""\nc",-0.25,-1\na=b,1.0,\n'


def test_whole_numbers_stay_whole_beside_missing_and_texts():
    frame = pd.DataFrame(
        {"length": pd.Series([50, None, "none"], dtype=object), "n": pd.Series([1, None, 2], dtype="Int64")}
    )
    frame.loc[1, "length"] = float("nan")
    assert to_csv(frame.iloc[:2]) == "length,n\n50,1\n,\n"
    assert to_csv(frame) == "length,n\n50,1\n,\nnone,2\n"
