"""Costs in advance, against counts of real forward passes and the published sizes of real models."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPTNeoXForCausalLM, Mamba2Config, Mamba2ForCausalLM

from copy_eval.cli import main
from copy_eval.errors import UserError
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.packaged import PACKAGED
from copy_eval.runs.architecture import Architecture, describe, read_architecture
from copy_eval.runs.cost import estimate_suite, forward_flops, peak_memory
from copy_eval.runs.cost_table import format_amount, format_bytes, format_costs
from copy_eval.runs.prompt_lengths import PromptLengths, expect_tokens
from copy_eval.runs.suite import ModelEntry, Suite
from copy_eval.runs.suite_file import load_suite
from copy_eval.runs.task_names import tasks_by_name

NEOX = {
    "model_type": "gpt_neox", "vocab_size": 50304, "hidden_size": 1024, "num_hidden_layers": 24,
    "num_attention_heads": 16, "intermediate_size": 4096, "max_position_embeddings": 2048, "torch_dtype": "float16",
}  # fmt: skip
LLAMA = {
    "model_type": "llama", "vocab_size": 32000, "hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32,
    "num_key_value_heads": 4, "intermediate_size": 5632, "max_position_embeddings": 2048, "dtype": "bfloat16",
}  # fmt: skip
MAMBA = {
    "d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {}, "rms_norm": True, "residual_in_fp32": True,
    "fused_add_norm": True, "pad_vocab_size_multiple": 8,
}  # fmt: skip
MAMBA2 = MAMBA | {
    "ssm_cfg": {"layer": "Mamba2"}, "d_intermediate": 0, "attn_layer_idx": [], "attn_cfg": {},
    "pad_vocab_size_multiple": 16, "tie_embeddings": True,
}  # fmt: skip
HYBRID = MAMBA2 | {
    "attn_layer_idx": [9, 18, 27, 36, 45, 56],
    "attn_cfg": {
        "causal": True, "d_conv": 4, "head_dim": 128, "num_heads": 30, "out_proj_bias": False, "qkv_proj_bias": False,
        "rotary_emb_dim": 64,
    },
}  # fmt: skip
"""As in the config.json of pythia-410m, TinyLlama-1.1B, mamba-2.8b, mamba2-2.7b and mamba2attn-2.7b."""


@pytest.mark.parametrize(
    ("config", "state_spaces", "parameters"),
    [
        (NEOX, False, 405_334_016),  # Biderman et al. 2023, table 1
        (NEOX | {"hidden_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 10240},
         False, 2_775_208_960),  # the same
        (LLAMA, False, 1_100_048_384),  # the safetensors of TinyLlama-1.1B
        (MAMBA, True, 2_768_345_600),  # the safetensors of mamba-2.8b-hf
        (MAMBA2, True, 2_702_599_680),  # the tensors of mamba2-2.7b
    ],
)  # fmt: skip
def test_parameters_are_those_of_the_published_models(config, state_spaces, parameters):
    assert describe(config, state_spaces, "a checkpoint").parameters == parameters


@pytest.mark.parametrize("name", ["tiny-pythia", "tiny-mamba"])
def test_parameters_of_the_packaged_checkpoints_are_those_of_their_weights(name):
    from safetensors import safe_open

    with safe_open(PACKAGED / name / "model.safetensors", "pt") as file:
        # The head is the embedding once more.
        shapes = [file.get_slice(key).get_shape() for key in file.keys() if key != "lm_head.weight"]  # noqa: SIM118
    assert read_architecture(name).parameters == sum(torch.Size(shape).numel() for shape in shapes)


def test_a_hybrid_swaps_mamba_layers_for_attention_layers():
    hybrid, without = describe(HYBRID, True, "a"), describe(MAMBA2 | {"n_layer": 58}, True, "b")
    # in_proj of 11,520 rows, its convolution with a bias, out_proj, and the norm of each of the six
    layer = 2560 * 11520 + 11520 * 5 + 3840 * 2560 + 2560
    assert hybrid.parameters - without.parameters == 6 * layer
    assert (hybrid.queries, hybrid.cached) == (6 * 3840, 6 * 2 * 3840)
    gated = describe(MAMBA2 | {"d_intermediate": 6000}, True, "c")
    assert gated.parameters - describe(MAMBA2, True, "d").parameters == 64 * (3 * 2560 * 6016 + 2560)


def test_heads_that_share_keys_leave_less_in_the_cache():
    model = describe(LLAMA, False, "a checkpoint")
    assert (model.queries, model.cached) == (22 * 2048, 22 * 2 * 256)


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"model_type": "mixtral"}, "the work of layers such as model.layers.0.mlp.experts.gate_up_proj of a mixtral"),
        ({"model_type": "nonsense"}, "this transformers does not know a nonsense"),
        (MAMBA2 | {"ssm_cfg": {"layer": "Mamba9"}}, "its layers are Mamba9; known are Mamba1 and Mamba2"),
        ({"model_type": "gpt_neox", "num_attention_heads": 7}, "its config.json is not understood"),
        (HYBRID | {"attn_cfg": {}}, "its config.json is not understood"),
    ],
)
def test_a_config_that_cannot_be_told_is_one_line(config, line, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"^(pretrained=)?{tmp_path}: {line}"):
        read_architecture(str(tmp_path))


def test_flops_of_a_transformer_are_those_of_a_real_pass():
    model = read_architecture("tiny-pythia")
    network = GPTNeoXForCausalLM.from_pretrained(
        PACKAGED / "tiny-pythia", dtype=torch.float32, attn_implementation="eager"
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 400, dtype=torch.long), logits_to_keep=10)
    # The pass computes the half of the attention too that a causal model then hides.
    half = 2 * model.queries * 400 * 399
    assert forward_flops(model, 390, 10) == counter.get_total_flops() - half


def test_flops_of_mamba_are_those_of_a_real_pass_and_the_scan_that_no_counter_sees():
    model = read_architecture("tiny-mamba")
    network = MambaLM("tiny-mamba", device="cpu")
    with FlopCounterMode(display=False) as counter:
        network._model_call(torch.zeros(1, 200, dtype=torch.long))
    # Of the scan's nine, it sees the two of reading the state; of the convolution, none; and logits of every token.
    channels, layers = 384, 5
    seen = counter.get_total_flops() - 2 * model.width * model.vocabulary * 199
    unseen = layers * channels * (7 * 16 + 2 * 4) * 200
    assert forward_flops(model, 199, 1) == seen + unseen


def test_flops_of_mamba2_are_those_of_a_real_pass_in_chunks():
    config = Mamba2Config(
        vocab_size=300, hidden_size=64, num_hidden_layers=2, num_heads=8, head_dim=16, n_groups=8, state_size=32,
        chunk_size=64,
    )  # fmt: skip
    network = Mamba2ForCausalLM(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        hidden, _ = take_in(network, torch.zeros(1, 256, dtype=torch.long), empty_states(network, 1))
        logits_of(network, hidden[:, -1:])
    model = describe(config.to_dict(), False, "a checkpoint")
    assert forward_flops(model, 255, 1) == pytest.approx(counter.get_total_flops(), rel=0.1)


def test_flops_of_a_cell_are_those_of_its_real_run():
    suite = Suite("s", (ModelEntry("m", "pythia", "tiny-pythia"),), ("phonebook_copy_10",), {"num_samples": 3})
    (cost,) = estimate_suite(suite)
    from copy_eval.runs.evaluate import load_task
    from tests.model_adapters.support import answer

    docs = load_task("phonebook_copy_10", suite.settings).eval_docs
    lm = PythiaLM("tiny-pythia", device="cpu", batch_size=1, attn_implementation="eager")
    with FlopCounterMode(display=False) as counter:
        answers = answer(lm, docs["prompt"], max_gen_toks=16)
    assert [text.strip() for text in answers] == docs["answer"]
    tokens = [prompt + own for prompt, own in zip(cost.lengths.prompts, cost.lengths.answers, strict=True)]
    half = sum(2 * read_architecture("tiny-pythia").queries * count**2 for count in tokens)
    assert cost.flops == pytest.approx(counter.get_total_flops() - half, rel=0.01)


def test_memory_is_weights_cache_states_logits_and_one_layers_work():
    lengths = PromptLengths(prompts=(90, 100), answers=(5, 4), limit=16)
    transformer = Architecture(parameters=1000, matrices=800, width=8, vocabulary=50, alive=30, queries=16, cached=32)
    assert peak_memory(transformer, lengths, 4, 2) == 2 * (1000 + 4 * 116 * 32 + 4 * 6 * 50 + 4 * 105 * 30)
    mamba = Architecture(parameters=1000, matrices=800, width=8, vocabulary=50, alive=30, state=64)
    assert peak_memory(mamba, lengths, 4, 2) == 2 * (1000 + 4 * 6 * 50) + 4 * (2 * 4 * 64 + 4 * 105 * 30)
    # A Mamba takes in 8,192 tokens at once, whatever the batch is.
    more = peak_memory(mamba, lengths, 400, 2) - peak_memory(mamba, lengths, 200, 2)
    assert more == 200 * (2 * 6 * 50 + 4 * 2 * 64)


@pytest.mark.parametrize(
    ("task", "prompt", "answer"),
    [
        ("phonebook_copy_10", 130.6, 4.6),
        ("phonebook_copy_1280", 13201.1, 4.6),
        ("phonebook_copy_dashed_160", 2052.7, 6.9),
        ("phonebook_reversed_80", 852.8, 4.6),
        ("c4_copy_25", 55.6, 23.4),
        ("c4_copy_shuffled_600", 1205.4, 598.6),
        ("c4_copy_2400", 4805.5, 2398.5),
        ("squad_by_length_150_200", 214.1, 4.6),
        ("squad_by_length_400_plus", 609.5, 9.1),
    ],
)
def test_lengths_without_data_are_near_the_counted_ones(task, prompt, answer):
    # Counted with the GPT-NeoX tokenizer on the tasks' own data, parts of C4 and of SQuAD.
    expected = expect_tokens(task, {}, "no data")
    assert expected.prompts[0] == pytest.approx(prompt, rel=0.07)
    assert expected.answers[0] - 1 == pytest.approx(answer, abs=5)
    assert len(expected.prompts) == 200


def test_every_task_has_an_estimate():
    for name in {task for tasks in tasks_by_name().values() for task in tasks}:
        lengths = expect_tokens(name, {"num_samples": 3}, "no data")
        assert len(lengths.prompts) == len(lengths.answers) == 3
        assert lengths.limit > lengths.answers[0]


def test_what_cannot_be_had_is_estimated_or_left_out_with_its_reason():
    models = (ModelEntry("here", "pythia", "tiny-pythia"), ModelEntry("there", "hf", "some/model"))
    # The tests reach no hub, and so neither C4 nor the other model.
    suite = Suite("s", models, ("c4_copy_25", "c4_copy_50", "phonebook_copy_10"), {"num_samples": 2})
    costs = estimate_suite(suite)
    assert [bool(cost.lengths.estimated) for cost in costs] == [True, True, False, True, True, True]
    assert [cost.flops is None for cost in costs] == [False] * 3 + [True] * 3
    table = format_costs(costs)
    assert ["there", "phonebook_copy_10", "2", "~274", "~137", "n/a", "n/a"] in map(str.split, table.splitlines())
    assert "n/a there: pretrained=some/model: no such folder, not in the local cache" in table
    assert "~ estimated from the task's length: length_tokenizer=EleutherAI/gpt-neox-20b cannot be had" in table


def test_prompts_that_exceed_the_context_are_marked():
    models = (ModelEntry("short", "pythia", "tiny-pythia", model_args={"max_length": 200}),)
    (cost,) = estimate_suite(Suite("s", models, ("phonebook_copy_20",), {"num_samples": 1}))
    assert cost.context == 200
    assert "! more than the 200 tokens of short: not scored" in format_costs([cost])


def test_a_dry_run_prints_the_cells_and_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "tiny", "--dry-run", "--settings", "num_samples=2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["model", "task", "prompts", "tokens", "longest", "FLOPs", "memory"]
    count = len(load_suite("tiny", {}).cells())
    assert sum(line.startswith(("tiny-pythia ", "tiny-mamba ")) for line in lines) == count
    assert any(line.startswith(f"{count} cells ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_amounts_have_three_digits_and_a_unit():
    amounts = [0, 12, 999, 1000, 54321, 3.2e6, 2.5e12, 9.996e14, 7e18]
    assert [format_amount(int(amount)) for amount in amounts] == [
        "0", "12", "999", "1 k", "54.3 k", "3.2 M", "2.5 T", "1 P", "7 E",
    ]  # fmt: skip
    assert [format_bytes(size) for size in (2**20, 2**30 - 2**20, 3 * 2**29)] == ["1 MiB", "1023 MiB", "1.5 GiB"]
