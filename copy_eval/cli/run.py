"""``copy-eval run``: evaluates models on tasks, all with the same prompts, and goes on where an earlier run stopped."""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_eval.errors import UserError

if TYPE_CHECKING:
    from copy_eval.runs.evaluator import EvaluateAll
    from copy_eval.runs.suite import Suite

_DESCRIPTION = """
Evaluate the models of a suite on its tasks. SUITE is a YAML file or one of the packaged suites: {suites}.
Without it, --model, --pretrained and --tasks say what to evaluate.

The results are lm-eval's own files, a folder for each model and revision. What is done is skipped by the next run.
"""
_EPILOG = """
exit codes: 0 every cell is done, 1 a cell failed (DIR/failures.jsonl says why), 2 bad input, 130 stopped

examples:
  copy-eval run tiny --out results
  copy-eval run paper --dry-run
  copy-eval run my-suite.yaml --out results --settings num_samples=50
  copy-eval run my-suite.yaml --out results --ray
  copy-eval run --model mamba_ssm --pretrained state-spaces/mamba-370m --tasks copy_eval --out results
  copy-eval run --model local-completions --base-url http://localhost:8000/v1/completions \\
    --pretrained EleutherAI/pythia-410m --tasks copy_eval --out results
"""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    from copy_eval.runs.suite import packaged_suites

    parser = subcommands.add_parser(
        "run",
        help="evaluate models on tasks",
        description=_DESCRIPTION.format(suites=", ".join(packaged_suites())),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("suite", nargs="?", metavar="SUITE", help="a YAML file or a packaged suite")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder of the results; a new one, or one to go on in")
    parser.add_argument(
        "--settings", nargs="+", default=[], metavar="KEY=VALUE", help="override settings, such as num_samples=50"
    )
    parser.add_argument(
        "--include-path", "--include_path", metavar="DIR", help="a folder of your own tasks, which come before ours"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="run nothing: list the cells with their prompts, tokens, forward FLOPs, memory of weights and cache",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="evaluate models side by side with Ray, on this machine or the cluster at ADDRESS (auto, HOST:PORT)",
    )
    model = parser.add_argument_group("without a suite")
    model.add_argument("--model", metavar="ADAPTER", help="copy_hf (pythia), mamba_ssm or another of lm-eval's")
    model.add_argument("--pretrained", metavar="NAME", help="hub id, folder, or packaged checkpoint")
    model.add_argument(
        "--base-url", "--base_url", metavar="URL", help="of a server, such as http://localhost:8000/v1/completions"
    )
    model.add_argument("--revision", nargs="+", metavar="NAME", help="one or more revisions on the hub")
    model.add_argument("--dtype", help="of the weights, such as bfloat16")
    model.add_argument("--batch-size", "--batch_size", metavar="N", help="prompts at once, or auto (default: 1)")
    model.add_argument(
        "--model-args", "--model_args", default="", metavar="KEY=VALUE,...", help="further arguments of the adapter"
    )
    model.add_argument("--tasks", metavar="NAMES", help="tasks and groups, separated by commas")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate what is left, and return 1 if a cell failed."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # as lm-eval's own command
    suite = _read_suite(options)
    if options.dry_run:
        return _print_costs(suite)
    if options.ray is not None:
        from copy_eval.runs.ray_pool import check_ray

        check_ray(options.ray)
    if options.out is None:
        raise UserError("name a folder for the results with --out")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("copy-eval run is one process; for data parallelism: accelerate launch -m lm_eval ...")
    from copy_eval.runs.evaluator import run_suite
    from copy_eval.runs.progress import Progress

    with Progress() as progress:
        try:
            failures = run_suite(suite, options.out, progress, _way_of_evaluating(options.ray))
        except KeyboardInterrupt:
            print("stopped; the same command goes on with the cells that are left", file=sys.stderr)
            return 130
    print(
        f"evaluated: {progress.evaluated}, done before: {progress.done_before}, failed: {progress.failed}; "
        f"results in {options.out}"
    )
    return 1 if failures else 0


def _print_costs(suite: "Suite") -> int:
    """Print what the cells will cost, and return 0."""
    from tqdm import tqdm

    from copy_eval.runs.cost import estimate_suite, format_costs

    with tqdm(total=len(suite.cells()), desc="cells", disable=None, leave=False) as bar:
        costs = estimate_suite(suite, on_cell=bar.update)
    print(format_costs(costs))
    return 0


def _way_of_evaluating(address: str | None) -> "EvaluateAll":
    from copy_eval.runs.evaluator import evaluate_in_turn
    from copy_eval.runs.ray_pool import evaluate_with_ray

    return evaluate_in_turn if address is None else partial(evaluate_with_ray, address=address)


def _read_suite(options: argparse.Namespace) -> "Suite":
    from lm_eval.utils import simple_parse_args_string

    from copy_eval.runs.suite import load_suite, suite_of_options

    settings = dict(_read_pair(pair) for pair in options.settings)
    model_args = simple_parse_args_string(options.model_args)
    model = {
        "adapter": options.model,
        "pretrained": options.pretrained,
        "base_url": options.base_url,
        "revision": options.revision,
        "dtype": options.dtype,
        "batch_size": options.batch_size,
        "model_args": model_args or None,
    }
    given = {key: value for key, value in model.items() if value is not None}
    if options.suite is not None:
        if given or options.tasks:
            raise UserError("name either a suite or --model, --pretrained and --tasks, not both")
        return load_suite(options.suite, settings, options.include_path)
    missing = [f"--{name}" for name in ("model", "pretrained", "tasks") if getattr(options, name) is None]
    if missing:
        raise UserError(f"name a suite, or what to evaluate: {', '.join(missing)} missing")
    tasks = [name.strip() for name in options.tasks.split(",")]
    return suite_of_options(given, tasks, settings, options.include_path)


def _read_pair(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise UserError(f"--settings {pair}: write KEY=VALUE")
    return key, value
