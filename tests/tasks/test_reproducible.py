"""Texts that do not come back from real tokenizers, with and without normalisation."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from copy_eval.tasks.length_tokenizer import load_length_tokenizer
from copy_eval.tasks.reproducible import describe_unreproducible, find_unreproducible
from tests.tasks.real_data import C4_SAMPLE, NEOX_TOKENIZER, needs_real_data

TEXTS = [
    "the small fox",
    "The Fox",
    "\N{LATIN SMALL LIGATURE FI}re",
    "\N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}",
    " a fox ",
]


def round_trip(file: Path, normalizer: normalizers.Normalizer) -> tuple[Callable[..., list[int]], Callable[..., str]]:
    """Return a byte-level tokenizer that normalises first."""
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.normalizer = normalizer
    return lambda text: tokenizer.encode(text).ids, tokenizer.decode


@pytest.mark.parametrize(
    ("normalizer", "changed"),
    [
        (normalizers.Sequence([]), []),
        (normalizers.NFC(), []),
        (normalizers.Lowercase(), [1]),
        (normalizers.NFKC(), [2]),
        (normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()]), [3]),
        (normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()]), [1, 2]),
        (normalizers.Strip(), []),  # space at the ends does not count
    ],
    ids=str,
)
def test_the_texts_that_a_normaliser_changes_are_found(
    tokenizer_file: Path, normalizer: normalizers.Normalizer, changed: list[int]
) -> None:
    assert find_unreproducible(TEXTS, *round_trip(tokenizer_file, normalizer)) == changed


def test_a_tokenizer_of_words_that_drops_double_spaces_and_unknown_words_is_found() -> None:
    tokenizer = Tokenizer(models.WordLevel({"the": 0, "fox": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    texts = ["the fox", "the  fox", "the dog"]
    assert find_unreproducible(texts, lambda text: tokenizer.encode(text).ids, tokenizer.decode) == [1, 2]


def test_a_space_that_a_tokenizer_puts_before_a_text_does_not_count() -> None:
    tokenizer = Tokenizer(models.BPE({"\N{LOWER ONE EIGHTH BLOCK}": 0, "a": 1}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\N{LOWER ONE EIGHTH BLOCK}", " "), decoders.Fuse()])
    assert tokenizer.decode(tokenizer.encode("a a").ids) == " a a"
    assert find_unreproducible(["a a"], lambda text: tokenizer.encode(text).ids, tokenizer.decode) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(), max_size=4))
def test_a_tokenizer_of_bytes_can_write_every_text(tokenizer_file: Path, texts: list[str]) -> None:
    tokenizer = load_length_tokenizer(str(tokenizer_file))
    assert find_unreproducible(texts, tokenizer.encode, tokenizer.decode) == []


def test_one_line_says_of_which_task_how_many_answers_are_lost() -> None:
    line = describe_unreproducible("c4_copy_25", TEXTS, [1, 2])
    assert line.startswith("c4_copy_25: the model's tokenizer cannot write 2 of 5 answers")
    assert line.endswith("their exact match is 0 whatever the model copies")
    assert "\n" not in line


@needs_real_data
def test_gpt_neox_can_write_the_real_text_and_with_small_letters_hardly_any_of_it() -> None:
    tokenizer = load_length_tokenizer(str(NEOX_TOKENIZER))
    texts = C4_SAMPLE.read_text(encoding="utf-8").splitlines()
    assert find_unreproducible(texts, tokenizer.encode, tokenizer.decode) == []
    assert len(find_unreproducible(texts, *round_trip(NEOX_TOKENIZER, normalizers.Lowercase()))) == len(texts)
