from hypothesis import given
from hypothesis import strategies as st

from copy_eval.training.corpus import END_OF_TEXT, read_corpus


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
