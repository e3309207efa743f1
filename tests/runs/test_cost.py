"""Costs in advance, against counts of real forward passes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import GPTNeoXForCausalLM, Mamba2Config, Mamba2ForCausalLM

from copy_eval.cli import main
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.packaged import PACKAGED
from copy_eval.runs.architecture import Architecture, describe, read_architecture
from copy_eval.runs.cost import (
    estimate_suite,
    format_amount,
    format_bytes,
    format_costs,
    forward_flops,
    peak_memory,
)
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.prompt_lengths import PromptLengths
from copy_eval.runs.suite import Suite, load_suite
from copy_eval.runs.task_loading import load_task
from tests.model_adapters.support import answer


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
