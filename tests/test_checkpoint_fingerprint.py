"""The fingerprint of a checkpoint: the same for the same weights, wherever and whenever they were written."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from copy_eval import checkpoint_fingerprint
from copy_eval.checkpoint_fingerprint import fingerprint_checkpoint, fingerprint_model
from copy_eval.errors import UserError
from copy_eval.packaged import PACKAGED


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture
def remembering(monkeypatch) -> None:
    """Hashes are remembered at once; else only those of files that have not changed for two seconds."""
    monkeypatch.setattr(checkpoint_fingerprint, "_SETTLED_AFTER", 0)
    monkeypatch.setattr(checkpoint_fingerprint, "_known", {})


def write_over(file: Path, content: bytes) -> None:
    """Do what `cp -p` does with another file of the same size and date: the time of modification stays."""
    dates = file.stat()
    time.sleep(0.05)  # file systems count the time of change in steps of some milliseconds
    file.write_bytes(content)
    os.utime(file, ns=(dates.st_atime_ns, dates.st_mtime_ns))


def test_a_copy_has_the_fingerprint_of_its_original_whatever_its_dates(checkpoint, tmp_path):
    copied = shutil.copytree(checkpoint, tmp_path / "copy")
    os.utime(copied / "model.safetensors", (1, 1))
    assert fingerprint_checkpoint(copied) == fingerprint_checkpoint(checkpoint)


@pytest.mark.usefixtures("remembering")
def test_other_weights_with_the_old_date_are_other_weights(checkpoint):
    before = fingerprint_checkpoint(checkpoint)
    write_over(checkpoint / "model.safetensors", b"WEIGHTS")
    assert fingerprint_checkpoint(checkpoint) != before


def test_a_file_that_may_still_change_unseen_is_not_remembered(checkpoint, monkeypatch):
    monkeypatch.setattr(checkpoint_fingerprint, "_SETTLED_AFTER", 3600 * 10**9)  # however slow this machine is now
    fingerprint_checkpoint(checkpoint)
    assert not any(file.startswith(str(checkpoint)) for file, _ in checkpoint_fingerprint._known)


@pytest.mark.parametrize(
    "name",
    [
        "generation_config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "merges.txt", "spiece.model",
        "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "model.safetensors.index.json",
        "model-00002-of-00002.safetensors", "pytorch_model.bin", "adapter_config.json", "adapter_model.bin",
        "modeling_mine.py", "model.Q4_K_M.gguf",
    ],
)  # fmt: skip
def test_what_decides_the_answers_counts(checkpoint, name):
    before = fingerprint_checkpoint(checkpoint)
    (checkpoint / name).write_text("new")
    assert fingerprint_checkpoint(checkpoint) != before


@pytest.mark.parametrize(
    "name",
    [
        "trainer_state.json", "training_args.bin", "optimizer.pt", "optimizer.bin", "scheduler.pt", "rng_state_0.pth",
        "scaler.pt", "random_states_0.pkl", "train.log", "events.out.tfevents.1", "README.md", "loss.png",
        "all_results.json", "runs/model.safetensors", "checkpoint-500/model.safetensors",
    ],
)  # fmt: skip
def test_what_a_trainer_keeps_for_itself_does_not_count(checkpoint, name):
    before = fingerprint_checkpoint(checkpoint)
    (checkpoint / name).parent.mkdir(exist_ok=True)
    (checkpoint / name).write_text("new")
    assert fingerprint_checkpoint(checkpoint) == before


def test_a_name_counts(checkpoint):
    before = fingerprint_checkpoint(checkpoint)
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    assert fingerprint_checkpoint(checkpoint) != before


def test_a_subfolder_counts_where_it_is_asked_for(checkpoint):
    shutil.copytree(checkpoint, checkpoint / "step2")
    (checkpoint / "step2" / "model.safetensors").write_bytes(b"others")
    whole, part = ({"pretrained": str(checkpoint), "subfolder": name} for name in ("", "step2"))
    assert fingerprint_model(whole) == fingerprint_checkpoint(checkpoint)
    assert fingerprint_model(part) == fingerprint_checkpoint(checkpoint / "step2") != fingerprint_model(whole)


def test_a_packaged_checkpoint_has_one_and_a_model_of_the_hub_or_in_memory_has_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert fingerprint_model({"pretrained": "tiny-mamba"}) == fingerprint_checkpoint(PACKAGED / "tiny-mamba")
    assert fingerprint_model({"pretrained": "EleutherAI/pythia-410m"}) is None
    assert fingerprint_model({"pretrained": object()}) is None


def test_the_folder_of_an_adapter_or_a_tokenizer_counts_too(checkpoint, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_model.safetensors").write_bytes(b"low rank")
    given = {"pretrained": "EleutherAI/pythia-410m", "peft": str(adapter)}
    before = fingerprint_model(given)
    assert before is not None
    assert len({before, *(fingerprint_model({"pretrained": str(checkpoint), key: str(adapter)}) for key in given)}) == 3
    (adapter / "adapter_model.safetensors").write_bytes(b"LOW RANK")
    assert fingerprint_model(given) != before


@pytest.mark.usefixtures("remembering")
def test_what_was_read_once_is_noted_for_the_next_process(checkpoint, monkeypatch, tmp_path):
    notes, given = tmp_path / "notes" / "mine", {"pretrained": str(checkpoint)}
    before = fingerprint_model(given, notes)

    def as_next_process() -> str | None:
        monkeypatch.setattr(checkpoint_fingerprint, "_known", {})
        return fingerprint_model(given, notes)

    assert as_next_process() == before
    # A note that is wrong is believed, so nothing was read; as soon as the file has changed it is not.
    noted = json.loads(notes.read_text())
    notes.write_text(json.dumps([[file, stamp, "0" * 64] for file, stamp, _ in noted]))
    assert as_next_process() != before
    for name, content in (("config.json", b"{}"), ("model.safetensors", b"weights")):
        write_over(checkpoint / name, content)
    assert as_next_process() == before


@pytest.mark.usefixtures("remembering")
@pytest.mark.parametrize("content", ["", "{", "7", "[7]", '[["a", [1], "b"]]'])
def test_notes_that_are_damaged_are_as_good_as_none(checkpoint, tmp_path, content):
    (tmp_path / "notes").write_text(content)
    assert fingerprint_model({"pretrained": str(checkpoint)}, tmp_path / "notes") == fingerprint_checkpoint(checkpoint)


@pytest.mark.usefixtures("remembering")
def test_notes_that_cannot_be_written_are_left_out(checkpoint, tmp_path):
    (tmp_path / "file").touch()
    notes = tmp_path / "file" / "notes"
    assert fingerprint_model({"pretrained": str(checkpoint)}, notes) == fingerprint_checkpoint(checkpoint)


def test_a_file_that_cannot_be_read_is_named(checkpoint):
    (checkpoint / "pytorch_model.bin").symlink_to("/proc/self/mem")
    with pytest.raises(UserError, match=rf"cannot read {checkpoint}/pytorch_model.bin: "):
        fingerprint_checkpoint(checkpoint)
