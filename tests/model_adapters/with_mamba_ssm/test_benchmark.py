"""The benchmark of model sizes where mamba-ssm is: lm-eval's own adapter takes part, and the backends are compared."""

import argparse
from unittest.mock import MagicMock

import pytest
import torch

from benchmarks import model_sizes
from benchmarks.decoding import CONTENDERS

SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 2048}


@pytest.mark.parametrize("shape", [model_sizes.MAMBA, model_sizes.MAMBA2 | {"num_heads": 8, "head_dim": 16}])
def test_lm_evals_own_adapter_takes_part_and_the_kernels_agree(shape, device, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(model_sizes.SHAPES, "small", shape | SMALL)
    if device == "cpu":
        monkeypatch.setattr(torch.cuda, "Event", MagicMock)  # mamba-ssm's `generate` makes two, for its times
    options = argparse.Namespace(
        device=device, dtype="float32", tokens=20, batch_sizes=[1], samples=2, repeats=1, csv=None
    )
    rows = model_sizes.run_model("small", "random", model_sizes.load_tokenizer("tiny-pythia"), tmp_path, options)

    assert [row.contender for row in rows] == [*CONTENDERS, "mamba_ssm"]
    assert all(row.same_as_hf == "2/2" for row in rows if row.contender != "floor")
    said = capsys.readouterr().out
    assert "mamba-ssm and transformers, float32: 2/2 answers equal" in said
    assert "mamba-ssm and transformers, bfloat16: " in said
