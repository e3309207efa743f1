"""Recurrent layers compute the same in short chunks."""

import pytest
import torch

from copy_eval.model_adapters.hybrid import shorten_chunks
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.architectures import build_model

TEXT = torch.arange(2, 92)[None]


def chunks(network):
    return [module.chunk_size for module in network.modules() if hasattr(module, "chunk_size")]


@torch.no_grad()
@pytest.mark.parametrize(("name", "entry"), [("bamba", "mamba_chunk_size"), ("nemotron_h", "chunk_size")])
def test_long_chunks_become_short_ones_that_give_the_same_logits(name, entry):
    network = build_model(name, **{entry: 256})
    expected = network(TEXT).logits
    assert set(chunks(network)) == {256}

    shorten_chunks(network)

    assert set(chunks(network)) == {32}
    assert torch.allclose(network(TEXT).logits, expected, atol=1e-4)


def test_short_chunks_and_those_of_other_layers_stay():
    network = build_model("bamba")
    network.model.layers[1].chunk_size = 256
    shorten_chunks(network)
    assert chunks(network) == [16, 256]


def test_a_model_on_a_cpu_computes_in_short_chunks(tokenizer):
    network = build_model("bamba", mamba_chunk_size=256)
    PythiaLM(pretrained=network, tokenizer=tokenizer)
    assert chunks(network) == [32]
