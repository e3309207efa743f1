"""The benchmark of planted faults at a small size: what is caught, and what must not be."""

import csv
import sys
from pathlib import Path

import pytest

from benchmarks import planted_faults as faults
from benchmarks.serving_engine import ALONE, Engine, Settings

TASKS = ("phonebook_reversed_20", "string_copy_50")


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> faults.Bench:
    return faults.Bench(tmp_path_factory.mktemp("bench"), num_samples=3, tasks=TASKS)


@pytest.mark.parametrize(
    "fault",
    [
        faults.PaddingIsAttendedTo,
        faults.StaleCache,
        faults.TruncatesLeft,
        faults.AcceptsWrongDraft,
        faults.SwapsRequests,
        faults.DropsLastToken,
        faults.GoesOn,
    ],
)
def test_a_planted_fault_is_caught(fault: type[Engine], bench: faults.Bench) -> None:
    assert bench.verify(fault()).exit_code == 1


@pytest.mark.parametrize(
    "settings", [Settings(batch_size=3, chunk=17, reverse=True, attention="eager"), ALONE], ids=["batch", "alone"]
)
def test_an_engine_without_a_fault_raises_no_alarm(settings: Settings, bench: faults.Bench) -> None:
    verification = bench.verify(Engine(settings))
    assert [comparison.total for comparison in verification.comparisons] == [3, 3]
    assert verification.exit_code == 0


def test_the_table_has_a_row_for_each_run_and_counts_what_was_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faults, "TASKS", TASKS[1:])
    table = tmp_path / "table.csv"
    arguments = ["--faults", "StopsEarly", "--clean", "1", "--num-samples", "2", "--csv", str(table)]
    monkeypatch.setattr(sys, "argv", ["planted_faults", *arguments])
    faults.main()
    assert "faults caught: 1 of 1; false alarms: 0 of 1 clean runs" in capsys.readouterr().out
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [(row["fault"], row["verdict"]) for row in rows] == [("stops after 6 tokens", "diverged"), ("none", "equal")]


def test_clean_runs_differ_in_every_setting() -> None:
    every = faults.clean_settings(50)
    for name in ("batch_size", "chunk", "drafts", "attention", "threads", "reverse", "data_seed"):
        assert len({getattr(settings, name) for settings in every}) > 1
