"""The packaged checkpoints as real models, on the real tasks."""

import pytest
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.packaged import PACKAGED
from copy_eval.tasks.c4.dataset import build_dataset as build_c4
from copy_eval.tasks.phonebook.dataset import build_dataset as build_phonebook
from tests.model_adapters.support import answer, assert_same_answers
from tests.tasks.real_data import C4_SAMPLE, needs_real_data

ADAPTERS = {"tiny-pythia": PythiaLM, "tiny-mamba": MambaLM}


@pytest.fixture(scope="module", params=ADAPTERS)
def loaded(request):
    return ADAPTERS[request.param](pretrained=request.param, device="cpu", batch_size=16)


@pytest.fixture(scope="module", params=["phonebook", pytest.param("c4", marks=needs_real_data)])
def task(request):
    """Real prompts of unequal length, in no order, and how the task ends their answers."""
    settings = {"num_samples": 5, "data_seed": 7}
    if request.param == "phonebook":
        lengths, build, ending = (40, 5, 12), build_phonebook, {"until": ["\n"], "max_gen_toks": 16}
    else:
        lengths, build, ending = (50, 25), build_c4, {"until": ["\n\n"], "max_gen_toks": 60}
        settings |= {"c4_path": str(C4_SAMPLE), "length_tokenizer": "tiny-pythia"}
    return [prompt for length in lengths for prompt in build(settings, length)["test"]["prompt"]], ending


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


def test_a_batch_answers_as_each_prompt_alone_as_without_drafts_and_as_lm_evals_hf(loaded, task, tmp_path):
    prompts, ending = task
    alone = type(loaded)(pretrained=loaded.pretrained, device="cpu", batch_size=1)
    undrafted = type(loaded)(pretrained=loaded.pretrained, device="cpu", batch_size=1, draft=0)
    loaded.model.save_pretrained(tmp_path)  # a Mamba in transformers' layout, for transformers' own generate
    loaded.tokenizer.save_pretrained(tmp_path)
    hf = HFLM(pretrained=str(tmp_path), device="cpu", dtype="float32", batch_size=1)

    together = answer(loaded, prompts, **ending)

    assert len(set(together)) > len(prompts) / 2, "answers that are all alike would compare nothing"
    for other in (alone, undrafted, hf):
        assert_same_answers(alone, prompts, together, answer(other, prompts, **ending))


@pytest.mark.parametrize("name", ADAPTERS)
def test_a_checkpoint_is_small_and_says_how_it_was_made(name):
    folder = PACKAGED / name
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 5e6
    assert "exact match" in (folder / "README.md").read_text()
