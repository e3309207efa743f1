import inspect

import pytest
from lm_eval.models.huggingface import HFLM

from copy_eval.measurement import UNKNOWN, adapter_of, describe_differences, requested_setup, setup_of, share_weights


def test_a_setup_holds_what_can_change_an_answer():
    asked = {"pretrained": "m", "revision": "step1", "dtype": "float16", "load_in_8bit": True, "device": "cuda:1"}
    assert requested_setup("hf", asked) == {"adapter": "hf", "dtype": "float16", "load_in_8bit": "True"}


@pytest.mark.parametrize(
    "said",
    [{"dtype": "auto"}, {"load_in_8bit": False}, {"load_in_8bit": 0}, {"peft": None}, {"tokenizer": ""}, {"draft": 0}],
)
def test_what_only_says_the_default_is_no_facet(said):
    assert requested_setup("pythia", {"pretrained": "m"} | said) == requested_setup("pythia", {"pretrained": "m"})


@pytest.mark.parametrize("said", ["enable_thinking", "add_bos_token", "use_kernels", "tokenized_requests"])
def test_false_is_said_where_its_absence_is_something_else(said):
    assert requested_setup("hf", {"pretrained": "m", said: False}) == {"adapter": "hf", said: "False"}


def test_the_weights_of_an_adapter_are_part_of_the_weights():
    one, other = (setup_of({"model": "hf", "model_sha": "b", "peft_sha": sha}, {"peft": "p"}) for sha in ("x", "y"))
    assert (one["weights"], other["weights"]) == ("b+x", "b+y")


def test_arguments_that_lm_eval_reads_from_text_are_the_same_as_typed_ones():
    assert requested_setup("hf", {"max_length": "64"}) == requested_setup("hf", {"max_length": 64})
    assert requested_setup("hf", {"a": {"b": 1, "c": 2}}) == requested_setup("hf", {"a": {"c": 2, "b": 1}})


def test_the_base_model_of_an_adapter_of_peft_is_part_of_the_setup():
    assert requested_setup("hf", {"pretrained": "base", "peft": "mine"}) == {"adapter": "hf", "pretrained": "base"}


def test_arguments_that_spread_a_model_over_gpus_are_no_facet():
    assert requested_setup("hf", dict.fromkeys(("parallelize", "tp_size", "tensor_parallel_size"), 2)) == {
        "adapter": "hf"
    }


def test_every_argument_of_lm_evals_model_counts_unless_it_is_known_to_have_no_effect():
    without = {
        name for name in inspect.signature(HFLM.__init__).parameters if len(requested_setup("hf", {name: "x"})) == 1
    }
    assert without == {
        "pretrained", "peft", "delta", "revision",  # which model it is
        "device", "batch_size", "max_batch_size", "parallelize", "max_memory_per_gpu", "max_cpu_memory",
        "offload_folder", "logits_cache", "tp_plan",
    }  # fmt: skip


def test_what_a_run_came_to_stands_in_the_place_of_what_it_asked_for():
    config = {
        "model": "pythia",
        "model_dtype": "torch.float32",
        "weights_sha256": "ab",
        "copy_eval": {"adapter": "pythia"},
    }
    setup = setup_of(config, {"pretrained": "m", "dtype": "auto"}, chat_template="cd")
    assert setup == {"adapter": "pythia", "dtype": "float32", "weights": "ab", "chat_template": "cd"}


@pytest.mark.parametrize(
    ("config", "adapter"),
    [
        ({"model": "mamba_ssm"}, "lm-eval's mamba_ssm"),
        ({"model": "mamba_ssm", "copy_eval": {"adapter": "mamba_ssm"}}, "mamba_ssm"),
        ({"model": "copy_eval_mamba_ssm", "copy_eval": {"adapter": "mamba_ssm"}}, "mamba_ssm"),
        ({"model": "vllm"}, "vllm"),
    ],
)
def test_the_adapter_that_ran_is_named(config, adapter):
    assert adapter_of(config) == adapter


def test_a_run_that_does_not_say_its_weights_takes_part_where_only_one_is_known():
    assert share_weights([{"a": "1"}, {"weights": "x"}]) == [{"weights": "x", "a": "1"}, {"weights": "x"}]
    assert share_weights([{"a": "1"}, {"b": "1"}]) == [{"a": "1"}, {"b": "1"}]
    named = [setup["weights"] for setup in share_weights([{}, {"weights": "x"}, {"weights": "y"}])]
    assert named == [UNKNOWN, "x", "y"]


def test_only_what_differs_is_named():
    setups = [
        {"adapter": "hf", "dtype": "float16", "max_length": "64", "chat_template": "f" * 64},
        {"adapter": "hf", "dtype": "bfloat16", "max_length": "64"},
        {"adapter": "hf", "dtype": "float16", "max_length": "64", "peft": "x"},
    ]
    assert describe_differences(setups) == ["float16, chat template", "bfloat16", "float16, peft=x"]
    assert describe_differences(setups[:1]) == [""]
    two_templates = [{"chat_template": "a" * 64}, {"chat_template": "b" * 64}]
    assert describe_differences(two_templates) == ["chat template aaaaaaaa", "chat template bbbbbbbb"]
