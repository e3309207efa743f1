import json

import pytest

from copy_eval.errors import UserError
from copy_eval.training_record import RECORD, TrainingRecord, read_record, write_record

TRAINED = TrainingRecord(
    experiment="mine", size="cpu", task="string_copy", architecture="rope", seed=1, lengths=(5, 20), examples=1000
)


@pytest.fixture
def checkpoint(tmp_path):
    write_record(tmp_path / "rope-seed1", TRAINED)
    folder = tmp_path / "rope-seed1" / "step1000"
    folder.mkdir()
    return folder


def test_what_is_written_beside_the_checkpoints_is_read_for_each_of_them(checkpoint, monkeypatch):
    assert read_record(str(checkpoint)) == TRAINED
    monkeypatch.chdir(checkpoint.parent)
    assert read_record("step1000") == TRAINED


def test_what_a_newer_version_says_besides_is_passed_over(checkpoint):
    file = checkpoint.parent / RECORD
    file.write_text(json.dumps(json.loads(file.read_text()) | {"gpus": 8}))
    assert read_record(str(checkpoint)) == TRAINED


def test_other_checkpoints_have_none(checkpoint, tmp_path):
    assert read_record(str(tmp_path)) is None
    assert read_record("EleutherAI/pythia-70m") is None
    assert read_record(str(checkpoint.with_name("step2000"))) is None


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"seed": -1}, "seed should be greater than or equal to 0, not -1"),
        ({"lengths": [20, 5]}, "lengths must name the shortest first"),
        ({"task": None}, "task should be a valid string, not None"),
    ],
)
def test_a_damaged_one_is_told_in_one_line(checkpoint, change, problem):
    file = checkpoint.parent / RECORD
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(UserError) as caught:
        read_record(str(checkpoint))
    assert f"cannot use {file}: " in str(caught.value)
    assert problem in str(caught.value)
    assert "\n" not in str(caught.value)
