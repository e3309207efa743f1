from hypothesis import given
from hypothesis import strategies as st

from copy_eval.training.tokenizer import END_OF_TEXT


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
