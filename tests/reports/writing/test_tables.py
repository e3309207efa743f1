import re

import pytest

from copy_eval.reports.report import build_report
from copy_eval.reports.writing.tables import accuracy_tables, to_latex, to_markdown, to_terminal, wrong_answer_tables
from tests.reports.result_files import write_results


def test_a_row_a_model_and_the_lengths_in_order(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.5, 120: 0.02}, model="small")
    write_results(tmp_path, {20: 1.0, 120: "over context"}, model="large")
    (table,) = accuracy_tables(build_report([tmp_path]))
    assert to_terminal(table).splitlines()[2:] == [
        "model    10              20              120           area           90% up to    50% up to",
        "-------  --------------  --------------  ------------  -------------  -----------  -----------",
        "large                    100.0 (93-100)  over context  n/a            20           20",
        "small    100.0 (93-100)  50.0 (37-63)    2.0 (0-10)    0.40 (10-120)  10           20",
    ]


def test_a_length_that_every_shorter_one_leads_up_to_is_marked_as_the_longest_tested(tmp_path):
    file = write_results(tmp_path, {0: 1.0, 100: 0.6}, task="squad_by_length")
    text = file.read_text().replace("squad_by_length_0", "squad_by_length_0_100")
    file.write_text(text.replace('squad_by_length_100"', 'squad_by_length_100_150"'))
    (table,) = accuracy_tables(build_report([file]))
    assert table.cells.columns.tolist() == ["model", "0-100", "100-150", "area", "90% up to", "50% up to"]
    assert table.cells[["90% up to", "50% up to"]].to_numpy().tolist() == [["0-100", "100-150+"]]


def test_the_wrong_answers_of_each_length(tmp_path):
    write_results(tmp_path, {10: 1.0, 20: 0.9, 320: "over context"}, log_samples=True)
    (table,) = wrong_answer_tables(build_report([tmp_path]))
    assert table.cells.drop(columns="model").to_numpy().tolist() == [
        ["10", "0 of 50", "", "", "", ""],
        ["20", "5 of 50", "60%", "0%", "20%", "20%"],
        ["320", "over context", "", "", "", ""],
    ]


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
