"""``autofr spaces``, ``autofr ui``, ``autofr sync-tracking`` and ``autofr pick``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autofr.cli.common import add_registering, command, given


def add_commands(commands: Any) -> None:
    """Add this file's commands."""
    _add_spaces(commands)
    _add_ui(commands)
    _add_sync(commands)
    _add_pick(commands)


def _add_spaces(commands: Any) -> None:
    p = command(
        commands,
        "spaces",
        "List the search spaces that --space takes by name, one line each.",
        "Looked for in ./search_spaces/, then among those shipped, then in entry points of group autofr.search_spaces.",
    )
    p.set_defaults(run=_spaces)


def _add_ui(commands: Any) -> None:
    p = command(
        commands,
        "ui",
        "Open MLflow's UI on the runs, on this machine only.",
        "With MLFLOW_TRACKING_URI set, it shows that store.",
    )
    p.set_defaults(run=_ui)
    p.add_argument(
        "runs",
        nargs="?",
        default="runs",
        metavar="DIR",
        help="a run directory, or the folder of several (default: runs)",
    )
    p.add_argument("--port", type=int, default=5000, metavar="N", help="(default: 5000)")
    p.add_argument("--host", default="127.0.0.1", metavar="H", help="(default: 127.0.0.1, loopback)")


def _add_sync(commands: Any) -> None:
    p = command(
        commands,
        "sync-tracking",
        "Fill in what MLflow missed of a search: it was down, slow, or not wanted.",
        "MLflow then shows the same as if it had been there all along. With MLFLOW_TRACKING_URI set, it is that store.",
    )
    p.set_defaults(run=_sync_tracking)
    p.add_argument("run_dir", metavar="RUN_DIR", help="the search, or the study, finished or not")


def _add_pick(commands: Any) -> None:
    p = command(
        commands,
        "pick",
        "Take another network of a search's Pareto set for its model/, and show the set.",
        "For twice the cost, accurate asks nothing, balanced 0.01 less error, fast 0.03. All of them lie in pareto/.",
    )
    p.set_defaults(run=_pick)
    p.add_argument("run_dir", metavar="RUN_DIR", help="a search over networks, done or stopped")
    add_registering(p)
    p.add_argument("--prefer", required=True, choices=("accurate", "balanced", "fast"))


def _spaces(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_spaces

    print_spaces()


def _ui(arguments: argparse.Namespace) -> None:
    from autofr.tracking.ui import open_ui

    open_ui(Path(arguments.runs), arguments.host, arguments.port)


def _sync_tracking(arguments: argparse.Namespace) -> None:
    from autofr.studies.mirror import sync_study
    from autofr.studies.plan import FILE
    from autofr.tracking.sync import sync_tracking

    folder = Path(arguments.run_dir)
    print(sync_study(folder) if (folder / FILE).is_file() else sync_tracking(folder))


def _pick(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_pareto
    from autofr.runs.pick import pick

    print_pareto(pick(**given(arguments)))
