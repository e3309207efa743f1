"""``copy-eval doctor``: says what works here, and what to do about the rest."""

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from copy_eval import __version__

PACKAGE = Path(__file__).parents[1]
CHECKPOINTS = ("tiny-pythia", "tiny-mamba")

_WIDTH = 100
"""Columns of a terminal."""


@dataclass(frozen=True)
class Finding:
    """What one check found: ``text`` is for people, ``ok`` is false where something required does not work."""

    text: str
    ok: bool = True


def add_parser(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the subcommand to the ``copy-eval`` command line."""
    parser = subcommands.add_parser(
        "doctor",
        help="check the installation",
        description="Check the installation. Exits with 0 if everything required works, with 2 otherwise.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every subcommand is called with its options
    """Print what each check found and return 0, or 2 if something required does not work."""
    print(f"copy-eval {__version__}, Python {platform.python_version()}, {platform.platform()}")
    findings = [_examine(name, check) for name, check in CHECKS.items()]
    print("whether answers are right here, too: copy-eval verify --model mamba_ssm --pretrained tiny-mamba")
    return 0 if all(finding.ok for finding in findings) else 2


def _examine(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        finding = check()
    except Exception as error:  # noqa: BLE001 - whatever is wrong is what the doctor is asked for
        finding = Finding(f"{type(error).__name__}: {error}", ok=False)
    print(_lay_out(f"{'ok  ' if finding.ok else 'FAIL'}  {name:<12} ", finding.text), flush=True)
    return finding


def _lay_out(head: str, text: str) -> str:
    """Put a text behind the head of its line, broken between words where a line is too long for a terminal."""
    width = _WIDTH - len(head)
    lines = [
        part
        for line in text.splitlines()
        for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
    ]
    return head + f"\n{' ' * len(head)}".join(lines)


def _lm_eval() -> Finding:
    return Finding(importlib.metadata.version("lm_eval"))


def _bridge() -> Finding:
    """Load the parts of lm-eval that the bridge waits for, and see whether it took hold of them."""
    if os.environ.get("COPY_EVAL_AUTOLOAD") == "0":
        return Finding("off, because COPY_EVAL_AUTOLOAD=0; copy_eval.register() does the same by hand", ok=False)
    started_with_python = "copy_eval._autoload" in sys.modules
    from copy_eval import _autoload

    if not started_with_python:
        return Finding(
            "not started with Python: site-packages has no copy_eval_autoload.pth; "
            "install copy-eval with pip, or call copy_eval.register()",
            ok=False,
        )
    for module in _autoload.HOOKS:
        importlib.import_module(module)
    missing = sorted(_autoload.HOOKS.keys() - _autoload.connected)
    if _autoload.errors or missing:
        return Finding("; ".join([*_autoload.errors, *(f"{module}: not noticed" for module in missing)]), ok=False)
    return Finding("active, started with Python by copy_eval_autoload.pth")


def _tasks() -> Finding:
    """List our tasks as lm-eval's index sees them, without its own 14,000, which take seconds."""
    from lm_eval.tasks import TaskManager

    ours = TaskManager(include_path=PACKAGE / "tasks", include_defaults=False)
    return Finding(f"{len(ours.all_subtasks)} in {', '.join(ours.all_groups)}", ok=bool(ours.all_subtasks))


def _adapters() -> Finding:
    """Ask lm-eval for the models by name: where the bridge does not answer, its own ``mamba_ssm`` does."""
    from copy_eval.adapter_names import MODELS

    served = {name: _served_by(name) for name in MODELS}
    lines = []
    for name, target in MODELS.items():
        line = f"{name} = {served[name]}"
        if served[name] != target:
            ours = next((alias for alias in MODELS if served[alias] == target), None)
            line += " (not copy-eval's" + (f"; use --model {ours})" if ours else ")")
        lines.append(line)
    return Finding("\n".join(lines), ok=served == MODELS)


def _served_by(name: str) -> str:
    from lm_eval.api.registry import get_model

    try:
        model = get_model(name)
    except ValueError:  # its message lists every model there is
        return "unknown to lm-eval"
    return f"{model.__module__}:{model.__name__}"


def _checkpoints() -> Finding:
    folders = [PACKAGE / "checkpoints" / name for name in CHECKPOINTS]
    missing = [folder.name for folder in folders if not (folder / "config.json").is_file()]
    if missing:
        return Finding(f"missing: {', '.join(missing)}", ok=False)
    return Finding(", ".join(CHECKPOINTS))


def _torch() -> Finding:
    import torch

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no CUDA device, runs on the CPU"
    return Finding(f"{torch.__version__}, {device}")


def _kernels() -> Finding:
    """Import the optional CUDA kernels; a Mamba runs without them, so their absence is no fault."""
    from copy_eval.model_adapters.mamba_kernels import why_no_kernels

    why_not = why_no_kernels()
    if why_not is not None:
        return Finding(f"transformers' Mamba is used: {why_not}")
    packages = ("mamba-ssm", "causal-conv1d")
    return Finding(", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages))


CHECKS: dict[str, Callable[[], Finding]] = {
    "lm-eval": _lm_eval,
    "bridge": _bridge,
    "tasks": _tasks,
    "adapters": _adapters,
    "checkpoints": _checkpoints,
    "torch": _torch,
    "kernels": _kernels,
}
