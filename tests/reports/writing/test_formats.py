import io
import re

import pandas as pd
import pytest

from copy_eval.reports.report import build_report
from copy_eval.reports.writing.formats import escape, human_size, to_csv, to_latex, to_markdown
from copy_eval.reports.writing.tables import accuracy_tables
from tests.reports.result_files import write_results


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (pd.NA, ""),
        (999, "999"),
        (1_643_296, "1.64M"),
        (162_322_944, "162M"),
        (2_775_208_960, "2.78B"),
        (1.6e12, "1600B"),
    ],
)
def test_sizes_for_people(parameters, text):
    assert human_size(parameters) == text


def test_names_of_models_stay_readable():
    assert escape("state-spaces/mamba_130m-hf@step3000") == "state-spaces/mamba_130m-hf@step3000"


def test_what_markdown_would_run_or_lay_out_is_text():
    assert escape("<b>&|`[a](b)*~$\\") == r"&lt;b&gt;&amp;\|\`\[a\](b)\*\~\$" + "\\\\"


def test_the_text_is_one_line():
    assert escape("a\nb\r\x1b\u202e") == r"a\\nb\\r\\x1b\\u202e"


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


HOSTILE = "=cmd()|'x',\"q\"\n<b>&_$^{}~#%\\ [a](b) `c`"


@pytest.fixture
def hostile(tmp_path):
    return next(accuracy_tables(build_report([write_results(tmp_path, {10: 0.5}, model=HOSTILE)])))


def test_markdown_keeps_a_hostile_name_in_its_cell(hostile):
    heading, _, _, _, header, _, row = to_markdown(hostile).splitlines()
    assert heading == "## phonebook_copy"
    assert len(re.findall(r"(?<!\\)\|", row)) == len(re.findall(r"(?<!\\)\|", header))
    assert "<b>" not in row
    assert r"\[a\]" in row


def test_latex_escapes_a_hostile_name(hostile):
    text = to_latex(hostile)
    (row,) = (line for line in text.splitlines() if "cmd" in line)
    name = row.split(" & ")[0]
    assert r"\&\_\$\^{}\{\}\textasciitilde{}\#\%" in row
    assert not re.search(r"(?<!\\)[_$#%&]", name.replace("\\&", ""))
    assert r"\label{tab:phonebook-copy}" in text
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
