"""Everything that needs a GPU, in one go and one report: tests, agreement of the kernels, memory, speed.

    python -m benchmarks.gpu --report gpu.md

Each step is a process of its own, so that one that fails or hangs costs the others nothing; the report is written anew
after each. It needs PyTorch with CUDA, mamba-ssm and causal-conv1d, pytest, and neither the network nor published
weights.
"""

import argparse
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from copy_eval.files import write_whole

_PACKAGES = (
    "copy-eval", "torch", "triton", "mamba-ssm", "causal-conv1d", "flash-attn", "transformers", "lm-eval",
    "accelerate", "tokenizers", "numpy",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One process and its heading in the report."""

    heading: str
    command: tuple[str, ...]


def plan_steps(tokenizer: str) -> list[Step]:
    """Return all steps, the most important ones first."""
    tests = ("pytest", "-q", "-rfEs", "-p", "no:cacheprovider", "-W", "default")
    sizes = ("benchmarks.model_sizes", "--tokenizer", tokenizer, "--device", "cuda")
    return [
        Step("Tests with mamba-ssm", (*tests, "tests/model_adapters/with_mamba_ssm")),
        Step("Tests of each kind of model", (*tests, "-m", "cuda", "tests")),
        Step(
            "Large models, batch 16",
            (*sizes, "--models", "mamba-2.8b", "pythia-2.8b", "mamba2-2.7b", "--weights", "copier",
             "--batch-sizes", "16", "--repeats", "1"),
        ),
        Step(
            "Small models",
            (*sizes, "--models", "mamba-370m", "mamba2-370m", "pythia-410m", "--batch-sizes", "1", "16",
             "--samples", "16", "--repeats", "1", "--tokens", "100"),
        ),
    ]  # fmt: skip


def main() -> int:
    """Run all steps; return 0 if each succeeded, 1 if not, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__.split("\n")[0])
    parser.add_argument("--report", type=Path, default=Path("gpu.md"), help="the file to write")
    parser.add_argument("--tokenizer", default="tiny-pythia", help="a file, folder, hub id or packaged checkpoint")
    parser.add_argument("--minutes", type=float, default=14.5, help="that all steps may take together")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("benchmarks.gpu: this needs a GPU, and PyTorch finds none here", file=sys.stderr)
        return 2
    return run_steps(plan_steps(options.tokenizer), options.report, options.minutes * 60)


def run_steps(steps: Sequence[Step], report: Path, seconds: float) -> int:
    """Run the steps one after the other and write the report; return 0 if each succeeded and 1 if not.

    Args:
        steps: what to run; each command is the name of a Python module and its arguments.
        report: the file to write.
        seconds: for all steps together; what does not fit is cut, and the report says so.
    """
    end = time.monotonic() + seconds
    sections = [f"# copy-eval on a GPU\n\n{describe_machine()}"]
    failed = False
    for step in steps:
        start = time.monotonic()
        outcome, output = run_step(step, max(0.0, end - start))
        failed |= outcome != "succeeded"
        heading = f"## {step.heading}: {outcome} after {time.monotonic() - start:.0f} s"
        sections.append(f"{heading}\n\n`python -m {shlex.join(step.command)}`\n\n```text\n{output.strip()}\n```")
        print(heading, output.strip(), sep="\n", flush=True)
        write_whole(report, "\n\n".join(sections) + "\n")
    return int(failed)


def run_step(step: Step, seconds: float) -> tuple[str, str]:
    """Return how a step ended and what it printed."""
    environment = os.environ | {
        "COPY_EVAL_AUTOLOAD": "0",  # leaves lm-eval its own mamba_ssm, which is a contender
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if step.command[0] == "pytest":
        # The tests compare in float32; Triton would multiply in TF32.
        environment["TRITON_F32_DEFAULT"] = "ieee"
    command = [sys.executable, "-m", *step.command]
    try:
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as cut:
        return "cut", (cut.stdout or b"").decode(errors="replace")
    outcome = "succeeded" if done.returncode == 0 else f"failed with {done.returncode}"
    return outcome, done.stdout.decode(errors="replace")


def describe_machine() -> str:
    """Return the versions of all that decides a figure, as a table."""
    versions = {"Python": platform.python_version(), "CUDA": torch.version.cuda or "none"}
    if torch.cuda.is_available():
        capability = ".".join(map(str, torch.cuda.get_device_capability()))
        versions["GPU"] = f"{torch.cuda.get_device_name()}, compute capability {capability}"
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return "\n".join(
        ["| what | version |", "|---|---|", *(f"| {what} | {version} |" for what, version in versions.items())]
    )


if __name__ == "__main__":
    sys.exit(main())
