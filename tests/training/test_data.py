import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.training.data import END_OF_TEXT, read_corpus


def test_the_corpus_is_english_without_repeats_and_the_same_each_time():
    corpus = read_corpus()
    assert sum(map(len, corpus)) > 1_000_000
    assert len(set(corpus)) == len(corpus)
    assert all(len(text) >= 200 and "\n" not in text for text in corpus)
    assert read_corpus() == corpus


def test_a_number_is_a_token_a_digit(tokenizer):
    pieces = [tokenizer.decode(token) for token in tokenizer("Olga Core: 8323456789").input_ids]
    assert [piece.strip() for piece in pieces[-10:]] == list("8323456789")


def test_a_blank_line_reads_the_same_whatever_surrounds_it(tokenizer):
    newline = tokenizer("\n").input_ids
    assert len(newline) == 1
    assert tokenizer("day.\n\nIt").input_ids == [*tokenizer("day.").input_ids, *newline * 2, *tokenizer("It").input_ids]


def test_any_text_survives(tokenizer):
    @given(st.text().filter(lambda text: END_OF_TEXT not in text))
    def survives(text):
        assert tokenizer.decode(tokenizer(text).input_ids) == text

    survives()


def spans_to_learn(batch, tokenizer):
    """The texts whose tokens all have weight 1, a list a row."""
    rows = []
    for tokens, weights in zip(batch.tokens.tolist(), batch.weights.tolist(), strict=True):
        marked = "".join("x" if weight == 1 else "." for weight in weights)
        rows.append([tokenizer.decode(tokens[span.start() : span.end()]) for span in re.finditer("x+", marked)])
    return rows


@pytest.mark.parametrize("kind", ["phonebook", "copy"])
def test_the_same_seed_draws_the_same_batches(new_sampler, kind):
    first, again, other = (new_sampler(seed).draw(kind, 600, 0.5) for seed in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.weights, again.weights)
    assert first.tokens.shape != other.tokens.shape or not torch.equal(first.tokens, other.tokens)


def test_a_sampler_goes_on_from_its_state(new_sampler):
    sampler, restored = new_sampler(), new_sampler()
    sampler.draw("copy", 600, 0.5)
    restored.set_state(sampler.get_state())
    assert torch.equal(sampler.draw("phonebook", 600, 0.5).tokens, restored.draw("phonebook", 600, 0.5).tokens)


def test_what_is_learned_of_a_phonebook_stands_in_the_book(new_sampler, tokenizer):
    batch = new_sampler().draw("phonebook", 2000, 0.7)
    for tokens, numbers in zip(batch.tokens, spans_to_learn(batch, tokenizer), strict=True):
        book = tokenizer.decode(tokens).split("\n\n")
        assert numbers
        # A reversed prompt has its question before the book.
        assert all(f":{number}\n" in book[0] + "\n" or f":{number}\n" in book[1] + "\n" for number in numbers)


def test_the_probe_asks_for_one_number_after_two_solved_lookups(new_sampler, tokenizer):
    batch = new_sampler().draw_exact("phonebook", 5, examples=4)
    for tokens, numbers in zip(batch.tokens, spans_to_learn(batch, tokenizer), strict=True):
        book, lookups = tokenizer.decode(tokens).replace(tokenizer.eos_token, "").strip("\n").split("\n\n")
        assert len(book.splitlines()) == 5
        assert len(lookups.splitlines()) == 3
        assert set(lookups.splitlines()) <= set(book.splitlines())
        assert numbers == [lookups.splitlines()[-1].partition(":")[2]]


def test_a_text_is_repeated_and_its_copies_are_learned(new_sampler, tokenizer):
    batch = new_sampler().draw_exact("copy", 12, examples=4)
    for tokens, (first, second) in zip(batch.tokens, spans_to_learn(batch, tokenizer), strict=True):
        text, *copies = tokenizer.decode(tokens).strip("\n").split("\n\n")
        assert copies == [text, text]
        assert first == second
        assert text.endswith(first)


def test_examples_grow_with_the_run_and_short_ones_stay(new_sampler):
    sampler = new_sampler()
    early, late = ([sampler.draw("copy", 600, progress).tokens.shape[1] for _ in range(60)] for progress in (0.0, 1.0))
    assert max(early) < 60 < max(late)
    assert min(late) < 60


def test_content_free_texts_use_few_tokens_at_first(new_sampler):
    sampler = new_sampler()
    assert len(sampler._alphabet(0.0)) == 32
    assert len(sampler._alphabet(0.15)) < len(sampler._alphabet(0.3)) == len(sampler._content_free)
