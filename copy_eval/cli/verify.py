"""``copy-eval verify``: says whether every way of running a model gives the answers that the model gives by itself."""

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from copy_eval.errors import UserError

if TYPE_CHECKING:
    from copy_eval.model_adapters.adapter import ExactLM
    from copy_eval.verification.comparing import Verification

_DESCRIPTION = """
Take a small, fixed set of prompts through every way in which this machine can run a model, and compare the answers with
those of the plainest: one prompt at a time, without drafts and without shared prefixes. The ways are a batch, drafts,
shared prefixes, all three together, lm-eval's hf, transformers' Mamba beside the kernels of mamba-ssm, and bfloat16.

Where an answer differs, a pass of the model over the whole text tells a tie, where rounding decides between choices
that are equally good, from a real divergence.

With REFERENCE and ENGINE, nothing is run: the answers that lm-eval logged of an engine (vLLM, SGLang, a server) are
compared with those of a reference to the same prompts. Texts alone cannot tell a tie, so each difference counts as
diverged there, unless --model and --pretrained name the model that judges it.
"""
_EPILOG = """
exit codes: 0 all answers are equal but for ties, 1 a way diverged, 2 it could not be run

examples:
  copy-eval verify --model mamba_ssm --pretrained tiny-mamba
  copy-eval verify --model copy_hf --pretrained EleutherAI/pythia-410m --dtype float16 --junit verify.xml
  copy-eval verify results/reference results/engine
  copy-eval verify results/reference results/engine --model copy_hf --pretrained tiny-pythia --dtype float32
"""


def add_parser(subcommands: Any) -> None:
    """Add the subcommand."""
    parser = subcommands.add_parser(
        "verify",
        help="check that batches, drafts and kernels leave a model's answers as they are",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "reference",
        nargs="?",
        type=Path,
        metavar="REFERENCE",
        help="a folder of logged samples (lm_eval --log_samples, copy-eval run) of one model",
    )
    parser.add_argument("engine", nargs="?", type=Path, metavar="ENGINE", help="another one, to be compared with it")
    parser.add_argument("--model", metavar="ADAPTER", help="copy_hf (pythia) or mamba_ssm")
    parser.add_argument("--pretrained", metavar="NAME", help="hub id, folder, or packaged checkpoint")
    parser.add_argument("--revision", metavar="NAME", help="of the hub repository")
    parser.add_argument("--dtype", help="of the weights, such as float16")
    parser.add_argument("--batch-size", "--batch_size", type=int, default=8, metavar="N", help="default: %(default)s")
    parser.add_argument(
        "--model-args", "--model_args", default="", metavar="KEY=VALUE,...", help="further arguments of the adapter"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="of what is printed")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a test case for each way as JUnit XML")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify, print the outcome, and return the exit code."""
    if options.reference:
        judged = options.model is not None or options.pretrained is not None
        verification = _verify_logged(options.reference, options.engine, _Loader(options) if judged else None)
    else:
        verification = _verify_ways(_Loader(options), options)
    from copy_eval.reports.writing.files import write_files
    from copy_eval.verification.writing import to_json, to_junit, to_terminal

    print(to_json(verification) if options.format == "json" else to_terminal(verification), end="")
    if options.junit:
        write_files(options.junit.parent, {options.junit.name: to_junit(verification).encode()})
    return verification.exit_code


def _verify_ways(load: "_Loader", options: argparse.Namespace) -> "Verification":
    # torch and lm-eval take seconds to import: only what is well asked for pays for them.
    from copy_eval.verification.prompts import make_requests
    from copy_eval.verification.ways import verify_model

    start = time.monotonic()

    def tell(way: str) -> None:
        print(f"[{time.monotonic() - start:5.1f} s] {way}", file=sys.stderr, flush=True)

    return verify_model(options.pretrained, load, make_requests(), options.batch_size, tell)


def _verify_logged(reference: Path, engine: Path | None, load: "_Loader | None") -> "Verification":
    from copy_eval.verification.logged import verify_logged

    if engine is None:
        raise UserError("name two folders of logged samples: those of the reference and those of the engine")
    return verify_logged(reference, engine, load)


class _Loader:
    """Loads the model that the options name."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Read the options.

        Raises:
            UserError: if they name no model that can be verified.
        """
        from lm_eval.utils import simple_parse_args_string

        from copy_eval.adapter_names import MODELS
        from copy_eval.runs.model_entries import read_models
        from copy_eval.runs.yaml_values import Source

        missing = [f"--{name}" for name in ("model", "pretrained") if getattr(options, name) is None]
        if missing:
            raise UserError(f"say what to verify: {' and '.join(missing)} missing")
        if options.model not in MODELS:
            raise UserError(f"--model {options.model}: the ways of {', '.join(MODELS)} can be verified here")
        if options.batch_size < 2:
            raise UserError(f"--batch-size {options.batch_size}: a batch has at least 2 prompts")
        arguments = simple_parse_args_string(options.model_args)
        if "think_end_token" in arguments:
            raise UserError("think_end_token takes the reasoning out of answers, and all of an answer is compared here")
        given = {"adapter": options.model, "pretrained": options.pretrained, "revision": options.revision}
        given |= {"dtype": options.dtype, "model_args": arguments}
        self._entry = read_models([{key: value for key, value in given.items() if value}], Source())[0]

    def __call__(self, **others: Any) -> "ExactLM":
        """Load it, with some arguments instead of its own or beside them."""
        import copy_eval

        copy_eval.register()
        from lm_eval.api.registry import get_model
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()  # the way at work is told already
        arguments = self._entry.arguments(self._entry.revisions[0]) | others
        model: ExactLM = get_model(self._entry.adapter).create_from_arg_obj(arguments)
        return model
