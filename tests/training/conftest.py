import pytest

from copy_eval.tasks.phonebook.names import draw_full_name
from copy_eval.tasks.sampling import example_rng
from copy_eval.training.data import BatchSampler, train_tokenizer

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
def new_sampler(tokenizer):
    return lambda seed=0: BatchSampler(tokenizer, CORPUS, seed)
