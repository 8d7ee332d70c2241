"""What several commands share."""

from __future__ import annotations

import argparse
from typing import Any


def command(commands: Any, name: str, help: str, epilog: str) -> argparse.ArgumentParser:
    """A sub-command: ``help`` says what it does, ``epilog`` gives examples."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


def given(arguments: argparse.Namespace) -> dict[str, Any]:
    """What the user asked for, as the arguments of the function behind the command."""
    return {k: v for k, v in vars(arguments).items() if k != "run"}


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
