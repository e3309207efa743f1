import torch
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.tasks.string_copy.generator import draw_example
from copy_eval.tasks.synthetic import Example
from copy_eval.training.alphabet_tokenizer import END_OF_TEXT_ID, build_tokenizer
from copy_eval.training.examples import TASKS, draw_examples, pack, schedule


def test_examples_depend_on_seed_and_number_alone():
    for task in TASKS:
        first = draw_examples(task, (5, 9), seed=3, start=0, count=8)
        assert draw_examples(task, (5, 9), seed=3, start=5, count=3) == first[5:]
        assert draw_examples(task, (5, 9), seed=4, start=0, count=8) != first
        assert len(set(first)) == 8


def test_lengths_are_spread_over_the_whole_range_and_no_evaluated_example_is_among_them():
    drawn = draw_examples("string_copy", (20, 24), seed=1234, start=0, count=200)
    assert {len(example.answer) - 1 for example in drawn} == {20, 21, 22, 23, 24}
    evaluated = {draw_example(1234, length, index) for length in range(20, 25) for index in range(200)}
    assert not evaluated & set(drawn)


texts = st.text("abcdef", min_size=1, max_size=12)


@given(st.lists(st.builds(Example, texts, texts), min_size=1, max_size=12), st.integers(1, 40))
def test_packing_keeps_every_example_whole_and_in_order(examples, context):
    batch = pack(examples, context)
    decode = build_tokenizer().decode
    found = {}
    for tokens, answers in zip(batch.tokens, batch.answers, strict=True):
        real = tokens[tokens != END_OF_TEXT_ID]
        whole = [example.prompt + example.answer for example in examples]
        assert len(real) <= context or decode(real) in whole
        assert answers[tokens == END_OF_TEXT_ID].eq(-1).all()
        for number in answers[answers >= 0].unique().tolist():
            assert number not in found
            found[number] = decode(tokens[answers == number])
    assert found == {number: example.answer for number, example in enumerate(examples)}
    together = "".join(decode(row[row != END_OF_TEXT_ID]) for row in batch.tokens)
    assert together == "".join(example.prompt + example.answer for example in examples)


def test_every_character_is_a_token_and_the_tokenizer_reads_back_what_it_wrote(tmp_path):
    from transformers import AutoTokenizer

    build_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokens = tokenizer("$hello|hello.").input_ids
    assert len(tokens) == 13
    assert tokenizer.decode(torch.tensor(tokens)) == "$hello|hello."


def test_the_rate_rises_for_a_twentieth_of_the_run_and_falls_to_zero():
    shares = [schedule(step / 100) for step in range(101)]
    assert 0 < shares[0] < 0.05
    assert max(shares) == shares[5] == 1.0
    assert shares[:6] == sorted(shares[:6])
    assert shares[5:] == sorted(shares[5:], reverse=True)
    assert shares[-1] == 0.0
