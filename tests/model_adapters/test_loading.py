"""Mistakes of a user, each of which ends in one line that says what is wrong; and weights of PEFT, written by PEFT."""

import copy
import json
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from peft import (
    LoraConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    get_peft_model,
)
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BertConfig,
    BertLMHeadModel,
    FalconMambaConfig,
    Gemma3Config,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    MptConfig,
    Qwen2VLConfig,
    RecurrentGemmaConfig,
    RwkvConfig,
    T5Config,
    ViTConfig,
    XLNetConfig,
)

from copy_eval.errors import UserError
from copy_eval.model_adapters import checkpoints
from copy_eval.model_adapters.loading import stated_context
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.support import (
    MAMBA1,
    MAMBA2,
    PROMPTS,
    VOCAB,
    answer,
    assert_same_answers,
    logits_after_each,
    split_weights,
)

MODULES = {PythiaLM: ["query_key_value", "dense_4h_to_h"], MambaLM: ["in_proj", "x_proj", "embeddings"]}
"""That LoRA changes."""

ENCODER = {PromptEncoderConfig: {"encoder_hidden_size": 8}}


def refusal(adapter, folder, **options):
    with pytest.raises(UserError) as caught:
        adapter(pretrained=str(folder), **({"device": "cpu"} | options))
    line = str(caught.value)
    assert "\n" not in line
    return line


@pytest.fixture
def mamba_folder(state_spaces_folder):
    return state_spaces_folder(MAMBA1)


@pytest.fixture
def neox_copy(neox_folder, tmp_path):
    return shutil.copytree(neox_folder, tmp_path / "neox")


def rewrite_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path) if path.exists() else torch.load(folder / "pytorch_model.bin", weights_only=True)
    change(weights)
    if path.exists():
        save_file(weights, path, metadata={"format": "pt"})
    else:
        torch.save(weights, folder / "pytorch_model.bin")


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.touch, (self.target,)


def test_a_state_spaces_checkpoint_is_not_spread_over_gpus(mamba_folder):
    with pytest.raises(UserError, match="parallelize= is for transformers' layout only"):
        MambaLM(str(mamba_folder), parallelize=True)


@pytest.mark.parametrize("adapter", [MambaLM, PythiaLM])
def test_an_unknown_checkpoint(adapter, tmp_path):
    assert "no such folder" in refusal(adapter, tmp_path / "nowhere")
    assert "no such folder, not in the local cache" in refusal(adapter, "someone/unknown-model")
    assert "neither a folder nor the name" in refusal(adapter, "a/b/c/d")


