"""When a batch of a state space model takes in drafts, and how much of them."""

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM

from copy_eval.model_adapters.mamba_run import MambaRun

PROMPTS = [[3, 1, 4, 1, 5], [9, 2, 6], [5, 3, 5, 8, 9, 7], [9, 3]]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, state_size=4, num_hidden_layers=2)).eval()


@pytest.fixture(scope="module")
def answers(model):
    """Return 60 tokens of each prompt's greedy answer, decoded without drafts."""
    run = new_run(model)
    tokens, answers = PROMPTS, [[] for _ in PROMPTS]
    with torch.no_grad():
        for _ in range(60):
            tokens = run.feed(tokens, [[]] * 4)
            answers = [answer + chosen for answer, chosen in zip(answers, tokens, strict=True)]
    return answers


def new_run(model):
    return MambaRun(model, torch.device("cpu"))


@torch.no_grad()
def choices_after(model, drafts):
    """Return the choices of a first step that comes with these drafts."""
    return new_run(model).feed(PROMPTS, drafts)


def test_right_drafts_of_all_rows_are_taken_in_whole(model, answers):
    assert choices_after(model, [answer[:59] for answer in answers]) == answers


def test_the_draft_of_one_row_among_many_waits(model, answers):
    assert choices_after(model, [answers[0][:59], [], [], []]) == [answer[:1] for answer in answers]


def test_a_wrong_draft_is_left_after_its_first_stretch(model, answers):
    wrong = [[*answer[:5], (answer[5] + 1) % 32, *answer[6:59]] for answer in answers]
    choices = choices_after(model, wrong)

    assert [chosen[:6] for chosen in choices] == [answer[:6] for answer in answers]
    assert all(len(chosen) < 40 for chosen in choices)


def test_after_drafts_wrong_at_different_places_the_rows_go_on_as_without_drafts(model, answers):
    stands = [0, 3, 31, 40]
    drafts = [
        [*answer[:right], (answer[right] + 1) % 32, *answer[right + 1 : 59]]
        for answer, right in zip(answers, stands, strict=True)
    ]
    run = new_run(model)
    with torch.no_grad():
        choices = run.feed(PROMPTS, drafts)
        accepted = [min(right, len(chosen) - 1) for right, chosen in zip(stands, choices, strict=True)]
        run.keep(range(4), accepted)
        after = run.feed([chosen[at : at + 1] for chosen, at in zip(choices, accepted, strict=True)], [[]] * 4)

    assert after == [answer[at + 1 : at + 2] for answer, at in zip(answers, accepted, strict=True)]
