"""The models that the benchmark of sizes makes, at a small size."""

import argparse
import re

import pytest
import torch
from lm_eval.models.huggingface import HFLM

import benchmarks.model_sizes
from benchmarks.decoding import CONTENDERS, as_requests, measure
from benchmarks.model_sizes import (
    MAMBA,
    MAMBA2,
    NEOX,
    build_model,
    compare_backends,
    draw_prompts,
    list_words,
    load_tokenizer,
    run_model,
)
from copy_eval.model_adapters.mamba import MambaLM
from copy_eval.model_adapters.pythia import PythiaLM
from copy_eval.model_adapters.state_spaces_layout import write_state_spaces

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 2048}
SHAPES = {PythiaLM: NEOX | SMALL | {"num_attention_heads": 4, "intermediate_size": 128}, MambaLM: MAMBA | SMALL}


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("tiny-pythia")


@pytest.fixture(scope="module")
def order(tokenizer):
    return list_words(tokenizer)


@pytest.fixture(scope="module")
def requests(tokenizer, order):
    return as_requests(draw_prompts(tokenizer, order, 30, 3), {"until": ["\n\n"], "max_gen_toks": 29})


def test_a_text_has_the_tokens_it_is_made_of(tokenizer, order, requests):
    text = requests[1].args[0].split("\n\n")[0]
    assert len(set(order)) == len(order)
    assert tokenizer.encode(text) == order[7:37]


@pytest.mark.parametrize("adapter", SHAPES)
def test_a_copier_copies_whole_texts_and_every_draft_is_right(adapter, tokenizer, order, requests, tmp_path):
    build_model(SHAPES[adapter], order, torch.bfloat16).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ours = adapter(str(tmp_path), device="cpu", dtype="bfloat16")
    hf = HFLM(str(tmp_path), device="cpu", dtype="bfloat16")

    rows = {row.contender: row for row in measure("small", "copier", ours, hf, requests, 3, repeats=1)}

    texts = [request.args[0].split("\n\n")[0].split() for request in requests]
    assert [answer.split() for answer in ours.generate_until(requests, disable_tqdm=True)] == [
        text[1:] for text in texts
    ]
    assert list(rows) == list(CONTENDERS)
    assert rows["drafted"].same_as_hf == "3/3"
    assert rows["drafted"].passes_per_answer <= 2 / 3 < rows["hf"].passes_per_answer


def test_a_random_model_does_not_copy(tokenizer, requests):
    model = build_model(SHAPES[PythiaLM], None, torch.float32)
    answers = PythiaLM(model, tokenizer=tokenizer, batch_size=3).generate_until(requests, disable_tqdm=True)
    for answer, request in zip(answers, requests, strict=True):
        assert not answer.startswith(" ".join(request.args[0].split()[1:3]))


def test_backends_are_compared_on_one_checkpoint_in_the_state_spaces_layout(tokenizer, requests, tmp_path):
    write_state_spaces(build_model(SHAPES[MambaLM], None, torch.float32), tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert "3/3 answers equal" in compare_backends(tmp_path, requests, "cpu")


@pytest.mark.parametrize(
    "shape", [*SHAPES.values(), MAMBA2 | SMALL | {"num_heads": 2}], ids=lambda shape: shape["model_type"]
)
def test_a_model_gives_a_row_a_contender_and_its_memory_beside_a_dry_run(
    shape, tokenizer, tmp_path, monkeypatch, capsys
):
    monkeypatch.setitem(benchmarks.model_sizes.SHAPES, "small", shape)
    options = argparse.Namespace(
        device="cpu", dtype="bfloat16", tokens=30, batch_sizes=[1, 2], samples=2, repeats=1, csv=None
    )
    rows = run_model("small", "copier", tokenizer, tmp_path, options)

    assert [(row.batch_size, row.contender) for row in rows] == [(size, name) for size in (1, 2) for name in CONTENDERS]
    assert {row.same_as_hf for row in rows} <= {"2/2", ""}
    said = capsys.readouterr().out
    (peak, weights), _ = re.findall(r"peak (\d+) MiB; by the dry run (\d+) MiB of weights", said)
    assert 0 < int(weights) <= int(peak), "the process itself takes memory too"
