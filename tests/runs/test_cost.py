"""Costs in advance, against counts of real runs."""

from dataclasses import replace

import pytest
from torch.utils.flop_counter import FlopCounterMode

from copy_eval.cli import main
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.runs.architecture import read_architecture
from copy_eval.runs.cost import estimate_suite, format_amount, format_bytes, format_costs
from copy_eval.runs.model_entries import ModelEntry
from copy_eval.runs.suite import Suite, load_suite
from copy_eval.runs.task_loading import load_task
from tests.model_adapters.support import answer


def _cost_and_count(model, task):
    """What a cell is said to cost, and the FLOPs that its real run takes, one prompt after the other."""
    suite = Suite("s", (ModelEntry("m", *model),), (task,), {"num_samples": 3})
    (cost,) = estimate_suite(suite)
    docs = load_task(task, suite.settings).eval_docs
    adapter, pretrained = model
    if adapter == "pythia":
        lm = PythiaLM(pretrained, device="cpu", batch_size=1, attn_implementation="eager")
    else:
        lm = MambaLM(pretrained, device="cpu", batch_size=1, draft=False)
    with FlopCounterMode(display=False) as counter:
        answer(lm, docs["prompt"], max_gen_toks=16)
    return cost, counter.get_total_flops()


def test_flops_of_a_transformer_are_those_of_its_real_run():
    cost, flops = _cost_and_count(("pythia", "tiny-pythia"), "phonebook_copy_10")
    assert cost.flops == pytest.approx(flops, rel=0.01)


def test_flops_of_mamba_are_those_of_its_real_run_and_the_scan_that_no_counter_sees():
    cost, flops = _cost_and_count(("mamba_ssm", "tiny-mamba"), "phonebook_copy_10")
    tokens = sum(cost.lengths.prompts) + sum(cost.lengths.answers)
    # 5 layers of 384 channels with a state of 16: 7 of the 9 FLOPs are no products, nor is our convolution of 4 taps.
    unseen = 5 * 384 * (7 * 16 + 2 * 4) * tokens
    assert cost.flops == pytest.approx(flops + unseen, rel=0.02)


def test_the_cache_is_that_of_a_batch_of_the_longest_prompts_at_its_end():
    pythia, mamba = (
        ModelEntry("m", adapter, name, dtype="bfloat16", batch_size=4)
        for adapter, name in (("pythia", "tiny-pythia"), ("mamba_ssm", "tiny-mamba"))
    )
    suites = [Suite("s", (model,), ("phonebook_copy_10",), {"num_samples": 9}) for model in (pythia, mamba)]
    (attention,), (recurrent,) = map(estimate_suite, suites)
    # Keys and values of 4 layers of width 192, two bytes each.
    assert attention.cache == 4 * (max(attention.lengths.prompts) + attention.lengths.limit) * 4 * 2 * 192 * 2
    # States of 5 layers of 384 channels, 16 numbers each in float32, and the last inputs of the convolution.
    assert recurrent.cache == 4 * 5 * 384 * (16 * 4 + 4 * 2)
    assert attention.weights == 2 * read_architecture("tiny-pythia").parameters
    (one,) = estimate_suite(replace(suites[0], settings={"num_samples": 1}))
    assert attention.cache > 3 * one.cache
    assert "\n1 cell " in format_costs([one])


def test_what_cannot_be_had_is_estimated_or_left_out_with_its_reason():
    models = (ModelEntry("here", "pythia", "tiny-pythia"), ModelEntry("there", "hf", "some/model"))
    # The tests reach no hub, and so neither C4 nor the other model.
    suite = Suite("s", models, ("c4_copy_25", "c4_copy_50", "phonebook_copy_10"), {"num_samples": 2})
    costs = estimate_suite(suite)
    assert [bool(cost.lengths.estimated) for cost in costs] == [True, True, False, True, True, True]
    assert [cost.flops is None for cost in costs] == [False] * 3 + [True] * 3
    table = format_costs(costs)
    assert ["there", "phonebook_copy_10", "2", "~274", "~137", "n/a", "n/a", "n/a"] in map(
        str.split, table.splitlines()
    )
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
    assert lines[0].split() == ["model", "task", "prompts", "tokens", "longest", "FLOPs", "weights", "cache"]
    count = len(load_suite("tiny", {}).cells())
    assert sum(line.startswith(("tiny-pythia ", "tiny-mamba ")) for line in lines) == count
    assert any(line.startswith(f"{count} cells ") for line in lines)
    assert list(tmp_path.iterdir()) == []


def test_amounts_have_three_digits_and_a_unit():
    amounts = [0, 12, 999, 1000, 54321, 3.2e6, 2.5e12, 9.996e14, 7e18]
    assert [format_amount(int(amount)) for amount in amounts] == [
        "0", "12", "999", "1 k", "54.3 k", "3.2 M", "2.5 T", "1 P", "7 E",
    ]  # fmt: skip
    sizes = (3 * 2**10, 2**20, 2**30 - 2**20, 3 * 2**29)
    assert [format_bytes(size) for size in sizes] == ["3 KiB", "1 MiB", "1023 MiB", "1.5 GiB"]
