"""The ``copy-eval`` command: a file per subcommand.

Exit codes: 0 all is well, 1 a check that was asked for says no, 2 bad input or a broken installation.
"""

import argparse
import errno
import os
import sys
from collections.abc import Sequence

from copy_eval import __version__
from copy_eval.cli import compare, doctor, gate, report, run, train, verify
from copy_eval.errors import UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; ``arguments`` are those of the process by default."""
    parser = argparse.ArgumentParser(prog="copy-eval", description="Companion of `lm_eval` for the copy-eval tasks.")
    parser.add_argument("--version", action="version", version=f"copy-eval {__version__}")
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    compare.add_parser(subcommands)
    doctor.add_parser(subcommands)
    gate.add_parser(subcommands)
    report.add_parser(subcommands)
    run.add_parser(subcommands)
    train.add_parser(subcommands)
    verify.add_parser(subcommands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"copy-eval: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        # Nothing more can be printed: the interpreter would complain of what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            return 141  # the reader, such as `head`, has seen enough; a shell counts SIGPIPE so
        print(f"copy-eval: {error.strerror}", file=sys.stderr)
        return 2
    return code