@pytest.mark.parametrize("adapter", [MambaLM, PythiaLM])
def test_the_near_miss_of_a_packaged_checkpoint(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PACKAGED", tmp_path)
    (tmp_path / "tiny-pythia").mkdir()
    (tmp_path / "tiny-pythia" / "config.json").write_text("{}")

    assert "did you mean tiny-pythia?" in refusal(adapter, "tiny-phytia")


def test_a_packaged_checkpoint_is_found_by_its_name(mamba_folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "PACKAGED", mamba_folder.parent)
    assert MambaLM(pretrained=mamba_folder.name, device="cpu").model.config.num_hidden_layers == 2


@pytest.mark.parametrize("adapter", [MambaLM, PythiaLM])
def test_a_folder_without_a_usable_config(adapter, tmp_path):
    assert "it has no config.json" in refusal(adapter, tmp_path)
    (tmp_path / "config.json").write_text('{"hidden": 3}')
    assert "of neither layout" in refusal(adapter, tmp_path)
    (tmp_path / "config.json").write_text("{")
    assert "not valid JSON" in refusal(adapter, tmp_path)
    (tmp_path / "config.json").write_text("[]")
    assert "not a JSON object" in refusal(adapter, tmp_path)


def test_a_checkpoint_for_the_other_adapter(mamba_folder, neox_folder):
    assert "use --model mamba_ssm" in refusal(PythiaLM, mamba_folder)
    assert "use --model copy_hf" in refusal(MambaLM, neox_folder)


def test_an_architecture_that_transformers_does_not_know(neox_copy):
    (neox_copy / "config.json").write_text('{"model_type": "no_such_model"}')
    assert "cannot load a no_such_model" in refusal(PythiaLM, neox_copy)


def test_a_state_spaces_model_that_transformers_cannot_express(state_spaces_folder):
    for changes, reason in [
        ({"attn_layer_idx": [1]}, "attention or MLP"),
        ({"d_intermediate": 64}, "attention or MLP"),
        ({"rms_norm": False}, "LayerNorm"),
        ({"ssm_cfg": MAMBA2["ssm_cfg"] | {"norm_before_gate": True}}, "norm_before_gate=True"),
        ({"ssm_cfg": MAMBA2["ssm_cfg"] | {"layer": "Mamba9"}}, "known are Mamba1 and Mamba2"),
    ]:
        folder = state_spaces_folder(MAMBA2)
        (folder / "config.json").write_text(json.dumps(MAMBA2 | changes))
        assert reason in refusal(MambaLM, folder)


@pytest.mark.parametrize("kind", ["state-spaces", "transformers"])
def test_weights_that_do_not_fit_the_config_are_named_with_both_shapes(kind, mamba_folder, neox_copy):
    adapter, folder, key = (
        (MambaLM, mamba_folder, "n_layer") if kind == "state-spaces" else (PythiaLM, neox_copy, "num_hidden_layers")
    )
    name = "backbone.norm_f.weight" if kind == "state-spaces" else "gpt_neox.final_layer_norm.weight"
    config = json.loads((folder / "config.json").read_text())

    rewrite_weights(folder, lambda weights: weights.update({name: torch.ones(7)}))
    line = refusal(adapter, folder)
    assert f"{name} has shape (7,)" in line
    assert "(32,)" in line

    rewrite_weights(folder, lambda weights: weights.pop(name))
    assert f"the weights lack {name}" in refusal(adapter, folder)

    (folder / "config.json").write_text(json.dumps(config | {key: 3}))
    assert "the weights lack" in refusal(adapter, folder)


def test_weights_that_the_config_has_no_place_for(mamba_folder):
    rewrite_weights(mamba_folder, lambda weights: weights.update({"lm_head.bias": torch.ones(7)}))
    assert "the weights hold lm_head.bias" in refusal(MambaLM, mamba_folder)


@pytest.mark.parametrize("adapter", [MambaLM, PythiaLM])
def test_a_pickle_that_would_execute_code_is_refused_and_does_not_run(adapter, mamba_folder, neox_copy, tmp_path):
    folder = mamba_folder if adapter is MambaLM else neox_copy
    (folder / "model.safetensors").unlink(missing_ok=True)
    target = tmp_path / "executed"
    torch.save({"backbone.embedding.weight": Payload(target)}, folder / "pytorch_model.bin")

    line = refusal(adapter, folder)

    assert "could execute code" in line
    assert not target.exists()
    pickle.loads(pickle.dumps(Payload(target)))
    assert target.exists(), "the payload is real"


@pytest.mark.parametrize("filename", ["pytorch_model.bin", "model.safetensors"])
def test_a_damaged_or_absent_weights_file(filename, mamba_folder):
    (mamba_folder / "pytorch_model.bin").unlink()
    assert "neither model.safetensors nor pytorch_model.bin" in refusal(MambaLM, mamba_folder)
    (mamba_folder / filename).write_bytes(b"\x80\x04 no weights")
    assert filename in refusal(MambaLM, mamba_folder)


def test_shards_whose_index_does_not_name_them(mamba_folder):
    index = split_weights(mamba_folder) / "pytorch_model.bin.index.json"
    content = json.loads(index.read_text())
    name, shard = next(iter(content["weight_map"].items()))
    for changed, reason in [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ("{}", "it has no weight_map"),
        ({name: "../pytorch_model.bin"}, "names '../pytorch_model.bin', and a shard is a file in the same folder"),
        ({name: ".."}, "a shard is a file in the same folder"),
        ({name: "/etc/passwd"}, "a shard is a file in the same folder"),
        ({name: ["a"]}, "a shard is a file in the same folder"),
        ({name: "another.bin"}, "names another.bin, which is not there"),
        ({"another": shard}, f"places another in {shard}, which does not hold it"),
    ]:
        if isinstance(changed, dict):
            changed = json.dumps(content | {"weight_map": content["weight_map"] | changed})
        index.write_text(changed)
        line = refusal(MambaLM, mamba_folder)
        assert reason in line
        assert index.name in line


def test_no_tokenizer_can_be_had(mamba_folder):
    (mamba_folder / "tokenizer.json").unlink()
    (mamba_folder / "tokenizer_config.json").unlink()
    assert "tokenizer=" in refusal(MambaLM, mamba_folder)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_cuda_where_there_is_none(device, neox_folder, mamba_folder):
    assert "no CUDA" in refusal(PythiaLM, neox_folder, device=device)
    assert "no CUDA" in refusal(MambaLM, mamba_folder, device=device)


@pytest.mark.parametrize("device", ["gpu", "cuda0", ""])
def test_a_device_that_does_not_exist_is_not_taken_for_another(device, neox_folder):
    assert "PyTorch knows no such device" in refusal(PythiaLM, neox_folder, device=device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
@pytest.mark.parametrize("device", [None, "cuda:0"])
def test_the_default_device_of_lm_eval_falls_back_to_the_cpu(device, mamba_folder):
    assert MambaLM(pretrained=str(mamba_folder), device=device).device.type == "cpu"


@pytest.mark.parametrize("dtype", ["flaot32", "int8", "nn"])
def test_an_unknown_dtype(dtype, neox_folder):
    assert f"dtype={dtype}" in refusal(PythiaLM, neox_folder, dtype=dtype)


def test_a_backend_that_is_not_causal(neox_folder):
    assert "backend=seq2seq" in refusal(PythiaLM, neox_folder, backend="seq2seq")


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


@pytest.mark.parametrize("tuning", [PromptTuningConfig, PrefixTuningConfig, PromptEncoderConfig])
def test_tokens_before_each_prompt_are_refused(tuning, neox_folder, tokenizer, tmp_path):
    model = PythiaLM(pretrained=str(neox_folder), device="cpu").model
    wrapped = get_peft_model(model, tuning(task_type="CAUSAL_LM", num_virtual_tokens=3, **ENCODER.get(tuning, {})))
    wrapped.save_pretrained(tmp_path)
    for options in ({"pretrained": str(neox_folder), "peft": str(tmp_path)}, {"pretrained": wrapped}):
        with pytest.raises(UserError, match="TUNING puts tokens of its own before each prompt"):
            PythiaLM(**options, **({"device": "cpu"} if "peft" in options else {"tokenizer": tokenizer}))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (T5Config(architectures=["T5ForConditionalGeneration"]), "a t5 (T5ForConditionalGeneration) is an encoder and"),
        (BartConfig(architectures=["BartForConditionalGeneration"]), "a bart (BartForConditionalGeneration) is an enc"),
        (Qwen2VLConfig(architectures=["Qwen2VLForConditionalGeneration"]), "a qwen2_vl (Qwen2VLForConditionalGenerati"),
        (LlavaConfig(), "a llava (no architecture named) is not a causal language model"),
        (ViTConfig(), "a vit (no architecture named) is not a causal language model"),
    ],
)
def test_another_kind_of_model_is_named(config, reason, tmp_path):
    config.save_pretrained(tmp_path)
    assert reason in refusal(PythiaLM, tmp_path)


