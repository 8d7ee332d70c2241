"""The command line: parse, call one function, print. One file a group of commands."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from autofr._version import __version__
from autofr.cli import browsing, data, evaluation, masks, study, training
from autofr.cli.common import add_lines
from autofr.exceptions import AutofrError, RankError
from autofr.system.torchrun import speaks


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``autofr``. Returns the exit status: 0, 2 on bad input, 128 and the signal's number when told to stop."""
    arguments = _parser().parse_args(argv)
    from autofr.console import TIMED, printed  # rich, which `autofr --help` does not wait for

    level = logging.DEBUG if arguments.verbose else logging.WARNING if arguments.quiet else logging.INFO
    try:
        with printed(speaks(), level, TIMED if arguments.verbose else "%(message)s"):
            arguments.run(arguments)
    except (AutofrError, OSError) as error:  # OSError: a directory that cannot be written, a full disk
        if speaks() or isinstance(error, RankError | OSError):  # else all ranks would say the same
            print(f"autofr: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        if speaks():
            print("autofr: interrupted", file=sys.stderr)
        return 128 + int(getattr(stopped, "signal", signal.SIGINT))
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of autofr does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autofr: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="autofr", description="AutoML for face recognition that searches while it trains once.")
    parser.add_argument("--version", action="version", version=f"autofr {__version__}")
    add_lines(parser.add_mutually_exclusive_group(), False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for group in (training, study, evaluation, masks, data, browsing):
        group.add_commands(commands)
    return parser
