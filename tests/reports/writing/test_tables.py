from copy_eval.reports.report import build_report
from copy_eval.reports.writing.formats import to_terminal
from copy_eval.reports.writing.tables import accuracy_tables, depth_tables, wrong_answer_tables
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
    file = write_results(tmp_path, {0: 1.0, 100: 0.6}, task="squad_by_length", below={0: 100, 100: 150})
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


def test_accuracy_by_quarter_of_the_depth(tmp_path):
    write_results(tmp_path, {10: 0.6, 320: "over context"}, model="small", log_samples=True)
    write_results(tmp_path, {10: 1.0}, model="large", log_samples=True, model_num_parameters=10**9)
    (table,) = depth_tables(build_report([tmp_path]))
    assert table.name == "phonebook_copy_by_depth"
    assert "by entries in the phonebook and the place of the answer in the prompt" in table.caption
    assert table.cells.columns.tolist() == ["model", "length", "0-25%", "25-50%", "50-75%", "75-100%"]
    # Of 50 prompts from the first entry to the last, the first 30 are right.
    assert table.cells.to_numpy().tolist() == [
        ["large", "10", *["100.0 (77-100)", "100.0 (76-100)", "100.0 (76-100)", "100.0 (77-100)"]],
        ["small", "10", "100.0 (77-100)", "100.0 (76-100)", "41.7 (19-68)", "0.0 (0-23)"],
        ["small", "320", *["over context"] * 4],
    ]


def test_without_depths_there_is_no_table_of_them(tmp_path):
    write_results(tmp_path, {10: 0.6})
    assert list(depth_tables(build_report([tmp_path]))) == []
