"""Each kind of model on a GPU, and the same on a CPU, where these tests show that they would pass: ``make gpu``."""

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, BambaConfig, MistralConfig

from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.support import MAMBA1, PROMPTS, VOCAB, answer, assert_same_answers

SMALL = {
    "vocab_size": VOCAB, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 256, "initializer_range": 0.3, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip
WINDOW = MistralConfig(**SMALL, num_hidden_layers=2, sliding_window=16)
HYBRID = BambaConfig(
    **SMALL, num_hidden_layers=3, attn_layer_indices=[1], mamba_n_heads=8, mamba_d_head=8, mamba_d_state=16,
    mamba_n_groups=2, mamba_chunk_size=16,
)  # fmt: skip


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    return request.param


@pytest.fixture(scope="module", params=["GPT-NeoX", "window", "hybrid", "Mamba"])
def checkpoint(request, neox_folder, state_spaces_folder, tokenizer, tmp_path_factory):
    """Return our adapter for a checkpoint in the layout of transformers, and its folder."""
    if request.param == "GPT-NeoX":
        return PythiaLM, neox_folder
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer.save_pretrained(folder)
    if request.param == "Mamba":
        MambaLM(pretrained=str(state_spaces_folder(MAMBA1)), device="cpu").model.save_pretrained(folder)
        return MambaLM, folder
    torch.manual_seed(2)
    AutoModelForCausalLM.from_config(HYBRID if request.param == "hybrid" else WINDOW).save_pretrained(folder)
    return PythiaLM, folder


def load(checkpoint, device, **options):
    adapter, folder = checkpoint
    return adapter(str(folder), device=device, dtype="float32", **options)


def load_hf(checkpoint, device):
    return HFLM(str(checkpoint[1]), device=device, dtype="float32", batch_size=1)


@pytest.mark.parametrize("options", [{"batch_size": 4}, {"batch_size": 1, "draft": False}, {"batch_size": "auto"}])
def test_answers_are_those_of_hf_one_prompt_at_a_time(options, checkpoint, device):
    model = load(checkpoint, device, **options)
    expected = answer(load_hf(checkpoint, device), until=["t", "5"], max_gen_toks=20)

    assert len(set(expected)) > 4, "answers that are all alike would compare nothing"
    assert_same_answers(model, PROMPTS, answer(model, until=["t", "5"], max_gen_toks=20), expected)


def test_loglikelihood_is_that_of_hf(checkpoint, device):
    requests = [
        Instance("loglikelihood", {}, (prompt, continuation), index)
        for index, (prompt, continuation) in enumerate((prompt, end) for prompt in PROMPTS for end in (" mat", " 7"))
    ]
    found = load(checkpoint, device, batch_size=4).loglikelihood(requests, disable_tqdm=True)
    expected = load_hf(checkpoint, device).loglikelihood(requests, disable_tqdm=True)

    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=2e-3)


@pytest.mark.cuda
def test_a_batch_that_runs_out_of_memory_is_halved_and_answered_all_the_same(checkpoint):
    model = load(checkpoint, "cuda", batch_size=4096)
    prompts = [f"{number} {PROMPTS[number % len(PROMPTS)]}" for number in range(4096)]
    few = prompts[:8]
    expected = answer(model, few)  # what is allocated once, whatever the batch, is there from now on

    torch.cuda.empty_cache()
    whole = torch.cuda.get_device_properties(model.device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 64 * 2**20) / whole)
    try:
        found = answer(model, prompts)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)

    assert model._most_rows < 4096
    assert_same_answers(model, few, found[:8], expected)
