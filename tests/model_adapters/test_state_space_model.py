import pytest
import torch
from transformers import Mamba2Config, Mamba2ForCausalLM, MambaConfig, MambaForCausalLM

from copy_eval.model_adapters.state_space_model import empty_states, logits_of, take_in

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}


@pytest.fixture(params=["mamba", "mamba2"])
def model(request):
    torch.manual_seed(0)
    if request.param == "mamba":
        network = MambaForCausalLM(MambaConfig(**SIZES))
    else:
        network = Mamba2ForCausalLM(Mamba2Config(**SIZES, num_heads=8, head_dim=8, n_groups=2, chunk_size=16))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return network.eval().requires_grad_(False)


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
