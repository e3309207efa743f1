from copy_eval.reports.results import read_results
from copy_eval.reports.statistics import accuracy_by_length
from copy_eval.reports.tables import accuracy_table, to_markdown
from tests.reports.result_files import write_results


def test_a_row_a_model_and_the_lengths_in_order(tmp_path):
    files = [
        write_results(tmp_path, {10: 1.0, 20: 0.5, 120: 0.02}, model="small"),
        write_results(tmp_path, {20: 1.0, 120: "over context"}, model="large"),
    ]
    table = to_markdown(accuracy_table(accuracy_by_length(read_results(files))))
    assert table.splitlines() == [
        "| model   | 10        | 20        | 120          |",
        "|---------|-----------|-----------|--------------|",
        "| large   |           | 1.00 ±.04 | over context |",
        "| small   | 1.00 ±.04 | 0.50 ±.13 | 0.02 ±.05    |",
    ]
