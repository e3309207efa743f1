"""The curriculum of the packaged checkpoints."""

import hashlib
import json
import re

import pytest
import torch

SEEN = [
    1707,
    3438,
    5013,
    6588,
    8263,
    10327,
    13465,
    17693,
    21054,
    24310,
    27366,
    32283,
    39087,
    43250,
    47003,
    50180,
    56015,
    64179,
    70836,
]
RATES = [
    2e-05,
    4e-05,
    6e-05,
    8e-05,
    0.0001,
    0.00012,
    0.00014000000000000001,
    0.00016,
    0.00017999999999999998,
    0.0002,
    0.00022,
    0.00024,
    0.00026000000000000003,
    0.00028000000000000003,
    0.0002687074829931972,
    0.00023215600907029475,
    0.0001976780045351474,
    0.00011404081632653054,
    0.0004157857142857142,
]


def spans_to_learn(batch, tokenizer):
    """The texts whose tokens all have weight 1, a list a row."""
    rows = []
    for tokens, weights in zip(batch.tokens.tolist(), batch.weights.tolist(), strict=True):
        marked = "".join("x" if weight == 1 else "." for weight in weights)
        rows.append([tokenizer.decode(tokens[span.start() : span.end()]) for span in re.finditer("x+", marked)])
    return rows


@pytest.mark.parametrize("kind", ["phonebook", "copy"])
def test_the_same_seed_draws_the_same_batches(new_curriculum, kind):
    first, again, other = (new_curriculum(seed).draw(kind, 600, 0.5) for seed in (0, 0, 1))
    assert torch.equal(first.tokens, again.tokens)
    assert torch.equal(first.weights, again.weights)
    assert first.tokens.shape != other.tokens.shape or not torch.equal(first.tokens, other.tokens)


def test_a_curriculum_goes_on_from_its_state(new_curriculum):
    curriculum, restored = new_curriculum(), new_curriculum()
    curriculum.take_step()
    restored.set_state(curriculum.get_state() | {"model": {}})
    assert restored.learning_rate() == curriculum.learning_rate()
    for ours, theirs in zip(restored.take_step(), curriculum.take_step(), strict=True):
        assert torch.equal(ours.tokens, theirs.tokens)
    assert restored.seen == curriculum.seen > 0


def test_batches_and_learning_rates_of_a_whole_run_are_those_that_the_packaged_checkpoints_were_trained_with(
    new_curriculum,
):
    # Noted with the loop that trained them, on the texts of conftest.
    curriculum, seen, rates, digest = new_curriculum(), [], [], hashlib.sha256()
    while curriculum.seen < curriculum.total:
        rates.append(curriculum.learning_rate())
        for batch in curriculum.take_step():
            digest.update(json.dumps([batch.tokens.tolist(), batch.weights.tolist()]).encode())
        seen.append(curriculum.seen)
    assert digest.hexdigest() == "f23a95691a6e28b0e262a601494782327d0f2572a0a514075f52a17137605890"
    assert seen == SEEN
    assert rates == pytest.approx(RATES, rel=1e-12)


def test_what_is_learned_of_a_phonebook_stands_in_the_book(new_curriculum, tokenizer):
    batch = new_curriculum().draw("phonebook", 2000, 0.7)
    for tokens, numbers in zip(batch.tokens, spans_to_learn(batch, tokenizer), strict=True):
        book = tokenizer.decode(tokens).split("\n\n")
        assert numbers
        # A reversed prompt has its question before the book.
        assert all(f":{number}\n" in book[0] + "\n" or f":{number}\n" in book[1] + "\n" for number in numbers)


def test_a_text_is_repeated_and_its_copies_are_learned(new_curriculum, tokenizer):
    batch = new_curriculum().draw("copy", 600, 0.95)
    for tokens, (first, second) in zip(batch.tokens, spans_to_learn(batch, tokenizer), strict=True):
        text, *copies = tokenizer.decode(tokens).split("\n\n")[:3]
        assert copies == [text, text]
        assert first == second
        assert text.endswith(first)


def test_examples_grow_with_the_run_and_short_ones_stay(new_curriculum):
    curriculum = new_curriculum()
    early, late = (
        [curriculum.draw("copy", 600, progress).tokens.shape[1] for _ in range(60)] for progress in (0.0, 1.0)
    )
    assert max(early) < 60 < max(late)
    assert min(late) < 60


def test_content_free_texts_use_few_tokens_at_first(new_curriculum):
    curriculum = new_curriculum()
    assert len(curriculum._alphabet(0.0)) == 32
    assert len(curriculum._alphabet(0.15)) < len(curriculum._alphabet(0.3)) == len(curriculum._content_free)


def test_each_number_and_each_copy_is_an_answer_of_its_own(new_curriculum, tokenizer):
    curriculum = new_curriculum()
    for kind in ("phonebook", "copy"):
        batch = curriculum.draw(kind, 1500, 0.5)
        expected = [span for row in spans_to_learn(batch, tokenizer) for span in row]
        answers = [tokenizer.decode(batch.tokens[batch.answers == number]) for number in range(len(expected))]
        assert answers == expected
        assert torch.equal(batch.answers >= 0, batch.weights == 1)
