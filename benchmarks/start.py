"""Times the start of ``copy-eval run`` beside ``lm_eval``: from the command to the model's first forward pass.

    python -m benchmarks.start

Both evaluate tiny-pythia on one prompt, in turns, each in a process of its own that ends at the first forward pass.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tabulate import tabulate

_UNTIL_THE_FIRST_FORWARD_PASS = """
import os, sys
from torch.nn.modules.module import register_module_forward_pre_hook
register_module_forward_pre_hook(lambda *_: os._exit(0))
"""
_COMMANDS = {
    "lm_eval": (
        "from lm_eval.__main__ import cli_evaluate; cli_evaluate()",
        "run --model pythia --model_args pretrained=tiny-pythia --tasks phonebook_copy_10 --metadata num_samples=1",
    ),
    "copy-eval run": (
        "from copy_eval.cli import main; main()",
        "run --model pythia --pretrained tiny-pythia --tasks phonebook_copy_10 --settings num_samples=1 --out {out}",
    ),
}


def main() -> None:
    """Print a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of each command (default: 5)")
    repeats = parser.parse_args().repeats
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in _COMMANDS}
    for repeat in range(repeats):
        for name in _COMMANDS:
            times[name].append(_time_start(name))
            print(f"{repeat + 1} of {repeats}: {name} {times[name][-1][0]:.1f} s", file=sys.stderr)
    medians = {name: [statistics.median(column) for column in zip(*runs, strict=True)] for name, runs in times.items()}
    theirs, ours = medians.values()
    rows = [*([name, *values] for name, values in medians.items())]
    rows.append(["sooner by", *(their - our for their, our in zip(theirs, ours, strict=True))])
    headers = ["until the first forward pass", "seconds", "CPU seconds"]
    print(tabulate(rows, headers, floatfmt=".1f", tablefmt="github"))


def _time_start(name: str) -> tuple[float, float]:
    """Run one command until its model is called, and return the seconds it took, by the clock and of the CPU."""
    entry, arguments = _COMMANDS[name]
    with tempfile.TemporaryDirectory() as folder:
        script = _UNTIL_THE_FIRST_FORWARD_PASS + entry
        command = [sys.executable, "-c", script, *arguments.format(out=Path(folder, "out")).split()]
        cpu = _cpu_of_children()
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"HF_HUB_OFFLINE": "1"})
        return time.perf_counter() - start, _cpu_of_children() - cpu


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
