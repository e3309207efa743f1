import io

import pandas as pd
import pytest

from copy_eval.reports.report import build_report
from copy_eval.reports.report_files import render_files, write_report
from tests.reports.result_files import write_results, write_trained


def names(files):
    return {file.name for file in files}


def test_what_an_earlier_report_wrote_and_this_one_does_not_is_removed(tmp_path):
    write_report(tmp_path, {"a.png": b"old", "b.png": b"old"})
    written, removed = write_report(tmp_path, {"b.png": b"new", "c.png": b"new"})
    assert (names(written), names(removed)) == ({"b.png", "c.png"}, {"a.png"})
    assert {file.name for file in tmp_path.iterdir() if not file.name.startswith(".")} == {"b.png", "c.png"}
    # It was forgotten, too: a file that somebody puts there later stays.
    (tmp_path / "a.png").write_bytes(b"old")
    assert write_report(tmp_path, {"b.png": b"new"})[1] == [tmp_path / "c.png"]
    assert (tmp_path / "a.png").exists()


def test_what_somebody_changed_or_put_there_stays(tmp_path):
    write_report(tmp_path, {"a.svg": b"old", "b.svg": b"old"})
    (tmp_path / "a.svg").write_bytes(b"edited by hand")
    (tmp_path / "mine.svg").write_bytes(b"mine")
    assert names(write_report(tmp_path, {"c.svg": b"new"})[1]) == {"b.svg"}
    assert (tmp_path / "a.svg").read_bytes() == b"edited by hand"
    assert (tmp_path / "mine.svg").exists()


@pytest.mark.parametrize("damage", ["\x00\x01", "no hash\n", "0" * 64 + "  ../outside.txt\n", "\udc80"])
def test_a_damaged_list_of_files_removes_nothing(tmp_path, damage):
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"")
    folder = tmp_path / "report"
    folder.mkdir()
    (folder / ".copy-eval-report").write_bytes(damage.encode("utf-8", "surrogateescape"))
    assert write_report(folder, {"a": b"1"})[1] == []
    assert outside.exists()


def test_a_list_that_names_a_file_elsewhere_removes_nothing_there(tmp_path):
    write_report(tmp_path, {"a": b"1"})
    folder = tmp_path / "inner"
    folder.mkdir()
    manifest = (tmp_path / ".copy-eval-report").read_text()
    (folder / ".copy-eval-report").write_text(manifest.replace("  a", "  ../a"))
    assert write_report(folder, {"b": b"2"})[1] == []
    assert (tmp_path / "a").exists()


def test_models_stand_in_the_order_of_the_leaderboard_everywhere(tmp_path):
    for model, score in (("a-worst", 0.1), ("b-best", 0.9), ("c-middle", 0.5)):
        write_results(tmp_path, {10: score, 20: score}, model=model, log_samples=True)
    report = build_report([tmp_path])
    order = ["b-best", "c-middle", "a-worst"]
    assert list(report.leaderboard["label"]) == order
    for frame in (report.results, report.accuracy, report.wrong_answers, report.depths):
        assert list(frame["label"].unique()) == order
    tables = render_files(report)["tables.md"].decode()
    for table in tables.split("## ")[1:]:
        places = [table.index(model) for model in order]
        assert places == sorted(places)


def test_seeds_have_rows_of_their_own_and_their_mean_stands_in_another_table(tmp_path):
    for seed, score in enumerate((0.5, 0.7)):
        for step in (1000, 2000, 5000):
            write_trained(tmp_path, {10: score}, seed=seed, step=step, memory={10: 40.0})
    files = render_files(build_report([tmp_path]))
    seeds, means, memory, examples = (
        pd.read_csv(io.BytesIO(files[f"{name}.csv"]))
        for name in ("accuracy_by_length", "accuracy_over_seeds", "memory", "examples_to_90")
    )
    assert sorted(seeds["accuracy"]) == [0.5, 0.5, 0.5, 0.7, 0.7, 0.7]
    assert means[["accuracy", "low", "high", "seeds"]].drop_duplicates().to_numpy().tolist() == [[0.6, 0.5, 0.7, 2]]
    assert len(means) == 3
    assert memory["memory_bits"].tolist() == [320] * 6
    assert examples[["training", "reached", "within"]].to_numpy().tolist() == [["rope (2 seeds)", 0, 5000]]
    assert "not within 5,000" in files["tables.md"].decode()
    assert {"learning_string_copy.png", "memory_string_copy.svg"} < set(files)
