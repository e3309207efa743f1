"""Books that fill a number of tokens: how large they are, what is asked about them, and what cannot be had."""

import json
import pickle
import re
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.regression.linear_model import OLS
from tokenizers import Tokenizer, models, pre_tokenizers

from copy_eval.errors import UserError
from copy_eval.task_description import KEY
from copy_eval.tasks.copy_task import ClusteredScore
from copy_eval.tasks.length_tokenizer import LengthTokenizer, load_length_tokenizer
from copy_eval.tasks.phonebook.filled_books import ANSWER_TOKENS, draw_filled_book
from tests.tasks.oracle import evaluate, look_up
from tests.tasks.phonebook.test_tasks import load, pinned_fingerprints
from tests.tasks.real_data import NEOX_TOKENIZER, needs_real_data

TINY = load_length_tokenizer("tiny-pythia")

LENGTHS = {f"phonebook_tokens_{1 << power}k": 1024 << power for power in range(9)}

TEN = tuple(place / 9 for place in range(10))


def words(tmp_path: Path) -> LengthTokenizer:
    """Return a tokenizer for which every word is one token, and every other run of characters another."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "words.json"))
    return LengthTokenizer(tmp_path / "words.json")


def entries_of(prompt: str) -> list[str]:
    return prompt.split("\n\n")[0].split("\n")


@given(st.integers(), st.integers(700, 4000), st.integers(0, 10**6))
@settings(max_examples=40)
def test_every_prompt_fits_with_its_answer_and_one_more_entry_at_least(seed: int, length: int, index: int) -> None:
    book = draw_filled_book(seed, length, index, TEN, TINY)
    longest = max(len(TINY.encode(f"{entry}\n")) for entry in entries_of(book.questions[0][0]))
    for prompt, _ in book.questions:
        assert len(entries_of(prompt)) == book.entries
        left = length - len(TINY.encode(prompt))
        # No more room than the answer, and lines as long as the longest, could need.
        assert max(ANSWER_TOKENS, longest) < left <= ANSWER_TOKENS + 1 + 4 * longest


def test_the_book_is_as_large_by_any_tokenizer(tmp_path: Path) -> None:
    # First, last, colon and number: 4 tokens a line, of which the question has 3.
    book = draw_filled_book(1, 1000, 0, TEN, words(tmp_path))
    assert book.entries == (1000 - ANSWER_TOKENS - 1) // 4 - 3


@given(st.integers(), st.integers(0, 10**6))
@settings(max_examples=20)
def test_the_questions_share_all_but_their_last_line_and_go_from_the_first_entry_to_the_last(
    seed: int, index: int
) -> None:
    book = draw_filled_book(seed, 1024, index, TEN, TINY)
    heads, asked = zip(*(prompt.rsplit("\n", 1) for prompt, _ in book.questions), strict=True)
    assert len(set(heads)) == 1
    entries, solved = entries_of(heads[0]), heads[0].split("\n\n")[1].splitlines()
    places = [entries.index(f"{name} {answer}") for name, (_, answer) in zip(asked, book.questions, strict=True)]
    assert (places[0], places[-1]) == (0, book.entries - 1)
    gaps = [after - before for before, after in pairwise(places)]
    assert max(gaps) - min(gaps) <= 1
    assert len(set(solved)) == 2
    assert set(solved) <= set(entries) - {entries[place] for place in places}


def test_other_depths_ask_about_the_same_book() -> None:
    three, ten = (draw_filled_book(7, 2048, 3, depths, TINY) for depths in ((0.0, 0.5, 1.0), TEN))
    assert entries_of(three.questions[1][0]) == entries_of(ten.questions[4][0])
    assert three.questions[1][1] == entries_of(three.questions[0][0])[round(0.5 * (three.entries - 1))][-10:]


def test_names_and_numbers_stand_once_in_24000_entries_and_a_book_is_made_in_seconds(tmp_path: Path) -> None:
    start = time.process_time()
    book = draw_filled_book(1234, 24_000 * 4 + 100, 0, TEN, words(tmp_path))
    names, numbers = zip(*(entry.split(": ") for entry in entries_of(book.questions[0][0])), strict=True)
    assert 24_000 <= len(set(names)) == len(set(numbers)) == book.entries
    # A tenth of it on an idle machine; drawing that degenerates would take minutes.
    assert time.process_time() - start < 10


@pytest.mark.parametrize(
    ("length", "depths", "message"),
    [
        (100, TEN, "100 tokens are too few for a phonebook: 3 entries, a question and its answer"),
        (1024, tuple(place / 99 for place in range(100)), "too few for questions at 100 depths and 2 solved lookups"),
        (1024, (0.5, 0.5001), "1024 tokens hold a phonebook of 52 entries, too few for questions at 2 depths"),
        (10**11, TEN, "but the census lists form 458469237 different names"),
    ],
)
def test_a_length_that_cannot_be_filled_is_one_line(length: int, depths: tuple[float, ...], message: str) -> None:
    with pytest.raises(UserError) as raised:
        draw_filled_book(1234, length, 0, depths, TINY)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_records_follow_one_another_by_book_and_depth() -> None:
    task = load(["phonebook_tokens_1k"], num_books=2, depths="[0, 0.25, 1]", length_tokenizer="tiny-pythia")
    docs = list(task["phonebook_tokens_1k"].test_docs())
    assert [(doc["index"], doc["depth"], doc["book"]) for doc in docs] == [
        (0, 0.0, "1234/1024/0"),
        (1, 0.25, "1234/1024/0"),
        (2, 1.0, "1234/1024/0"),
        (3, 0.0, "1234/1024/1"),
        (4, 0.25, "1234/1024/1"),
        (5, 1.0, "1234/1024/1"),
    ]
    assert all(len(entries_of(doc["prompt"])) == doc["entries"] for doc in docs)


def test_two_books_are_the_first_of_twenty_and_each_length_has_its_own() -> None:
    names = ["phonebook_tokens_1k", "phonebook_tokens_2k"]
    two = load(names, num_books=2, length_tokenizer="tiny-pythia")
    twenty = load(names, length_tokenizer="tiny-pythia")
    for name in names:
        assert len(twenty[name].test_docs()) == 200
        assert list(two[name].test_docs()) == list(twenty[name].test_docs())[:20]
    first = [entries_of(two[name].test_docs()[0]["prompt"])[0] for name in names]
    assert first[0] != first[1]


def test_the_prompts_for_the_packaged_tokenizer_have_this_fingerprint() -> None:
    task = load(["phonebook_tokens_1k"], length_tokenizer="tiny-pythia")["phonebook_tokens_1k"]
    assert task.config.metadata["prompts_sha256"] == (
        "dc4a003059ab55e03c56768c2eeb97103c626d3cd002e974c6f7ec16aae5949d"
    )


@needs_real_data
@pytest.mark.parametrize("name", list(LENGTHS)[:6])
def test_the_prompts_have_the_fingerprint_in_the_readme_and_the_length_of_the_name(name: str) -> None:
    tokenizer = load_length_tokenizer(str(NEOX_TOKENIZER))
    task = load([name], length_tokenizer=str(NEOX_TOKENIZER))[name]
    assert task.config.metadata["prompts_sha256"] == pinned_fingerprints()[name]
    about = task.config.metadata[KEY]
    lengths = [len(tokenizer.encode(prompt)) for prompt in task.test_docs()["prompt"][:30]]
    assert all(LENGTHS[name] - 80 < length < LENGTHS[name] - ANSWER_TOKENS for length in lengths)
    expected = about["prompt_tokens"]["each"] * LENGTHS[name] + about["prompt_tokens"]["besides"]
    assert expected == pytest.approx(sum(lengths) / 30, rel=0.01)


def test_an_answer_may_take_as_many_tokens_as_the_book_leaves_room_for() -> None:
    task = load(["phonebook_tokens_1k"], num_books=1, length_tokenizer="tiny-pythia")["phonebook_tokens_1k"]
    assert task.config.generation_kwargs["max_gen_toks"] == ANSWER_TOKENS


def test_a_perfect_model_scores_one_and_its_samples_hold_depth_and_book() -> None:
    given: dict[str, Any] = {"num_books": 2, "depths": 3, "length_tokenizer": "tiny-pythia"}
    results = evaluate(look_up, ["phonebook_tokens_1k"], given)
    assert results["results"]["phonebook_tokens_1k"]["exact_match,none"] == 1.0
    docs = [sample["doc"] for sample in results["samples"]["phonebook_tokens_1k"]]
    assert [doc["depth"] for doc in docs] == [0.0, 0.5, 1.0] * 2
    assert len({doc["book"] for doc in docs}) == 2


def test_the_standard_error_is_that_of_the_books_and_not_of_the_questions() -> None:
    asked: list[str] = []

    def right_about_every_other_book(prompt: str) -> str:
        asked.append(prompt)
        books = list(dict.fromkeys(entries_of(prompt)[0] for prompt in asked))
        return look_up(prompt) if books.index(entries_of(prompt)[0]) % 2 else " 5555555555"

    given = {"num_books": 6, "depths": 5, "length_tokenizer": "tiny-pythia"}
    results = evaluate(right_about_every_other_book, ["phonebook_tokens_1k"], given, bootstrap_iters=10)["results"]
    scores = np.repeat([0.0, 1.0] * 3, 5)
    fit = OLS(scores, np.ones_like(scores)).fit(cov_type="cluster", cov_kwds={"groups": np.repeat(np.arange(6), 5)})
    assert results["phonebook_tokens_1k"]["exact_match,none"] == 0.5
    assert results["phonebook_tokens_1k"]["exact_match_stderr,none"] == pytest.approx(fit.bse[0])
    assert results["phonebook_tokens_1k"]["wrong_not_in_book_stderr,none"] == "N/A"


def test_the_questions_about_a_single_book_have_no_standard_error() -> None:
    given = {"num_books": 1, "length_tokenizer": "tiny-pythia"}
    results = evaluate(look_up, ["phonebook_tokens_1k"], given, bootstrap_iters=10)["results"]
    assert results["phonebook_tokens_1k"]["exact_match_stderr,none"] == "N/A"


def test_a_clustered_score_survives_the_way_between_processes() -> None:
    score = pickle.loads(pickle.dumps(ClusteredScore(0.5, "a book")))
    assert (score, score.cluster, json.dumps(score)) == (0.5, "a book", "0.5")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"num_books": 0}, "num_books must be a whole number of at least 1, not 0"),
        ({"num_book": 3}, "unknown setting 'num_book' in the metadata: did you mean 'num_books'?"),
        ({"depths": 1}, "depths must be a whole number from 2 to 1000 or a list such as [0, 0.5, 1], not 1"),
        ({"depths": "deep"}, "depths must be a whole number from 2 to 1000 or a list such as [0, 0.5, 1], not 'deep'"),
        (
            {"depths": 10**9},
            "depths must be a whole number from 2 to 1000 or a list such as [0, 0.5, 1], not 1000000000",
        ),
        ({"depths": []}, "depths must be a whole number from 2 to 1000 or a list such as [0, 0.5, 1], not []"),
        ({"depths": [0, True]}, "depths must be a whole number from 2 to 1000 or a list such as [0, 0.5, 1], not"),
        ({"depths": [0.5, 0.1]}, "depths must be in ascending order and each once, not [0.5, 0.1]"),
        ({"depths": [0, 0]}, "depths must be in ascending order and each once, not [0, 0]"),
        ({"depths": [0, 1.5]}, "depths must lie between 0 (the beginning) and 1 (the end), not [0, 1.5]"),
        ({"depths": "[NaN]"}, "depths must lie between 0 (the beginning) and 1 (the end), not [nan]"),
        ({"length_tokenizer": "no/such/tokenizer.json"}, "length_tokenizer=no/such/tokenizer.json"),
    ],
)
def test_a_bad_setting_is_one_line(metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}") as raised:
        load(["phonebook_tokens_1k"], **({"length_tokenizer": "tiny-pythia"} | metadata))
    assert "\n" not in str(raised.value)
