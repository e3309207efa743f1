"""A small suite of the packaged checkpoints, run once for all tests that only look at the results."""

from pathlib import Path

import pytest

from copy_eval.runs.progress import Progress
from copy_eval.runs.runner import run_suite
from copy_eval.runs.suite import ModelEntry, Suite

PYTHIA = ModelEntry("tiny-pythia", "pythia", "tiny-pythia", batch_size=4)
MAMBA = ModelEntry("tiny-mamba", "mamba_ssm", "tiny-mamba", batch_size=4)
SUITE = Suite("small", (PYTHIA, MAMBA), ("phonebook_copy_10", "phonebook_reversed_10"), {"num_samples": 2})


@pytest.fixture(scope="session")
def suite() -> Suite:
    return SUITE


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the suite's results, whole."""
    out = tmp_path_factory.mktemp("runs") / "results"
    assert run_suite(SUITE, out, Progress()) == []
    return out
