import pytest

from copy_eval.tasks.phonebook.names import draw_full_name
from copy_eval.tasks.sampling import example_rng
from copy_eval.training.corpus import train_tokenizer
from copy_eval.training.phonebooks_and_texts import PhonebooksAndTexts

TEXT = (
    "It was a bright cold day, and the clocks of the town were striking; nobody who heard them, old or young, knew "
    "what hour it was, for each clock told another one. "
)
CORPUS = [TEXT * 40]


@pytest.fixture(scope="session")
def tokenizer():
    rng = example_rng(0, 0, 0)
    return train_tokenizer([*CORPUS, *(draw_full_name(rng) for _ in range(2000))])


@pytest.fixture
def new_curriculum(tokenizer):
    return lambda seed=0, total=70_000: PhonebooksAndTexts(CORPUS, tokenizer, seed, total)
