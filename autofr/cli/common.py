"""What several commands share."""

from __future__ import annotations

import argparse
from typing import Any

LINES = ("quiet", "verbose")
"""Options that every command has; the entry point reads them."""


def command(commands: Any, name: str, help: str, epilog: str) -> argparse.ArgumentParser:
    """A sub-command: ``help`` says what it does, ``epilog`` gives examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    lines = parser.add_mutually_exclusive_group()
    add_lines(lines, argparse.SUPPRESS)
    return parser


def add_lines(group: Any, default: Any) -> None:
    """Add the options on how much is printed, which stand before a command or after it."""
    group.add_argument(
        "--quiet", action="store_true", default=default, help="print warnings and the outcome, no progress"
    )
    group.add_argument(
        "--verbose", action="store_true", default=default, help="print details too, each line with its time"
    )


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the user asked for, as the arguments of the function behind the command. A space that registers networks is
    executed first."""
    if getattr(arguments, "registering", None):
        from autofr.space.load import load_space

        load_space(arguments.registering)
    return {k: v for k, v in vars(arguments).items() if k not in ("run", "registering", *LINES)}


def add_registering(p: Any) -> None:
    """Whose networks the model may be of."""
    p.add_argument(
        "--space",
        dest="registering",
        metavar="FILE",
        help="space file that registers the model's network, if that is one of your own; it is executed",
    )


def add_landmarks(p: Any, more: str = "") -> None:
    """Where landmarks are, and what; ``more`` is added to the help."""
    p.add_argument(
        "--landmarks", metavar="NPZ", help=f"landmarks of each image (default: DIR_landmarks.npz beside DIR){more}"
    )
    p.add_argument(
        "--landmark-scheme",
        metavar="NAME",
        help="what they are: ibug68, wflw98, insightface106, points5, anchors, or COUNT:INDEX,... for others "
        "(default: the file or their number says it)",
    )
