"""mamba-ssm as it is: its compiled kernels on a GPU, stand-ins for what is compiled on a CPU.

These tests run apart from the others, since transformers too takes mamba-ssm where it can be imported.
"""

import importlib.util

import pytest
import torch

from tests.model_adapters import graph_on_cpu
from tests.model_adapters.with_mamba_ssm import stand_ins

AT_HAND = importlib.util.find_spec("mamba_ssm") is not None
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

if AT_HAND and DEVICE == "cpu":
    stand_ins.install()  # before transformers' Mamba-2 is imported, which looks for mamba-ssm at that moment


@pytest.fixture(scope="session")
def device():
    return DEVICE


@pytest.fixture(autouse=True)
def graphs(monkeypatch):
    """Let a CPU pass for what kernels run on; give the graphs that are captured there, None on a GPU."""
    if not AT_HAND:
        pytest.skip("mamba-ssm is not here: make test-mamba-ssm brings its Python and runs these")
    monkeypatch.setattr("copy_eval.model_adapters.mamba_kernels.DEVICE_TYPE", DEVICE)
    return graph_on_cpu.install(monkeypatch) if DEVICE == "cpu" else None
