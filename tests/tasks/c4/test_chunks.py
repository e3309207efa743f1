import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copy_eval.errors import UserError
from copy_eval.tasks.c4.chunks import VARIANTS, clean, draw_chunk, fit, render_prompt
from copy_eval.tasks.length_tokenizer import LengthTokenizer, load_length_tokenizer
from tests.tasks.conftest import WORDS

ONE_TOKENIZER = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
ANY_VARIANT = st.sampled_from(VARIANTS)


@pytest.fixture(scope="module")
def tokenizer(tokenizer_file: Path) -> LengthTokenizer:
    return load_length_tokenizer(str(tokenizer_file))


@pytest.mark.parametrize(
    ("text", "prompt", "answer"),
    [
        ("One two three.", "One two three.\n\nOne two three.\n\nOne", "two three."),
        ("sensor-based plumbing", "sensor-based plumbing\n\nsensor-based plumbing\n\nsensor-based", "plumbing"),
        (". A dot first", ". A dot first\n\n. A dot first\n\n.", "A dot first"),
        ("Two  spaces", "Two  spaces\n\nTwo  spaces\n\nTwo", "spaces"),
        ("Tab\tand space", "Tab\tand space\n\nTab\tand space\n\nTab\tand", "space"),
    ],
)
def test_the_prompt_is_the_text_twice_and_its_first_word(text: str, prompt: str, answer: str) -> None:
    assert render_prompt(text) == (prompt, answer)


@pytest.mark.parametrize(
    ("decoded", "text"),
    [
        (" died.\nMarta Kendle, 37", "died. Marta Kendle, 37"),
        ("one\n\ntwo \n", "one  two"),
        ("plain", "plain"),
        ("\n \n", ""),
    ],
)
def test_line_breaks_become_spaces_and_the_ends_are_stripped(decoded: str, text: str) -> None:
    assert clean(decoded) == text


@ONE_TOKENIZER
@given(text=st.text(), length=st.integers(2, 12), shift=st.integers(0, 8))
def test_any_text_gives_a_chunk_of_exactly_the_length_or_none(
    tokenizer: LengthTokenizer, text: str, length: int, shift: int
) -> None:
    tokens = tokenizer.encode(text.replace("\n", " "))[shift:]  # a start within a character, too
    chunk = fit(tokens, length, tokenizer)
    if chunk is not None:
        assert len(tokenizer.encode(chunk)) == length
        assert chunk in text.replace("\n", " ")
        assert chunk == clean(chunk)
        assert "\ufffd" not in chunk
        prompt, answer = render_prompt(chunk)
        assert answer
        assert not prompt.endswith(" ")
        assert prompt.startswith(f"{chunk}\n\n{chunk}\n\n")


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("the quick brown fox", 99),  # too short
        ("thequickbrownfox", 4),  # a single word has no rest
        ("the quick \ufffd fox", 4),  # broken before it came to us
    ],
)
def test_what_does_not_fit_is_rejected(tokenizer: LengthTokenizer, text: str, length: int) -> None:
    assert fit(tokenizer.encode(text), length, tokenizer) is None


def test_a_character_that_a_cut_would_break_is_rejected(tokenizer: LengthTokenizer) -> None:
    tokens = tokenizer.encode("the fox \N{FOX FACE} the fox")
    place = next(i for i in range(1, len(tokens)) if tokenizer.decode(tokens[:i]).endswith("\ufffd"))
    length = len(tokenizer.encode(tokenizer.decode(tokens[:place])))
    chunk = fit(tokens, length, tokenizer)
    assert chunk is None or "\ufffd" not in chunk


def test_the_stripped_space_is_made_up_for_by_another_token(tokenizer: LengthTokenizer) -> None:
    tokens = tokenizer.encode(WORDS)
    starts = [fit(tokens[start:], 8, tokenizer) for start in range(len(tokens) - 12)]
    assert None not in starts
    assert any(len(tokenizer.encode(clean(tokenizer.decode(tokens[s : s + 8])))) != 8 for s in range(len(starts)))


@ONE_TOKENIZER
@given(st.integers(), st.integers(3, 40), st.integers(0, 500), ANY_VARIANT)
def test_a_drawn_chunk_has_its_length_whatever_the_seed(
    tokenizer: LengthTokenizer, seed: int, length: int, index: int, variant: str
) -> None:
    documents = [tokenizer.encode(f"{WORDS}{number} ") for number in range(12)]
    chunk = draw_chunk(seed, documents, length, index, tokenizer, variant)
    assert len(tokenizer.encode(chunk)) == length
    assert "\n" not in chunk
    assert chunk == draw_chunk(seed, documents, length, index, tokenizer, variant)


def test_seed_and_index_choose_the_chunk_and_its_documents(tokenizer: LengthTokenizer) -> None:
    documents = [tokenizer.encode(" ".join(f"{number}{letter}" for letter in "abcdefgh") + " ") for number in range(40)]
    chunks = [draw_chunk(seed, documents, 20, index, tokenizer) for seed in (1, 2) for index in range(20)]
    assert len(set(chunks)) > 35
    assert len({number for chunk in chunks for number in re.findall(r"\d+", chunk)}) > 30


def test_a_shuffled_chunk_has_the_words_of_its_text_in_another_order(tokenizer: LengthTokenizer) -> None:
    documents = [tokenizer.encode(" ".join(f"{n:03}" for n in range(200)))]
    plain, shuffled = (draw_chunk(7, documents, 60, 0, tokenizer, variant) for variant in VARIANTS)
    pieces = Counter(re.findall(r"\d", plain)), Counter(re.findall(r"\d", shuffled))
    assert plain != shuffled
    assert sum((pieces[0] & pieces[1]).values()) > 0.6 * sum(pieces[0].values())
    assert plain in " ".join(f"{n:03}" for n in range(200))
    assert shuffled not in " ".join(f"{n:03}" for n in range(200))


def test_documents_too_short_together_are_joined_with_more(tokenizer: LengthTokenizer) -> None:
    documents = [tokenizer.encode("the quick fox ") for _ in range(100)]
    assert len(tokenizer.encode(draw_chunk(1, documents, 150, 0, tokenizer))) == 150


@pytest.mark.parametrize("text", ["thequickbrownfox" * 20, "\ufffd " * 60, "the fox"])
def test_a_text_without_a_chunk_ends_in_an_error_that_says_what_was_needed(
    tokenizer: LengthTokenizer, text: str
) -> None:
    tokens = tokenizer.encode(text)
    needed = f"no chunk of exactly 25 tokens was found in 100 draws from 1 documents with {len(tokens)} tokens: "
    with pytest.raises(UserError, match=needed):
        draw_chunk(1, [tokens], 25, 0, tokenizer)


def test_an_unknown_variant_is_refused(tokenizer: LengthTokenizer) -> None:
    with pytest.raises(UserError, match="unknown variant 'backwards' of the copying task: choose one of plain"):
        draw_chunk(1, [[1]], 25, 0, tokenizer, "backwards")
