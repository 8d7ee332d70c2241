"""``autofr study``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autofr.cli.common import LINES, command
from autofr.cli.training import DEFAULTS, add_data, add_how, add_population
from autofr.exceptions import AutofrError


def add_commands(commands: Any) -> None:
    """Add this file's command."""
    p = command(
        commands,
        "study",
        "A study of Optuna around searches: over what members cannot share, such as learning rate or batch size.",
        """examples:
  autofr study --space arcface_margins --data faces/ --epochs 4 --trials 20 --workers 2 \\
      --vary lr 0.02..0.3 log --vary weight-decay 1e-5..1e-3 log --vary batch-size 64 128 256
  autofr study --space arcface_margins --data faces/ --vary backbone ir_mini ir18-w0.5 mobilefacenet
  autofr study --resume runs/study-arcface_margins-20260101-120000 --trials 40
"""
        + DEFAULTS,
    )
    p.set_defaults(run=_study)
    what = p.add_argument_group("what to search, and on what")
    what.add_argument("--space", metavar="SPACE", help="what each trial searches, as for autofr search")
    add_data(what)
    outer = p.add_argument_group("the study")
    outer.add_argument(
        "--vary",
        nargs="+",
        action="append",
        metavar=("NAME", "VALUE"),
        help="an option of 'how to train' and what it may be: an interval LOW..HIGH, with log after it on a "
        "logarithmic scale, or values; may be given several times",
    )
    outer.add_argument("--trials", type=int, metavar="N", help="searches in all (default: 20)")
    outer.add_argument("--workers", type=int, metavar="N", help="processes at the same time (default: 1)")
    outer.add_argument("--sampler", metavar="NAME[:SETTINGS]", help="of Optuna (default: TPESampler)")
    outer.add_argument(
        "--pruner",
        metavar="NAME[:SETTINGS]",
        help="of Optuna, asked after each generation; NopPruner ends none early (default: MedianPruner)",
    )
    add_population(outer)
    add_how(p)
    where = p.add_argument_group("where to write")
    where.add_argument("--study-dir", metavar="DIR", help="a new directory (default: runs/study-SPACE-TIME)")
    where.add_argument("--resume", metavar="DIR", help="go on with this study; settings come from it")
    where.add_argument("--no-tracking", action="store_true", help="do not write to MLflow")


def _study(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_study
    from autofr.studies.run import study

    given = {
        k: v for k, v in vars(arguments).items() if v is not None and k not in ("run", "resume", "no_tracking", *LINES)
    }
    if "vary" in given:
        given["vary"] = _vary(given["vary"])
    if arguments.resume:
        from autofr.studies.run import stored_arguments

        if arguments.study_dir:
            raise AutofrError("--resume DIR names the study's directory; leave --study-dir out")
        stored = stored_arguments(Path(arguments.resume), given.get("space"))
        given = stored | given | {"study_dir": arguments.resume, "resume": True}
    if "space" not in given:
        raise AutofrError("name a search space with --space; 'autofr spaces' lists them")
    tracking = not arguments.no_tracking
    print_study(study(**{"vary": {}, **given}, tracking=tracking), tracking)


def _vary(asked: list[list[str]]) -> dict[str, list[str]]:
    vary: dict[str, list[str]] = {}
    for name, *values in asked:
        field = name.replace("-", "_")
        if not values:
            raise AutofrError(f"--vary {name} says what, but not over which values: --vary {name} LOW..HIGH, or values")
        if field in vary:
            raise AutofrError(f"--vary {name} is given twice")
        vary[field] = values
    return vary
