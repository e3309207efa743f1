import pytest
import torch
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

from copy_eval.model_adapters.mamba_forward import empty_states, logits_of, take_in

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}


KINDS = {
    "mamba": (MambaForCausalLM, MambaConfig, SIZES),
    "mamba2": (
        Mamba2ForCausalLM,
        Mamba2Config,
        SIZES | {"num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 16},
    ),
}

CHANGES = [
    {"hidden_act": "gelu"}, {"hidden_act": "relu"}, {"hidden_act": "gelu_pytorch_tanh"}, {"use_bias": True},
    {"use_conv_bias": False}, {"layer_norm_epsilon": 0.5}, {"conv_kernel": 2}, {"state_size": 5},
    {"num_hidden_layers": 3}, {"tie_word_embeddings": True}, {"tie_word_embeddings": False},
]  # fmt: skip
CHANGES_OF = {
    "mamba": [*CHANGES, {"expand": 3}, {"time_step_rank": 7}, {"hidden_size": 24}],
    "mamba2": [
        *CHANGES, {"n_groups": 1}, {"n_groups": 4}, {"time_step_limit": (0.5, 0.9)}, {"chunk_size": 4},
        {"head_dim": 16, "num_heads": 4}, {"expand": 4, "num_heads": 16}, {"hidden_size": 16, "num_heads": 4},
    ],
}  # fmt: skip
"""What the forward pass reads in a config."""

WITHOUT_EFFECT = {
    "model_type", "vocab_size", "pad_token_id", "bos_token_id", "eos_token_id",
    "initializer_range", "rescale_prenorm_residual", "time_step_min", "time_step_max", "time_step_floor",
    "time_step_scale", "time_step_init_scheme",
    "use_cache", "use_mambapy", "use_associative_scan",
}  # fmt: skip
"""What it does not: sizes and tokens, the initial weights, and the choice between equal implementations."""


def build(kind, **changes):
    torch.manual_seed(0)
    network, config, options = KINDS[kind]
    model = network(config(**options | changes))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval().requires_grad_(False)


@pytest.fixture(params=KINDS)
def model(request):
    return build(request.param)


def run(model, ids, pieces=None, lengths=None):
    """Take in ``ids`` in pieces of these sizes; return the logits of all and the states."""
    states, logits = empty_states(model, len(ids)), []
    for piece in ids.split(pieces or [ids.shape[1]], dim=1):
        hidden, states = take_in(model, piece, states, lengths)
        logits.append(logits_of(model, hidden))
    return torch.cat(logits, dim=1), states


def test_the_logits_are_those_of_transformers(model):
    ids = torch.randint(50, (3, 41))
    torch.testing.assert_close(run(model, ids)[0], model(ids).logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "changes"), [(kind, each) for kind, all_ in CHANGES_OF.items() for each in all_])
def test_every_entry_of_the_config_is_followed_at_once_and_step_by_step(kind, changes):
    model = build(kind, **changes)
    ids = torch.randint(50, (2, 21))
    expected = model(ids).logits

    for pieces in (None, [1] * 21, [13, 1, 7]):
        torch.testing.assert_close(run(model, ids, pieces)[0], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("kind", "apart"), [("mamba", set()), ("mamba2", {"time_step_rank"})])
def test_no_entry_of_the_config_is_overlooked(kind, apart):
    changed = {name for changes in CHANGES_OF[kind] for name in changes}
    overlooked = KINDS[kind][1].__annotations__.keys() - WITHOUT_EFFECT - changed - apart
    assert overlooked == {"residual_in_fp32"}, "which shows in half precision only"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("in_float32", [True, False])
def test_the_residual_has_the_precision_that_the_config_says(in_float32, kind):
    model = build(kind, residual_in_fp32=in_float32).bfloat16()
    ids = torch.randint(50, (2, 21))
    expected = model.backbone(ids).last_hidden_state

    hidden = take_in(model, ids, empty_states(model, 2))[0]

    assert hidden.dtype == expected.dtype == (torch.float32 if in_float32 else torch.bfloat16)


@pytest.mark.parametrize("pieces", [[1] * 41, [20, 1, 20], [2, 39], [40, 1]])
def test_any_pieces_give_what_the_whole_gives(pieces, model):
    ids = torch.randint(50, (2, 41))
    logits, states = run(model, ids)
    in_pieces, states_after = run(model, ids, pieces)

    torch.testing.assert_close(in_pieces, logits, rtol=1e-4, atol=1e-4)
    for state, after in zip(states, states_after, strict=True):
        torch.testing.assert_close(after, state, rtol=1e-4, atol=1e-4)


def test_what_stands_in_the_padding_has_no_effect_at_all(model):
    ids = torch.randint(50, (4, 12))
    lengths = [12, 7, 1, 0]
    other = ids.clone()
    for row, length in enumerate(lengths):
        other[row, length:] = torch.randint(50, (12 - length,))

    logits, states = run(model, ids, lengths=lengths)
    other_logits, other_states = run(model, other, lengths=lengths)

    for row, length in enumerate(lengths):
        assert torch.equal(logits[row, :length], other_logits[row, :length])
        alone = run(model, ids[row : row + 1, :length])[1] if length else empty_states(model, 1)
        for layer, state in enumerate(states):
            for part in (0, 1):
                assert torch.equal(state[part][row], other_states[layer][part][row])
                torch.testing.assert_close(state[part][row], alone[layer][part][0], rtol=1e-4, atol=1e-4)


def test_the_states_before_are_left_as_they_were(model):
    states = run(model, torch.randint(50, (2, 5)))[1]
    copies = [(conv.clone(), state.clone()) for conv, state in states]
    for tokens in (1, 9):
        take_in(model, torch.randint(50, (2, tokens)), states)
    for state, before in zip(states, copies, strict=True):
        assert torch.equal(state[0], before[0])
        assert torch.equal(state[1], before[1])
