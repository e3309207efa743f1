"""Every argument of lm-eval's ``HFLM`` has its effect in each adapter and layout, or is refused in one line."""

import inspect
import json
import shutil

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import BitsAndBytesConfig

from copy_eval.errors import UserError
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.support import MAMBA1, PROMPTS, answer, logits_after_each


def loglikelihood(model):
    request = Instance("loglikelihood", {}, (PROMPTS[0], " 7"), 0)
    return model.loglikelihood([request], disable_tqdm=True)[0][0]


def text_after_thinking(model):
    return model._text_of(model.tok_encode("the dog sat on the mat"), [])


FOLLOWED = {
    "tokenizer": ({"tokenizer": "OTHER"}, lambda model: model.tokenizer.name_or_path),
    "dtype": ({"dtype": "bfloat16"}, lambda model: model.model.dtype),
    "softmax_dtype": ({"softmax_dtype": "bfloat16"}, loglikelihood),
    "mixed_precision_dtype": (
        {"mixed_precision_dtype": "bfloat16"},
        lambda model: logits_after_each(model, PROMPTS[0]).tolist(),
    ),
    "max_length": ({"max_length": 24}, lambda model: model.context_length),
    "batch_size": ({"batch_size": 3}, lambda model: model._rows_per_batch()),
    "max_batch_size": ({"batch_size": "auto", "max_batch_size": 2}, lambda model: model._rows_per_batch()),
    "truncation": ({"truncation": True}, lambda model: len(model._encode("the cat sat on the mat " * 9))),
    "prefix_token_id": ({"prefix_token_id": 5}, lambda model: model._encode("")),
    "think_end_token": ({"think_end_token": "sat"}, text_after_thinking),
    "enable_thinking": (
        {"enable_thinking": True, "think_end_token": "sat"},
        lambda model: model.apply_chat_template([{"role": "user", "content": "a"}]),
    ),
    "chat_template_args": (
        {"chat_template_args": {"mood": "gay"}},
        lambda model: model.apply_chat_template([{"role": "user", "content": "a"}]),
    ),
    # Read by code of `HFLM` that no adapter replaces.
    "add_bos_token": ({"add_bos_token": True}, lambda model: model.add_bos_token),
    "logits_cache": ({"logits_cache": False}, lambda model: model.logits_cache),
}
"""Arguments, and what differs with them."""

NOT_SUPPORTED = {
    "delta": "x", "autogptq": True, "gptqmodel": True, "gguf_file": "x.gguf", "tp_plan": "auto",
    "use_fast_tokenizer": False,
    "load_in_8bit": True, "load_in_4bit": True, "quantization_config": BitsAndBytesConfig(load_in_8bit=True),
    "torch_dtype": "bfloat16", "max_memory": {"cpu": "1GB"}, "config": {},
}  # fmt: skip

ONLY_PARALLEL = {"device_map": "auto", "max_memory_per_gpu": "1GB", "max_cpu_memory": "1GB", "offload_folder": "x"}

ONLY_TRANSFORMERS_LAYOUT = {
    "parallelize": True, "attn_implementation": "eager", "use_safetensors": False, "low_cpu_mem_usage": True,
    "hidden_act": "gelu", "no_such_argument": 1,
}  # fmt: skip

WITH_TESTS_OF_THEIR_OWN = {"pretrained", "backend", "revision", "subfolder", "device", "peft", "parallelize"}

HANDED_OVER = {"trust_remote_code"}
"""To transformers as it is."""

TEMPLATE = "{{ messages[0].content }}{{ mood }}{{ enable_thinking }}"


@pytest.fixture(scope="module", params=["pythia", "transformers", "state-spaces"])
def layout(request, neox_folder, state_spaces_folder, tokenizer, tmp_path_factory):
    """An adapter and a checkpoint for it, with a tokenizer that has a chat template and takes 20 tokens."""
    folder = tmp_path_factory.mktemp("layout") / request.param
    if request.param == "pythia":
        shutil.copytree(neox_folder, folder)
    elif request.param == "state-spaces":
        shutil.copytree(state_spaces_folder(MAMBA1), folder)
    else:
        MambaLM(pretrained=str(state_spaces_folder(MAMBA1)), device="cpu").model.save_pretrained(folder)
    shorter = type(tokenizer)(
        tokenizer_object=tokenizer.backend_tokenizer, eos_token=tokenizer.eos_token, model_max_length=20
    )
    shorter.chat_template = TEMPLATE
    shorter.save_pretrained(folder)
    shorter.save_pretrained(folder.parent / "OTHER")
    return PythiaLM if request.param == "pythia" else MambaLM, folder


def load(layout, **options):
    adapter, folder = layout
    return adapter(pretrained=str(folder), **({"device": "cpu"} | options))


def refusal(layout, **options):
    with pytest.raises(UserError) as caught:
        load(layout, **options)
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_no_argument_of_hflm_is_overlooked():
    named = inspect.signature(HFLM.__init__).parameters.keys() - {"self", "kwargs"}
    assert (
        named <= FOLLOWED.keys() | NOT_SUPPORTED.keys() | ONLY_PARALLEL.keys() | WITH_TESTS_OF_THEIR_OWN | HANDED_OVER
    )


