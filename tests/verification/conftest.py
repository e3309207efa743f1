"""Real models, and few of the requests."""

import pytest

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.verification.prompts import make_requests
from copy_eval.verification.ways import Bench

NAMES = (
    "phonebook 1", "shared prefix 1", "shared prefix 2", "shared prefix 3", "recall 2", "string 1", "string 2",
    "length 1", "length 3", "slip 1", "empty 1", "one token 1",
)  # fmt: skip


@pytest.fixture(scope="session")
def requests():
    """Some of nearly every kind."""
    return [request for request in make_requests() if request.name in NAMES]


@pytest.fixture(scope="session")
def pythia(requests):
    return Bench(PythiaLM(pretrained="tiny-pythia", device="cpu"), requests, 8, str)


@pytest.fixture(scope="session")
def mamba(requests):
    return Bench(MambaLM(pretrained="tiny-mamba", device="cpu"), requests, 8, str)
