"""A rejected token leaves no trace in a state, and recurrent layers compute the same in short chunks."""

import pytest
import torch

from copy_eval.model_adapters.forward import CachedModel
from copy_eval.model_adapters.hybrid import HybridRun, shorten_chunks
from copy_eval.model_adapters.pythia import PythiaLM
from tests.model_adapters.architectures import build_model

TEXT = torch.arange(2, 92)[None]


@torch.no_grad()
@pytest.mark.parametrize("right", range(5))
def test_whatever_is_right_of_a_draft_the_next_logits_are_those_of_the_whole_text(right):
    model = CachedModel(build_model("bamba"), torch.device("cpu"))
    prompts, drafts = [[5, 6, 7, 8], [9, 10]], []
    run = HybridRun(model, pad_token=0, takes_drafts=True)
    for prompt in prompts:  # the second row's draft is right as a whole
        text = list(prompt)
        for _ in range(4):
            text.append(int(model.from_the_start(text)[-1].argmax()))
        drafts.append(text[len(prompt) :])
    drafts[0][right:] = [(token + 1) % 250 for token in drafts[0][right:]]

    run.logits(prompts, drafts)
    run.keep([0, 1], [right, 4])
    found = run.logits([[20], [21]], [[], []])

    texts = [[*prompts[0], *drafts[0][:right], 20], [*prompts[1], *drafts[1], 21]]
    for (logits,), text in zip(found, texts, strict=True):
        assert torch.allclose(logits, model.from_the_start(text)[-1], atol=1e-4)


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


def test_a_model_computes_in_short_chunks_on_a_cpu_but_one_that_was_passed_in_stays_as_it_is(tokenizer, tmp_path):
    network = build_model("bamba", mamba_chunk_size=256)
    PythiaLM(pretrained=network, tokenizer=tokenizer)
    assert chunks(network) == [256]
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert chunks(PythiaLM(pretrained=str(tmp_path), device="cpu").model) == [32]
