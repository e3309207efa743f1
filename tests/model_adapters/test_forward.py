"""A pass over a cache computes the logits that are asked for, and no others."""

import pytest
import torch

from copy_eval.model_adapters.caches import CachedRows, growing_cache
from copy_eval.model_adapters.forward import CachedModel, most_likely
from tests.model_adapters.architectures import build_model

COLUMNS = [range(2, 3), range(39, 40), range(10, 15)]


@pytest.mark.parametrize("name", ["llama", "gemma2", "mpt", "bamba"])
def test_rows_that_end_apart_cost_no_logits_between(name):
    network = build_model(name)
    model = CachedModel(network, torch.device("cpu"))
    ids = torch.arange(5, 125).view(3, 40)
    seen = []
    network.get_output_embeddings().register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0].shape[:-1].numel())
    )
    rows = CachedRows(growing_cache(network.config), [40] * 3, 40)

    with torch.no_grad():
        logits, _ = model(ids, rows.mask(0, torch.device("cpu")), torch.arange(40).repeat(3, 1), rows.cache, COLUMNS)
        assert seen == [7]
        wholes = [model.from_the_start(row) for row in ids.tolist()]

    for got, whole, columns in zip(logits, wholes, COLUMNS, strict=True):
        torch.testing.assert_close(got, whole[list(columns)], atol=1e-4, rtol=1e-4)
    assert most_likely(logits) == [
        whole[list(wanted)].argmax(-1).tolist() for whole, wanted in zip(wholes, COLUMNS, strict=True)
    ]


def test_a_model_without_a_head_of_its_own_gives_the_same_logits():
    network = build_model("llama")
    ids, positions = torch.arange(5, 125).view(3, 40), torch.arange(40).repeat(3, 1)
    with torch.no_grad():
        expected, _ = CachedModel(network, torch.device("cpu"))(ids, torch.ones_like(ids), positions, None, COLUMNS)
        network.get_output_embeddings = lambda: None
        logits, _ = CachedModel(network, torch.device("cpu"))(ids, torch.ones_like(ids), positions, None, COLUMNS)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
