"""``copy-eval train``: trains small models from scratch, and goes on where an earlier run stopped."""

import argparse
import sys
from pathlib import Path
from typing import Any

from copy_eval.errors import UserError
from copy_eval.packaged import packaged_checkpoints
from copy_eval.training.experiment import SIZES, load_experiment, packaged_experiments

_DESCRIPTION = """
Train the models of an experiment from scratch: each architecture with each seed, on the same examples. On a CPU, as
many are trained at a time as there are cores; OMP_NUM_THREADS=1 trains one after the other.

EXPERIMENT is a YAML file or one of the packaged experiments:
{experiments}.

DIR gets a folder for each model, with checkpoints that every adapter loads, and suites for copy-eval run, which
evaluate all checkpoints as trajectories over training examples. What is done is skipped by the next run, and a model
that was interrupted goes on to the same weights.

In the place of EXPERIMENT, {checkpoints} names a checkpoint that the package carries: it is trained
anew, to DIR/NAME.
"""
_EPILOG = """
exit codes: 0 every model is trained, 1 the loss of a model is no number any more, 2 bad input, a full disk or GPU, or a
folder of something else, 130 stopped

examples:
  copy-eval train data-efficiency --out models
  copy-eval run models/suite-string_copy.yaml --out results
  copy-eval report results --out report
  copy-eval train my-experiment.yaml --size paper --out models
  copy-eval train tiny-pythia --out checkpoints
"""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "train",
        help="train small models on synthetic tasks",
        description=_DESCRIPTION.format(
            experiments=", ".join(packaged_experiments()), checkpoints=" or ".join(packaged_checkpoints())
        ),
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("experiment", metavar="EXPERIMENT", help="a YAML file or a packaged experiment")
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder of the checkpoints; a new one, or one to go on in",
    )
    parser.add_argument(
        "--size",
        choices=SIZES,
        default="cpu",
        help="cpu: models of 0.8 million parameters; paper: of 157 million, on a GPU (default: %(default)s)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train what is left, and return 1 if a model diverged."""
    checkpoint = options.experiment in packaged_checkpoints()
    if checkpoint and options.size != "cpu":
        raise UserError(f"{options.experiment} has one size: leave out --size")
    if not checkpoint:
        name, experiment = load_experiment(options.experiment, options.size)
    # torch takes seconds to import: an experiment that cannot be read is told before.
    from copy_eval.training.experiment_folder import train_checkpoint, train_experiment

    try:
        if checkpoint:
            outcome = train_checkpoint(options.experiment, options.out)
        else:
            outcome = train_experiment(name, experiment, options.size, options.out)
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the models that are left", file=sys.stderr)
        return 130
    print(
        f"trained: {outcome.trained}, done before: {outcome.done_before}, failed: {outcome.failed}; "
        f"checkpoints in {options.out}"
    )
    for suite in outcome.suites:
        print(f"to evaluate them: copy-eval run {suite} --out RESULTS")
    return 1 if outcome.failed else 0
