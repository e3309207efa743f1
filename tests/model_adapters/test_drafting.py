import pytest
from hypothesis import given
from hypothesis import strategies as st

from copy_eval.model_adapters.drafting import SHORTEST, Drafter, Trust, look_up, width_filled

BOOK = [1, 2, 3, 4, 5, 6, 7, 8, 9] * 2 + [1, 2]


def decode_against(drafter, length, next_token):
    """Decode ``length`` tokens of a model that chooses ``next_token(place)``; return the sizes of the drafts made."""
    sizes, place = [], 0
    while place < length:
        draft = drafter.draft(length - place - 1)
        truth = [next_token(place + offset) for offset in range(len(draft) + 1)]
        accepted = next((at for at, token in enumerate(draft) if token != truth[at]), len(draft))
        drafter.learn(draft, accepted, truth[: accepted + 1])
        sizes.append(len(draft))
        place += accepted + 1
    return sizes


def test_a_copy_is_drafted_whole_at_once():
    assert decode_against(Drafter(BOOK, Trust()), 7, lambda place: BOOK[2 + place]) == [6]


def test_a_model_that_never_copies_is_drafted_ever_more_seldom_and_shortly():
    first, *later = decode_against(
        Drafter(BOOK, Trust()), 500, lambda place: 100 + place % 2 if place % 3 else 200 + place
    )

    assert first == 11
    assert [size for size in later if size] == [6] * 6


def test_after_a_slip_the_copy_is_drafted_again():
    text = list(range(100))
    sizes = decode_against(
        Drafter([*text, 0, 1], Trust()), 98, lambda place: 777 if place == 40 else text[(2 + place) % 100]
    )

    assert len(sizes) < 10, sizes


def test_the_first_draft_is_as_long_as_recent_answers_let_hope():
    trust = Trust()
    assert trust.longest() is None
    trust.learn(0)
    assert len(Drafter(BOOK, trust).draft(100)) == trust.longest() == 8
    trust.learn(50)
    assert len(Drafter(BOOK, trust).draft(100)) == 11
    for _ in range(32):
        trust.learn(0)
    assert trust.longest() == 8


def test_only_the_first_draft_of_an_answer_teaches_the_answers_after_it():
    trust = Trust()
    drafter = Drafter(BOOK, trust)
    first = drafter.draft(4)
    drafter.learn(first, 4, [*first, 7])
    second = drafter.draft(20)
    drafter.learn(second, 0, [99])

    assert second
    assert trust.longest() == 2 * 4 + 8


def test_drafts_of_a_few_rows_are_not_worth_the_padding_of_the_others():
    assert width_filled([40, 0, 0, 0, 0], 0.25) == 0
    assert width_filled([40, 0, 0, 0], 0.25) == 40
    assert width_filled([10, 10, 10, 0], 0.75) == 10
    assert width_filled([10, 10, 0, 0], 0.75) == 0


def test_one_long_draft_is_cut_to_what_the_other_rows_share():
    assert width_filled([200, 8, 8, 8], 0.75) == 8
    assert width_filled([200, 190, 195, 198], 0.75) == 200
    assert width_filled([], 0.75) == width_filled([0, 0], 0.75) == 0


def first_drafts(trust, answers, accepted):
    """Draft the beginnings of answers of a model that gets so many tokens right; return which of them had a draft."""
    drafted = []
    for _ in range(answers):
        drafter = Drafter(BOOK, trust)
        draft = drafter.draft(100)
        drafter.learn(draft, min(accepted, len(draft)), [0])
        drafted.append(bool(draft))
    return drafted


def test_where_a_wrong_draft_is_dear_a_model_that_never_copies_gets_few():
    assert sum(first_drafts(Trust(wary=True), 1000, accepted=1)) < 0.07 * 1000
    assert all(first_drafts(Trust(), 1000, accepted=1))


def test_where_a_wrong_draft_is_dear_a_model_that_copies_again_is_found_out():
    trust = Trust(wary=True)
    first_drafts(trust, 100, accepted=0)
    drafted = first_drafts(trust, 32, accepted=6)
    assert all(drafted[16:])


texts = st.lists(st.integers(0, 3), max_size=40)


def search_naively(tokens, most):
    """Try every suffix, the longest first, at every earlier place, the last first; then copy token by token."""
    for length in range(len(tokens) - 1, SHORTEST - 1, -1):
        for start in range(len(tokens) - length - 1, -1, -1):
            if tokens[start : start + length] == tokens[-length:]:
                grown = list(tokens)
                gap = len(tokens) - start - length
                for place in range(start + length, start + length + min(most, max(gap, length))):
                    grown.append(grown[place])
                return grown[len(tokens) :]
    return []


@given(texts, st.integers(0, 50))
def test_the_lookup_finds_what_a_naive_search_finds(tokens, most):
    assert look_up(tokens, most) == search_naively(tokens, most)


@given(st.lists(st.integers(min_value=0), min_size=3, max_size=60, unique=True), st.data())
def test_a_text_without_repeats_is_copied_from_its_first_words_on(text, data):
    known = data.draw(st.integers(SHORTEST, len(text) - 1))
    assert look_up([*text, -1, *text[:known]], len(text) - known) == text[known:]


@pytest.mark.parametrize(
    ("text", "guess"),
    [
        ("Ann Lee: 12\nTom Lee: 34\n\nAnn Lee:", " 12\nT"),
        ("the cat. the dog. the c", "at. t"),
        ("ab1 ab2 ab", "2 ab"),
        ("xyxyxy", "xyxy"),
        ("abcde", ""),
        ("abca", ""),
        ("a", ""),
        ("", ""),
    ],
)
def test_the_guess_is_what_followed_the_longest_suffix(text, guess):
    assert "".join(look_up(text, 5)) == guess


def test_a_long_text_of_one_token_takes_linear_time():
    # A search that compared each place anew would take 10 to the 10 steps.
    assert look_up([7] * 100_000, 3) == [7, 7, 7]
