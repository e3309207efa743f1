"""The compiled scan against the recurrence written out in Python."""

import shutil
from importlib.util import find_spec

import pytest
import torch

from copy_eval.model_adapters.mamba_forward import selective_scan
from copy_eval.training.packaged_checkpoints import build_mamba
from copy_eval.training.scan import compiled_scan, hidden_states

compiles = pytest.mark.skipif(
    not (shutil.which("g++") and find_spec("ninja")), reason="compiling the scan takes g++ and the package ninja"
)


def scan_step_by_step(u, delta, a, b, c, state):
    outputs = []
    for t in range(u.shape[1]):
        state = torch.exp(delta[:, t, :, None] * a) * state + (delta[:, t] * u[:, t])[..., None] * b[:, t, None]
        outputs.append((state * c[:, t, None]).sum(-1))
    return torch.stack(outputs, dim=1), state


@pytest.fixture
def inputs():
    """Return what a scan takes, the state before the first token not empty."""
    torch.manual_seed(0)
    rows, length, channels = 2, 37, 8
    return [
        torch.randn(rows, length, channels),
        torch.rand(rows, length, channels) * 0.3,
        -torch.rand(channels, 16) * 8,
        torch.randn(rows, length, 16),
        torch.randn(rows, length, 16),
        torch.randn(rows, channels, 16),
    ]


@compiles
def test_outputs_and_gradients_are_those_of_the_recurrence(inputs):
    learned = inputs[:5]
    for tensor in learned:
        tensor.requires_grad_()
    (ours, after), (reference, state) = compiled_scan(*inputs), scan_step_by_step(*inputs)
    weights = torch.randn(ours.shape)
    torch.testing.assert_close(ours, reference)
    torch.testing.assert_close(after, state)
    gradients = torch.autograd.grad((ours * weights).sum(), learned)
    expected = torch.autograd.grad((reference * weights).sum(), learned)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)


@compiles
def test_the_scan_of_training_is_that_of_evaluation(inputs):
    before = inputs[5].clone()
    for ours, evaluated in zip(compiled_scan(*inputs), selective_scan(*inputs), strict=True):
        torch.testing.assert_close(ours, evaluated)
    assert torch.equal(inputs[5], before)


@compiles
def test_gradients_through_the_model_are_those_of_transformers():
    torch.manual_seed(0)
    model = build_mamba(32)
    tokens = torch.randint(32, (2, 19))
    weights = torch.randn(2, 19, model.config.hidden_size)
    parameters = [parameter for name, parameter in model.named_parameters() if not name.startswith("lm_head")]
    ours, theirs = hidden_states(model, tokens), model.base_model(tokens, use_cache=False).last_hidden_state
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    gradients, expected = (torch.autograd.grad((hidden * weights).sum(), parameters) for hidden in (ours, theirs))
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-3, atol=1e-3)
