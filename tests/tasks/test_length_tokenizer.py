import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks import length_tokenizer
from copy_eval.tasks.length_tokenizer import encode_all, load_length_tokenizer


def test_a_file_a_folder_and_a_packaged_checkpoint_name_the_same_tokenizer(
    tokenizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(length_tokenizer, "PACKAGED", tmp_path)
    (tmp_path / "tiny-copyist").mkdir()
    shutil.copy(tokenizer_file, tmp_path / "tiny-copyist")
    names = (str(tokenizer_file), str(tokenizer_file.parent), "tiny-copyist")
    loaded = [load_length_tokenizer(name) for name in names]
    assert len({tokenizer.sha256 for tokenizer in loaded}) == 1
    assert len({tuple(tokenizer.encode("the quick brown fox")) for tokenizer in loaded}) == 1


def test_a_packaged_name_does_not_depend_on_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert length_tokenizer.PACKAGED.parent == Path(length_tokenizer.__file__).parents[1]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_what_is_encoded_decodes_to_the_same_text(tokenizer_file: Path, text: str) -> None:
    tokenizer = load_length_tokenizer(str(tokenizer_file))
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_mark_in_a_text_is_text(tokenizer_file: Path) -> None:
    tokenizer = load_length_tokenizer(str(tokenizer_file))
    tokens = tokenizer.encode("a <|endoftext|> b")
    assert 0 not in tokens
    assert tokenizer.decode(tokens) == "a <|endoftext|> b"


def test_many_texts_are_encoded_as_one_by_one(tokenizer_file: Path) -> None:
    tokenizer = load_length_tokenizer(str(tokenizer_file))
    assert encode_all(("the fox", "", "dog"), tokenizer) == tuple(map(tokenizer.encode, ("the fox", "", "dog")))


def test_a_name_that_nothing_bears_is_refused_in_one_line() -> None:
    for name in ("no-such/tokenizer", "no such name"):
        with pytest.raises(
            UserError, match=f"length_tokenizer={name} cannot be had from the Hugging Face hub"
        ) as raised:
            load_length_tokenizer(name)
        assert "\n" not in str(raised.value)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"this folder has no tokenizer\.json"):
        load_length_tokenizer(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0", "model": {"type": "unheard of"}}'])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"is not a tokenizer\.json"):
        load_length_tokenizer(str(file))
