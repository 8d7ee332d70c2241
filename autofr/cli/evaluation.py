"""``autofr evaluate``."""

from __future__ import annotations

import argparse
from typing import Any

from autofr.cli.common import add_landmarks, command, given


def add_commands(commands: Any) -> None:
    """Add this file's commands."""
    p = command(
        commands,
        "evaluate",
        "Verification errors of a trained network on a test set, as it is and with rendered masks.",
        """examples:
  autofr evaluate runs/RUN --data lfw/ --pairs lfw_pairs.txt     LFW's 10 folds
  autofr evaluate runs/RUN/model --data faces/                   all pairs of a folder""",
    )
    p.set_defaults(run=_evaluate)
    p.add_argument(
        "model",
        metavar="RUN_OR_CHECKPOINT",
        help="a run directory, a folder with model.safetensors and config.json, or that .safetensors file",
    )
    p.add_argument("--data", metavar="DIR", required=True, help="folder with one sub-folder an identity")
    p.add_argument(
        "--pairs",
        metavar="TXT",
        help="pairs to compare, in LFW's form, with or without its header line (default: all pairs of DIR)",
    )
    add_landmarks(p)
    p.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add each image's mirrored embedding, as is usual for these protocols (default: --flip)",
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides the rendered masks (default: 0)")
    p.add_argument("--device", default="auto", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")


def _evaluate(arguments: argparse.Namespace) -> None:
    from autofr.evaluation.evaluate import evaluate
    from autofr.report import print_evaluation

    print_evaluation(evaluate(**given(arguments)))
