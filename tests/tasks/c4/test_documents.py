import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from copy_eval.errors import UserError
from copy_eval.tasks.c4.documents import C4, DOCUMENTS, fetch, read_corpus

TEXTS = ["One document.\nOf two lines.", "“Another”, with\ttabs", "A third"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of `datasets`."""
    folder = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder)
    return folder / "copy_eval"


def write_shard(file: Path, texts: list[str]) -> dict[str, Any]:
    """Write a file as C4's shards are, and return the arguments that load it as C4 is loaded."""
    with gzip.open(file, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"text": text, "url": "https://example.org"}) + "\n" for text in texts)
    return {"path": "json", "data_files": {"validation": str(file)}, "split": "validation"}


@pytest.mark.parametrize("opener", [open, gzip.open])
def test_json_lines_give_a_document_a_line(tmp_path: Path, opener: Callable[..., Any]) -> None:
    file = tmp_path / ("c4.json.gz" if opener is gzip.open else "c4.jsonl")
    with opener(file, "wt", encoding="utf-8") as stream:
        stream.write("\n".join(json.dumps({"text": text}) for text in [*TEXTS, " "]) + "\n\n")
    corpus = read_corpus(str(file))
    assert corpus.documents == tuple(TEXTS)
    assert corpus.source == str(file)


def test_plain_text_gives_a_document_a_paragraph_that_ends_in_a_line_break(tmp_path: Path) -> None:
    file = tmp_path / "book.txt"
    file.write_text("\n\nFirst line\nsecond line.\n \t\n\nNext paragraph.  \n", encoding="utf-8")
    assert read_corpus(str(file)).documents == ("First line\nsecond line.\n", "Next paragraph.\n")


def test_the_hash_is_of_the_documents_and_not_of_the_file(tmp_path: Path) -> None:
    for name, texts in {"a.json.gz": TEXTS, "b.json.gz": TEXTS, "c.json.gz": TEXTS[:2]}.items():
        write_shard(tmp_path / name, texts)
    hashes = [read_corpus(str(tmp_path / name)).sha256 for name in ("a.json.gz", "b.json.gz", "c.json.gz")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_large_file_gives_the_documents_that_the_hub_would(tmp_path: Path, cache: Path) -> None:
    source = write_shard(tmp_path / "shard.json.gz", [f"document {number}" for number in range(DOCUMENTS + 5)])
    local = read_corpus(str(tmp_path / "shard.json.gz")).documents
    assert len(local) == DOCUMENTS
    assert read_corpus(str(fetch(source, DOCUMENTS))).documents == local
    assert len(list(cache.iterdir())) == 1


def test_a_stream_is_read_once_and_then_from_the_cache(tmp_path: Path, cache: Path) -> None:
    shard = tmp_path / "shard.json.gz"
    source = write_shard(shard, TEXTS)
    first = fetch(source, 2)
    shard.unlink()
    assert fetch(source, 2) == first
    assert first.parent == cache
    assert [json.loads(line)["text"] for line in first.read_text(encoding="utf-8").splitlines()] == TEXTS[:2]


def test_every_setting_has_a_cache_file_of_its_own(tmp_path: Path, cache: Path) -> None:
    source = write_shard(tmp_path / "shard.json.gz", TEXTS)
    other = write_shard(tmp_path / "other.json.gz", TEXTS)
    assert len({fetch(source, 2), fetch(source, 3), fetch(other, 2)}) == len(list(cache.iterdir())) == 3


def test_a_stream_that_ends_early_leaves_no_cache(tmp_path: Path, cache: Path) -> None:
    source = write_shard(tmp_path / "shard.json.gz", TEXTS)
    with pytest.raises(UserError, match="json gave 3 documents, and 4 are needed"):
        fetch(source, 4)
    assert not cache.exists()


def test_a_stream_that_breaks_leaves_no_cache(tmp_path: Path, cache: Path) -> None:
    shard = tmp_path / "shard.json.gz"
    source = write_shard(shard, [os.urandom(500).hex() for _ in range(200)])
    shard.write_bytes(shard.read_bytes()[:20000])
    with pytest.raises(UserError, match="json cannot be had from the Hugging Face hub"):
        fetch(source, 200)
    assert not cache.exists()


def test_a_write_that_fails_leaves_no_half_a_file(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_shard(tmp_path / "shard.json.gz", TEXTS)

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", fail)  # the last step, after which the name would be there
    with pytest.raises(OSError, match="no space left"):
        fetch(source, 3)
    assert list(cache.iterdir()) == []


def test_c4_is_pinned_to_a_commit_and_a_shard() -> None:
    assert len(C4["revision"]) == 40
    assert C4["data_files"] == {"validation": "en/c4-validation.00000-of-00008.json.gz"}


def test_without_a_network_one_line_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'allenai/c4' on the Hub (OfflineModeIsEnabled)\nmore lines")

    monkeypatch.setattr(datasets, "load_dataset", fail)  # the real one retries for twenty seconds
    with pytest.raises(UserError) as raised:
        read_corpus(None)
    assert str(raised.value) == (
        "allenai/c4 cannot be had from the Hugging Face hub (Couldn't reach 'allenai/c4' on the Hub "
        "(OfflineModeIsEnabled)): give a local file with --metadata c4_path=FILE"
    )
    assert not cache.exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.jsonl", b"", "holds no text"),
        ("blank.jsonl", b'{"text": " "}\n\n', "holds no text"),
        ("empty.txt", b" \n\n", "holds no text"),
        ("key.jsonl", b'{"text": "a"}\n{"body": "b"}', 'line 2 is no JSON object with a text under the key "text"'),
        ("type.jsonl", b'{"text": 5}', 'line 1 is no JSON object with a text under the key "text"'),
        ("list.jsonl", b'["text"]', 'line 1 is no JSON object with a text under the key "text"'),
        ("broken.json", b'{"text": "a', 'line 1 is no JSON object with a text under the key "text"'),
        ("binary.txt", b"\xff\xfe\x00", "cannot be read as text"),
        ("plain.json.gz", b'{"text": "a"}', "cannot be read as text"),
        ("cut.txt.gz", gzip.compress(b"text " * 99, mtime=0)[:-9], "cannot be read as text"),
    ],
)
def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as raised:
        read_corpus(str(tmp_path / name))
    assert str(raised.value).startswith(f"{tmp_path / name}: {message}")
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.txt", tmp_path):
        with pytest.raises(UserError, match=f"c4_path={path}: no such file"):
            read_corpus(str(path))
