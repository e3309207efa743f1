"""The packaged checkpoints as real models, on the real tasks."""

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.packaged import PACKAGED
from copy_eval.tasks.phonebook.dataset import build_dataset
from tests.model_adapters.support import answer, assert_same_answers

ADAPTERS = {"tiny-pythia": PythiaLM, "tiny-mamba": MambaLM}


@pytest.fixture(scope="module", params=ADAPTERS)
def loaded(request):
    return ADAPTERS[request.param](pretrained=request.param, device="cpu", batch_size=16)


@pytest.fixture(scope="module")
def prompts():
    """Prompts of unequal length, in no order."""
    metadata = {"num_samples": 8, "data_seed": 7}
    return [prompt for length in (40, 5, 12) for prompt in build_dataset(metadata, length)["test"]["prompt"]]


def exact_match(model, task):
    manager = TaskManager(
        include_path=str(PACKAGED.parent / "tasks"), include_defaults=False, metadata={"num_samples": 40}
    )
    results = simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0)
    return results["results"][task]["exact_match,none"]


def test_tiny_pythia_looks_numbers_up():
    model = PythiaLM(pretrained="tiny-pythia", device="cpu", batch_size=16)
    assert exact_match(model, "phonebook_copy_20") >= 0.9
    assert exact_match(model, "phonebook_copy_40") >= 0.85


def test_tiny_mamba_does_so_in_short_books_only():
    model = MambaLM(pretrained="tiny-mamba", device="cpu", batch_size=16)
    short, long = exact_match(model, "phonebook_copy_10"), exact_match(model, "phonebook_copy_40")
    assert short >= 0.2
    assert long <= short / 2


def test_a_batch_answers_as_each_prompt_alone_and_as_without_drafts(loaded, prompts):
    together = answer(loaded, prompts)
    alone = type(loaded)(pretrained=loaded.pretrained, device="cpu", batch_size=1, draft=0)
    assert_same_answers(alone, prompts, together, answer(alone, prompts))


def test_tiny_pythia_answers_as_in_lm_evals_own_backend(prompts):
    ours = PythiaLM(pretrained="tiny-pythia", device="cpu", batch_size=16)
    theirs = HFLM(pretrained=str(PACKAGED / "tiny-pythia"), device="cpu", dtype="float32", batch_size=1)
    assert_same_answers(ours, prompts, answer(ours, prompts), answer(theirs, prompts))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_checkpoint_is_small_and_says_how_it_was_made(name):
    folder = PACKAGED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5e6
    assert "exact match" in (folder / "README.md").read_text()
