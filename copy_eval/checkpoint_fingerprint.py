"""One hash for the files of a checkpoint that decide its answers, so that weights are known by what they are.

A copy has the hash of its original whatever its dates are, and so has a folder that a trainer writes a log into. The
files are read in full; what was read once is taken from memory, or from notes on the disk, as long as a file keeps its
size, its inode and both its times. A program can set the time of modification, as ``cp -p`` does, but not that of the
change of the inode.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from copy_eval.errors import UserError
from copy_eval.files import write_whole
from copy_eval.packaged import PACKAGED

CHECKPOINT_ARGUMENTS = ("pretrained", "tokenizer", "peft", "delta", "lora_local_path")
"""Arguments of lm-eval's adapters that may name a folder with a part of the model."""

_DECIDING = (
    "config.json", "generation_config.json", "params.json", "quantize_config.json", "*.py",
    "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "tekken.json", "*.tiktoken",
    "*.model", "chat_template*",
    "*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf", "*.index.json", "adapter_*",
)  # fmt: skip
_OF_THE_TRAINING = (
    "trainer_state.json", "training_args.*", "optimizer*", "scheduler*", "scaler*", "rng_state*", "random_states*",
)  # fmt: skip


class _Stamp(NamedTuple):
    """What tells that a file is as it was; times in nanoseconds."""

    size: int
    inode: int
    modified: int
    changed: int


_BLOCK = 2**20  # bytes
_SETTLED_AFTER = 2 * 10**9  # ns; within it a file may change once more without another time

_known: dict[tuple[str, _Stamp], str] = {}


def fingerprint_model(arguments: Mapping[str, Any], notes: Path | None = None) -> str | None:
    """Return the fingerprint of all that an adapter's arguments name on this machine.

    Args:
        arguments: lm-eval's ``--model_args``.
        notes: a file that remembers the hashes for another process; what it cannot hold is read again.

    Returns:
        That of ``fingerprint_checkpoint`` where ``pretrained`` is the only folder or packaged checkpoint, the hash of
        all of them where there are more, None where there is none (all is on the hub).

    Raises:
        UserError: if a file cannot be read.
    """
    folders = {argument: _find_folder(arguments.get(argument)) for argument in CHECKPOINT_ARGUMENTS}
    here = {argument: folder for argument, folder in folders.items() if folder is not None}
    files: dict[str, Path] = {}
    for argument, folder in here.items():
        if argument == "pretrained":
            files |= {file.name: file for file in _deciding_files(folder / (arguments.get("subfolder") or ""))}
        else:
            files |= {f"{argument}/{file.name}": file for file in _deciding_files(folder)}
    return _fingerprint(files, notes) if here else None


def fingerprint_checkpoint(folder: Path) -> str:
    """Return the SHA-256, in hexadecimal, of the names and contents of the files that decide what a model answers.

    They are configs, tokenizer, weights and code; not what a trainer keeps for itself, and nothing in subfolders.

    Raises:
        UserError: if a file cannot be read.
    """
    return _fingerprint({file.name: file for file in _deciding_files(folder)})


def _find_folder(name: object) -> Path | None:
    if not isinstance(name, str) or not name:
        return None
    if Path(name).is_dir():
        return Path(name).absolute()
    packaged = PACKAGED / name
    return packaged if "/" not in name and packaged.is_dir() else None


def _deciding_files(folder: Path) -> Iterator[Path]:
    for file in folder.glob("*"):
        if _matches(file.name, _DECIDING) and not _matches(file.name, _OF_THE_TRAINING) and file.is_file():
            yield file


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _fingerprint(files: Mapping[str, Path], notes: Path | None = None) -> str:
    if notes is not None:
        _recall(notes)
    stamps = {name: _stamp(file) for name, file in files.items()}
    keys = {name: (str(file), stamps[name]) for name, file in files.items()}
    hashes = {name: _known[key] for name, key in keys.items() if key in _known}
    unknown = sorted(files.keys() - hashes.keys())
    size = sum(stamps[name].size for name in unknown)
    with tqdm(total=size, desc="reading weights", unit="B", unit_scale=True, delay=2, leave=False, disable=None) as bar:
        for name in unknown:
            begun = time.time_ns()
            hashes[name] = _hash_content(files[name], bar)
            if begun - stamps[name].changed > _SETTLED_AFTER:
                _known[keys[name]] = hashes[name]
    if notes is not None and unknown:
        _note(notes, [key for key in keys.values() if key in _known])
    return hashlib.sha256(json.dumps(sorted(hashes.items())).encode()).hexdigest()


def _stamp(file: Path) -> _Stamp:
    try:
        status = file.stat()
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    return _Stamp(status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def _hash_content(file: Path, bar: "tqdm[Any]") -> str:
    digest = hashlib.sha256()
    try:
        with file.open("rb", buffering=0) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                bar.update(len(block))
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from error
    return digest.hexdigest()


def _recall(notes: Path) -> None:
    """Take in what an earlier process noted; notes that cannot be read are as good as none."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        for file, stamp, sha256 in json.loads(notes.read_text(encoding="utf-8")):
            _known.setdefault((file, _Stamp(*stamp)), sha256)


def _note(notes: Path, keys: Sequence[tuple[str, _Stamp]]) -> None:
    """Note the hashes of these files for another process; where that cannot be done, it reads them again."""
    with contextlib.suppress(OSError):
        notes.parent.mkdir(exist_ok=True)
        write_whole(notes, json.dumps([[*key, _known[key]] for key in keys]))
