"""LoRA and its kin, real ones of the package PEFT, on every layout."""

import copy

import pytest
import torch
from peft import LoraConfig, PeftModel, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from copy_eval.errors import UserError
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.support import MAMBA1, PROMPTS, answer, assert_same_answers, logits_after_each

MODULES = {PythiaLM: ["query_key_value", "dense_4h_to_h"], MambaLM: ["in_proj", "x_proj", "embeddings"]}


def save_lora(model, folder, modules):
    """Train nothing: draw both factors, so that every adapted weight really changes."""
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=modules, task_type="CAUSAL_LM"))
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module", params=["pythia", "mamba in transformers' layout", "mamba in its own"])
def trained(request, neox_folder, state_spaces_folder, tmp_path_factory):
    """An adapter, its checkpoint, LoRA weights for it, and the checkpoint in transformers' layout."""
    torch.manual_seed(0)
    adapter = PythiaLM if request.param == "pythia" else MambaLM
    folder = plain = neox_folder if adapter is PythiaLM else state_spaces_folder(MAMBA1)
    loaded = adapter(pretrained=str(folder), device="cpu")
    if adapter is MambaLM:
        plain = tmp_path_factory.mktemp("plain")
        loaded.model.save_pretrained(plain)
        loaded.tokenizer.save_pretrained(plain)
        if "transformers" in request.param:
            folder = plain
    return adapter, folder, save_lora(loaded.model, tmp_path_factory.mktemp("lora"), MODULES[adapter]), plain


def test_every_token_is_chosen_as_by_peft_itself(trained):
    adapter, folder, lora, plain = trained
    network = AutoModelForCausalLM.from_pretrained(plain, dtype=torch.float32)
    wrapped = PeftModel.from_pretrained(network, lora)

    model, one_by_one = (
        adapter(pretrained=str(folder), peft=str(lora), device="cpu", batch_size=rows, draft=draft)
        for rows, draft in ((4, True), (1, False))
    )

    ids = torch.tensor([model.tok_encode(PROMPTS[0])])
    torch.testing.assert_close(logits_after_each(model, PROMPTS[0]), wrapped(ids).logits[0], rtol=1e-4, atol=1e-4)
    texts = answer(model)
    assert_same_answers(model, PROMPTS, texts, answer(one_by_one))
    assert texts != answer(adapter(pretrained=str(folder), device="cpu"))


def test_tokens_that_were_added_in_training_get_their_rows(neox_folder, tokenizer, tmp_path):
    network = AutoModelForCausalLM.from_pretrained(neox_folder, dtype=torch.float32)
    more = copy.deepcopy(tokenizer)
    more.add_tokens([f"<{number}>" for number in range(9)])
    network.resize_token_embeddings(len(more))
    config = LoraConfig(r=4, target_modules=["dense"], modules_to_save=["embed_in"], task_type="CAUSAL_LM")
    get_peft_model(network, config).save_pretrained(tmp_path)
    more.save_pretrained(tmp_path)

    model = PythiaLM(pretrained=str(neox_folder), peft=str(tmp_path), tokenizer=str(tmp_path), device="cpu")

    assert model.model.get_input_embeddings().weight.shape[0] == len(more)


def test_where_there_are_kernels_transformers_model_runs(trained, monkeypatch):
    adapter, folder, lora, _ = trained
    if adapter is PythiaLM:
        pytest.skip("there are kernels for Mamba only")
    read_config = MambaLM._get_config

    def on_a_gpu(self, *names, **options):
        read_config(self, *names, **options)
        self._kernels = True

    monkeypatch.setattr(MambaLM, "_get_config", on_a_gpu)
    model = MambaLM(pretrained=str(folder), peft=str(lora), device="cpu")
    assert isinstance(model.model, PeftModel)
    assert not model._kernels


def test_weights_that_are_not_there_or_not_for_this_model(trained, tmp_path):
    adapter, folder, lora, _ = trained
    weights = load_file(lora / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text((lora / "adapter_config.json").read_text())

    def refusal(source):
        with pytest.raises(UserError) as caught:
            adapter(pretrained=str(folder), peft=str(source), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refusal(tmp_path / "nowhere").startswith(f"peft={tmp_path / 'nowhere'}: ")
    gone = sorted(weights)[0]
    save_file(
        {name: tensor for name, tensor in weights.items() if name != gone}, tmp_path / "adapter_model.safetensors"
    )
    assert "missing adapter keys" in refusal(tmp_path)
    save_file(weights | {gone: torch.ones(2, 2)}, tmp_path / "adapter_model.safetensors")
    assert refusal(tmp_path).startswith(f"peft={tmp_path}: ")


def test_tokens_before_each_prompt_are_refused(neox_folder, tmp_path):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu").model
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    get_peft_model(model, config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="PROMPT_TUNING puts tokens of its own"):
        PythiaLM(pretrained=str(neox_folder), peft=str(tmp_path), device="cpu")