def test_an_encoder_that_looks_at_later_tokens_is_no_causal_language_model(tokenizer, tmp_path):
    sizes = {
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "initializer_range": 0.5,
    }
    for is_decoder in (False, True):
        config = BertConfig(**sizes, intermediate_size=16, is_decoder=is_decoder)
        BertLMHeadModel(config).save_pretrained(tmp_path)
        tokenizer.save_pretrained(tmp_path)
        if is_decoder:
            assert PythiaLM(pretrained=str(tmp_path), device="cpu").context_length == 512
        else:
            assert "a bert that attends to later tokens" in refusal(PythiaLM, tmp_path)


CONFIG_OF_ITS_OWN = """
from transformers import LlamaConfig
class OwnConfig(LlamaConfig):
    model_type = "of_its_own"
"""

MODEL_OF_ITS_OWN = """
from transformers import LlamaForCausalLM
from .configuration_own import OwnConfig
class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = -output.logits
        return output
"""


@pytest.fixture
def own_folder(tokenizer, tmp_path, monkeypatch):
    """A checkpoint with code of its own, which takes the least likely token of a Llama."""
    folder = tmp_path / "own"
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=128, initializer_range=0.3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "configuration_own.py").write_text(CONFIG_OF_ITS_OWN)
    (folder / "modeling_own.py").write_text(MODEL_OF_ITS_OWN)
    entries = json.loads((folder / "config.json").read_text()) | {
        "model_type": "of_its_own",
        "architectures": ["OwnModel"],
        "auto_map": {"AutoConfig": "configuration_own.OwnConfig", "AutoModelForCausalLM": "modeling_own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(entries))
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr("sys.path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("transformers_modules")]:
        monkeypatch.delitem(sys.modules, name)
    return folder


def test_code_of_a_checkpoint_runs_only_where_it_is_trusted(own_folder):
    line = refusal(PythiaLM, own_folder)
    assert "its architecture is code of its own (modeling_own.py)" in line
    assert "add trust_remote_code=True" in line

    batch, alone = (
        PythiaLM(pretrained=str(own_folder), device="cpu", trust_remote_code=True, batch_size=rows, draft=draft)
        for rows, draft in ((4, True), (1, False))
    )
    network = LlamaForCausalLM.from_pretrained(own_folder, dtype=torch.float32)
    ids = torch.tensor([batch.tok_encode(PROMPTS[0])])
    torch.testing.assert_close(logits_after_each(batch, PROMPTS[0]), -network(ids).logits[0])
    assert_same_answers(batch, PROMPTS, answer(batch), answer(alone))


def test_code_of_a_checkpoint_for_an_older_transformers_fails_in_one_line(own_folder):
    path = own_folder / "modeling_own.py"
    path.write_text(path.read_text() + "from transformers.utils import name_that_went\n")
    assert "name_that_went" in refusal(PythiaLM, own_folder, trust_remote_code=True)

    path.write_text(MODEL_OF_ITS_OWN + "    def __init__(self, config):\n        self.gone\n")
    line = refusal(PythiaLM, own_folder, trust_remote_code=True)
    assert "its own code fails with this transformers" in line


@pytest.mark.parametrize(
    ("config", "told", "context"),
    [
        (RecurrentGemmaConfig(), None, None),
        (RwkvConfig(context_length=64), None, None),
        (XLNetConfig(), None, None),
        (FalconMambaConfig(), 4096, 4096),
        (MptConfig(max_seq_len=77), None, 77),
        (Gemma3Config(text_config={"max_position_embeddings": 99}), 4096, 99),
    ],
)
def test_a_context_is_one_that_the_checkpoint_states(config, told, context, tokenizer):
    tokenizer = copy.deepcopy(tokenizer)
    if told:
        tokenizer.model_max_length = told
    assert stated_context(config, tokenizer) == context
