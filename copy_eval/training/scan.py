"""The forward pass of training; on a CPU, that of a Mamba-1 is the adapters', with a scan that has a gradient."""

import hashlib
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor
from transformers import MambaForCausalLM, PreTrainedModel

from copy_eval.errors import UserError, first_line
from copy_eval.model_adapters.mamba_forward import empty_states, take_in


def hidden_states(model: PreTrainedModel, tokens: Tensor) -> Tensor:
    """Return what the language modelling head reads, of shape (batch, length, width)."""
    # On CUDA transformers runs mamba-ssm's kernels, where they are installed.
    if isinstance(model, MambaForCausalLM) and tokens.device.type == "cpu":
        return take_in(model, tokens, empty_states(model, len(tokens)), scan=compiled_scan)[0]
    return model.base_model(tokens, use_cache=False).last_hidden_state


def compiled_scan(
    u: Tensor,
    steps: Tensor,
    A: Tensor,  # noqa: N803 (the paper's names)
    B: Tensor,  # noqa: N803
    C: Tensor,  # noqa: N803
    state: Tensor,
) -> tuple[Tensor, Tensor]:
    """Run Mamba-1's recurrence, as ``mamba_forward.selective_scan`` does, with a gradient; compiled on first use.

    The gradient is that of the output; none flows through the states. States of 16 numbers a channel only.
    """
    return _CompiledScan.apply(u, steps, A, B, C, state)  # type: ignore[no-untyped-call]


class _CompiledScan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        inputs = tuple(tensor.float().contiguous() for tensor in inputs)
        ctx.save_for_backward(*inputs)
        output, state = _compiled().forward(*inputs)
        ctx.mark_non_differentiable(state)
        return output, state

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        return (*_compiled().backward(gradient.float().contiguous(), *ctx.saved_tensors), None)


@cache
def _compiled() -> ModuleType:
    """Compile the scan for this machine's CPU, or load what was compiled before.

    Raises:
        UserError: if there is nothing to compile it with.
    """
    from torch.utils import cpp_extension

    # torch looks for ninja on the PATH; the one that was installed with us lies beside this Python.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp-simd"]
    source = Path(__file__).with_name("selective_scan.cpp")
    # torch keeps what it compiled by the name alone, for every checkout on the machine.
    made_for = f"{torch.__version__} {sys.implementation.cache_tag}".encode()
    name = f"copy_eval_selective_scan_{hashlib.sha256(made_for + source.read_bytes()).hexdigest()[:12]}"
    folder = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or cpp_extension.get_default_build_root()) / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "copy_eval.lock"):
            # torch's own lock stays behind when its process is killed, and the next one would wait for ever.
            (folder / "lock").unlink(missing_ok=True)
            return cpp_extension.load(name, [str(source)], extra_cflags=flags, build_directory=str(folder))
    except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
        raise UserError(
            "a Mamba is trained on a CPU with a scan that must be compiled, which takes a C++ compiler and ninja "
            f"(pip install 'copy-eval[training]'): {first_line(error)}"
        ) from error
