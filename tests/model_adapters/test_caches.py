"""Rows of a cache stay whole and flush right, whatever is selected, joined or taken back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig
from transformers.cache_utils import DynamicLayer

from copy_eval.model_adapters.caches import (
    CachedRows,
    GrowingLayer,
    GrowingWindowLayer,
    growing_cache,
    is_recurrent,
    join,
)
from tests.model_adapters.architectures import build_model

CONFIG = build_model("falcon_h1", num_hidden_layers=1).config
"""Its layer has keys and values as well as states."""

ROWS = st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=6), min_size=1, max_size=4)


def append(cached, tokens):
    """Take in rows of tokens, padded on the right: the keys are the tokens, the state is their sum."""
    width = max(map(len, tokens))
    keys = (
        torch.tensor([[*row, *[-1] * (width - len(row))] for row in tokens])
        .float()[:, None, :, None]
        .expand(-1, 2, -1, 3)
    )
    layer = cached.cache.layers[0]
    layer.update(keys, 10 * keys)
    sums = torch.tensor([float(sum(row)) for row in tokens])[:, None]
    before = layer.recurrent_states[0]
    layer.update_recurrent_state(sums if before is None else before + sums)
    cached.lengths = [length + len(row) for length, row in zip(cached.lengths, tokens, strict=True)]
    cached.slots += width
    return [width - len(row) for row in tokens]


def read(cached):
    """Return the tokens that each row has in its keys, by what the mask shows."""
    layer = cached.cache.layers[0]
    assert layer.keys.shape == (len(cached.lengths), 2, cached.slots, 3)
    assert (layer.values == 10 * layer.keys).all()
    mask = cached.mask(0, torch.device("cpu")).bool()
    return [keys[0, shown, 0].int().tolist() for keys, shown in zip(layer.keys, mask, strict=True)]


def fill(rows):
    cached = CachedRows(growing_cache(CONFIG), [0] * len(rows), 0)
    spare = append(cached, rows)
    cached.align(range(len(rows)), spare)
    return cached


@given(ROWS, st.data())
def test_padding_and_rejected_tokens_leave_every_row_whole(rows, data):
    cached = fill(rows)
    assert read(cached) == rows
    assert cached.slots == max(map(len, rows))

    more = [data.draw(st.lists(st.integers(1, 99), min_size=1, max_size=4)) for _ in rows]
    rejected = [data.draw(st.integers(0, len(new))) for new in more]
    kept = data.draw(st.lists(st.sampled_from(range(len(rows))), min_size=1, unique=True).map(sorted))
    spare = append(cached, more)
    cached.lengths = [length - count for length, count in zip(cached.lengths, rejected, strict=True)]
    cached.align(kept, [left + count for left, count in zip(spare, rejected, strict=True)])

    assert read(cached) == [rows[row] + more[row][: len(more[row]) - rejected[row]] for row in kept]
    assert cached.slots == max(cached.lengths)


@given(ROWS, st.data())
def test_rows_that_went_on_apart_are_joined_again(rows, data):
    cached = fill(rows)
    order = data.draw(st.permutations(range(len(rows))))
    cut = data.draw(st.integers(0, len(rows) - 1))
    groups = [group for group in (order[:cut], order[cut:]) if group]
    parts = [cached.select(group) for group in groups]
    for number, part in enumerate(parts, start=1):
        append(part, [[number] * number for _ in part.lengths])

    together = join(parts, sorted(range(len(order)), key=order.__getitem__))

    numbers = {row: number for number, group in enumerate(groups, start=1) for row in group}
    expected = [[*row, *[numbers[place]] * numbers[place]] for place, row in enumerate(rows)]
    assert read(together) == expected
    assert together.cache.layers[0].recurrent_states[0][:, 0].tolist() == [sum(row) for row in expected]


def test_what_a_copy_takes_in_leaves_the_original_as_it_was():
    cached = fill([[1, 2], [3]])
    append(cached.select([0, 1]), [[7], [8]])
    append(cached.select([1]), [[9]])
    assert read(cached) == [[1, 2], [3]]
    assert cached.cache.layers[0].recurrent_states[0][:, 0].tolist() == [3, 3]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 3), st.data())
def test_a_layer_holds_what_transformers_own_does_however_it_grows(sizes, rows, data):
    ours, theirs = GrowingLayer(), DynamicLayer()
    for size in sizes:
        keys = torch.rand(rows, 2, size, 3)
        for layer in (ours, theirs):
            found = layer.update(keys, keys[..., :1])
            assert found[0] is layer.keys
        assert torch.equal(ours.keys, theirs.keys)
        assert torch.equal(ours.values, theirs.values)
        change = data.draw(st.sampled_from(["nothing", "crop", "reorder", "cut the beginning"]))
        order = torch.tensor(data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=3)))
        for layer in (ours, theirs):
            if change == "crop":
                layer.crop(-(layer.get_seq_length() // 2))
            if change == "reorder":
                layer.reorder_cache(order)
            if change == "cut the beginning":
                layer.keys, layer.values = layer.keys[:, :, 1:], layer.values[:, :, 1:]
        rows = len(ours.keys)


def test_a_step_does_not_copy_what_a_layer_holds():
    layer = GrowingLayer()
    layer.update(torch.rand(1, 2, 1000, 3), torch.rand(1, 2, 1000, 3))
    places = set()
    for _ in range(64):
        layer.update(torch.rand(1, 2, 1, 3), torch.rand(1, 2, 1, 3))
        layer.crop(-1)
        layer.update(torch.rand(1, 2, 1, 3), torch.rand(1, 2, 1, 3))
        places.add((layer.keys.data_ptr(), layer.values.data_ptr()))
    assert len(places) == 1
    assert layer.keys.shape == (1, 2, 1064, 3)


def test_windows_become_layers_that_keep_every_token():
    cache = growing_cache(AutoConfig.for_model("gemma2"))
    assert {type(layer) for layer in cache.layers} == {GrowingLayer, GrowingWindowLayer}
    assert not is_recurrent(cache)
    assert is_recurrent(growing_cache(CONFIG))


@given(st.integers(1, 6), st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_a_window_shows_what_its_first_new_token_looks_back_on_and_keeps_the_rest(window, widths):
    layer, tokens = GrowingWindowLayer(window), torch.arange(30.0)[None, None, :, None]
    size = 0
    for width in widths:
        seen, hidden = layer.get_mask_sizes(width)
        keys, values = layer.update(tokens[:, :, size : size + width], -tokens[:, :, size : size + width])
        first = max(0, size - window + 1)
        size += width
        assert keys.flatten().tolist() == list(range(first, size))
        assert values.equal(-keys)
        assert (seen, hidden) == (size - first, first)
        assert layer.keys.equal(tokens[:, :, :size])


def test_layers_of_another_kind_are_left_to_their_model():
    config = AutoConfig.for_model("llama")
    config.layer_types = ["no_such_attention"] * config.num_hidden_layers
    assert growing_cache(config) is None


@pytest.mark.parametrize("name", ["deepseek_v32", "deepseek_v4", "glm_moe_dsa", "qwen4_exp_text", "minimax_m3_vl_text"])
def test_layers_that_choose_among_their_keys_are_left_to_their_model(name):
    changes = {"layer_types": ["minimax_m3_sparse"], "num_hidden_layers": 1} if name == "minimax_m3_vl_text" else {}
    assert growing_cache(AutoConfig.for_model(name, **changes)) is None
