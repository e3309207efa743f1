"""The compiled scan against the recurrence written out in Python."""

import shutil
from importlib.util import find_spec

import pytest
import torch

from copy_eval.training.selective_scan import selective_scan

pytestmark = pytest.mark.skipif(
    not (shutil.which("g++") and find_spec("ninja")), reason="compiling the scan takes g++ and the package ninja"
)


def scan_step_by_step(u, delta, a, b, c):
    state = torch.zeros(u.shape[0], u.shape[2], a.shape[1])
    outputs = []
    for t in range(u.shape[1]):
        state = torch.exp(delta[:, t, :, None] * a) * state + (delta[:, t] * u[:, t])[..., None] * b[:, t, None]
        outputs.append((state * c[:, t, None]).sum(-1))
    return torch.stack(outputs, dim=1)


def test_outputs_and_gradients_are_those_of_the_recurrence():
    torch.manual_seed(0)
    rows, length, channels = 2, 37, 8
    inputs = [
        torch.randn(rows, length, channels),
        torch.rand(rows, length, channels) * 0.3,
        -torch.rand(channels, 16) * 8,
        torch.randn(rows, length, 16),
        torch.randn(rows, length, 16),
    ]
    for tensor in inputs:
        tensor.requires_grad_()
    weights = torch.randn(rows, length, channels)
    ours, reference = selective_scan(*inputs), scan_step_by_step(*inputs)
    torch.testing.assert_close(ours, reference)
    gradients = torch.autograd.grad((ours * weights).sum(), inputs)
    expected = torch.autograd.grad((reference * weights).sum(), inputs)
    for gradient, wanted in zip(gradients, expected, strict=True):
        torch.testing.assert_close(gradient, wanted, rtol=1e-4, atol=1e-4)
