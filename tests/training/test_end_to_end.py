"""``make synthetic`` with an experiment of a few steps: training, evaluation and report, as a user runs them."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("copy-eval")

TEXT = """\
description: Two tasks, a few steps.
architectures: [rope, lstm]
seeds: [0]
sizes:
  cpu:
    lengths: [4, 6]
    examples: 40
    batch: 10
    context: 32
    learning_rate: 0.002
    evaluation_points: []
    tasks:
      ngram_prefix: [ngram_prefix_10]
      ngram_suffix: [ngram_suffix_10]
"""


@pytest.mark.skipif(not COMMAND.is_file(), reason="copy-eval is not installed beside this Python")
def test_make_synthetic_trains_evaluates_and_reports_and_skips_what_is_done(tmp_path):
    (tmp_path / "mine.yaml").write_text(TEXT)
    make = [
        "make", "--old-file", ".venv/installed", "synthetic", f"BIN={COMMAND.parent}",
        f"EXPERIMENTS={tmp_path / 'mine.yaml'}", f"SYNTHETIC={tmp_path}",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    report = tmp_path / "mine" / "report"
    assert (report / "index.html").is_file()
    curves = pd.read_csv(report / "accuracy_by_length.csv")
    # Models that learned different tasks are not steps of one.
    assert sorted(zip(curves["model"], curves["step"], curves["task"], strict=True)) == [
        (f"{task}-{architecture}-seed0", 40, task)
        for task in ("ngram_prefix", "ngram_suffix") for architecture in ("lstm", "rope")
    ]  # fmt: skip
    again = subprocess.run(make, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr[-3000:]
    assert "trained: 0, done before: 4, failed: 0" in again.stdout
