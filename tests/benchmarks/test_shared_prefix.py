"""The benchmark of shared prefixes at a small size: what it counts, not how long it takes."""

import csv
import sys

import pytest

from benchmarks import shared_prefix


@pytest.mark.parametrize("model", shared_prefix.MODELS)
def test_ten_questions_take_in_their_book_once(model, tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    arguments = ["--models", model, "--tokens", "600", "--batch-sizes", "10", "--repeats", "1", "--csv", str(table)]
    arguments += ["--contenders", "one", "ten"]
    monkeypatch.setattr(sys, "argv", ["shared_prefix", *arguments, "--device", "cpu"])
    fed = []
    for run in ("attention.AttentionRun", "hybrid.HybridRun", "mamba_run.MambaRun"):
        module, name = run.split(".")
        kind = getattr(__import__(f"copy_eval.model_adapters.{module}", fromlist=[name]), name)

        def counted(self, tokens, drafts, feed=kind.feed):
            fed.append([len(row) for row in tokens])
            return feed(self, tokens, drafts)

        monkeypatch.setattr(kind, "feed", counted)

    shared_prefix.main()

    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["contender"] for row in rows] == ["one", "ten"]
    assert all(float(row["cpu_seconds"]) > 0 for row in rows)
    long = [sizes for sizes in fed if max(sizes) >= 500]
    assert [len(sizes) for sizes in long] == [1, 1], "one question, and then the book of ten"
    assert any(len(sizes) == 10 and max(sizes) < 50 for sizes in fed), "ten short rests"