@pytest.mark.parametrize("name", FOLLOWED)
def test_what_is_followed_has_its_effect(name, layout):
    options, look = FOLLOWED[name]
    if name == "tokenizer":
        options = {"tokenizer": str(layout[1].parent / "OTHER")}
    assert look(load(layout, **options)) != look(load(layout))


@pytest.mark.parametrize("name", NOT_SUPPORTED)
def test_what_no_adapter_supports_is_refused_with_what_to_do_instead(name, layout):
    assert refusal(layout, **{name: NOT_SUPPORTED[name]}).startswith(f"{name}= is not supported; ")


@pytest.mark.parametrize(
    ("misspelt", "meant"), [("batchsize", "batch_size"), ("max_lenght", "max_length"), ("drafts", "draft")]
)
def test_a_misspelt_argument_is_refused_with_its_neighbour_before_anything_is_loaded(
    misspelt, meant, layout, monkeypatch
):
    monkeypatch.setattr(HFLM, "_get_config", None)
    assert refusal(layout, **{misspelt: 8}) == f"{misspelt}=: there is no such argument; did you mean {meant}=?"


def test_an_entry_of_the_config_is_no_misspelling(neox_folder, tmp_path):
    folder = shutil.copytree(neox_folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"patch_size": 4}))
    assert PythiaLM(pretrained=str(folder), device="cpu", patch_size=8).model.config.patch_size == 8


@pytest.mark.parametrize("name", ONLY_PARALLEL)
def test_what_spreads_a_model_is_refused_where_it_is_not_spread(name, layout):
    assert "with parallelize=True only" in refusal(layout, **{name: ONLY_PARALLEL[name]})


def test_a_spread_model_has_no_device_of_its_own(layout):
    assert "leave out one of the two" in refusal(layout, parallelize=True, device="cpu")


@pytest.mark.parametrize("name", ONLY_TRANSFORMERS_LAYOUT)
def test_what_transformers_would_get_is_refused_for_the_state_spaces_layout(name, state_spaces_folder):
    line = refusal((MambaLM, state_spaces_folder(MAMBA1)), **{name: ONLY_TRANSFORMERS_LAYOUT[name]}, device=None)
    assert line.startswith(f"{name}= is for transformers' layout only")


def test_what_transformers_gets_has_its_effect(neox_folder, tmp_path):
    layout = (PythiaLM, neox_folder)
    assert load(layout, attn_implementation="eager").model.config._attn_implementation == "eager"
    spread = load(layout, parallelize=True, device=None, max_cpu_memory=110_000, offload_folder=str(tmp_path))
    assert "disk" in spread.model.hf_device_map.values()
    assert answer(spread) == answer(load(layout))
    assert "'no_such_argument'" in refusal(layout, no_such_argument=1)
    assert "not_there" in refusal(layout, attn_implementation="not_there")


def test_a_checkpoint_in_a_subfolder(layout):
    adapter, folder = layout
    assert load((adapter, folder.parent), subfolder=folder.name).model.device.type == "cpu"


def test_a_folder_has_no_revisions(layout):
    assert load(layout, revision="main").revision == "main"
    assert "a folder has no revisions" in refusal(layout, revision="step3000")


def test_the_layout_is_what_config_json_says(layout):
    if layout[0] is PythiaLM:
        pytest.skip("is_hf is an argument of mamba_ssm")
    is_hf = layout[1].name == "transformers"
    assert load(layout, is_hf=is_hf).model
    assert "leave is_hf out" in refusal(layout, is_hf=not is_hf)


@pytest.mark.parametrize(
    "given",
    [{"softmax_dtype": "flaot32"}, {"mixed_precision_dtype": "int8"}, {"batch_size": "many"}, {"batch_size": 0},
     {"enable_thinking": True}],
)  # fmt: skip
def test_what_cannot_be_understood(given, layout):
    assert refusal(layout, **given).startswith("{}={}: ".format(*next(iter(given.items()))))


@pytest.mark.parametrize(
    "given", [{"revision": "step3000"}, {"subfolder": "x"}, {"device": "cpu"}, {"dtype": "bfloat16"},
              {"parallelize": True}, {"peft": "x"}, {"trust_remote_code": True}, {"hidden_act": "gelu"}],
)  # fmt: skip
@pytest.mark.parametrize("adapter", [MambaLM, PythiaLM])
def test_a_loaded_model_can_no_longer_follow_what_concerns_loading(given, adapter, neox_folder, tokenizer):
    model = load((PythiaLM, neox_folder)).model
    with pytest.raises(UserError, match="loaded already"):
        adapter(pretrained=model, tokenizer=tokenizer, **given)


def test_a_loaded_mamba_can_be_passed(state_spaces_folder):
    loaded = load((MambaLM, state_spaces_folder(MAMBA1)))
    again = MambaLM(pretrained=loaded.model, tokenizer=loaded.tokenizer)
    assert torch.equal(logits_after_each(again, PROMPTS[0]), logits_after_each(loaded, PROMPTS[0]))
