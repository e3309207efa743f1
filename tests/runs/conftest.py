"""A small suite of the packaged checkpoints, run once for all tests that only look at the results; suites in files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from copy_eval.runs.evaluator import run_suite
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.progress import Progress
from copy_eval.runs.suite import Suite
from copy_eval.runs.task_loading import TASKS

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


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    """Write a suite's file and return its name."""

    def write(text: str) -> str:
        file = tmp_path / "suite.yaml"
        file.write_text(text)
        return str(file)

    return write


def make_checkpoints(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "config.json").write_text("{}")


@pytest.fixture
def own_tasks(tmp_path: Path) -> Path:
    """A user's own folder: a length that we do not have in a file of another name, a group, a tag, and other YAML."""
    folder = tmp_path / "own"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "any.yaml").write_text(
        f"include: {TASKS}/phonebook/_phonebook_yaml\ntask: phonebook_copy_11\ntag: mine\n"
        "dataset_kwargs: {length: 11, variant: dashed}\n"
    )
    (folder / "group.yaml").write_text("group: both\ntask: [phonebook_copy_11, phonebook_copy_10]\n")
    (folder / "suite.yaml").write_text("models: []\n")
    return folder
