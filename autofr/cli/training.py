"""``autofr search`` and ``autofr train``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from autofr.cli.common import LINES, add_landmarks, command
from autofr.exceptions import AutofrError
from autofr.system.torchrun import speaks

LOSSES = (
    "adaface, arcface, combined, cosface, curricularface, elasticface, lfs_softmax, magface, mv_softmax, norm_softmax, "
    "sphereface2, subcentre_arcface, uniface"
)
REWARDS = "det_area, fnmr"
POLICIES = "exp3, fixed, lfs, lfs_gaussian, optuna, random, thompson"

DEFAULTS = """
Defaults marked * suit sets below 100,000 images; a larger set gets the published recipe: ir50 on 112-pixel images,
20 epochs, batch 256, a step schedule, scale 64."""


def add_commands(commands: Any) -> None:
    """Add this file's commands."""
    _add_search(commands)
    _add_train(commands)


def _add_search(commands: Any) -> None:
    p = command(
        commands,
        "search",
        "Search while training once: the margin loss (and the network) that suits the data.",
        """examples:
  autofr search --space arcface_margins                          drawn faces, minutes
  autofr search --space arcface_margins --data faces/ --epochs 12
  autofr search --space search_spaces/mine.py --data faces/ --population 8 --policy optuna:TPESampler
  autofr search --resume runs/arcface_margins-20260101-120000
"""
        + DEFAULTS,
    )
    p.set_defaults(run=_search)
    what = p.add_argument_group("what to search, and on what")
    what.add_argument(
        "--space",
        metavar="SPACE",
        help="a .py file, a name in ./search_spaces/, a shipped space, or an "
        "entry point; 'autofr spaces' lists the names. A space file is Python and is executed",
    )
    add_data(what)
    add_population(what, "4, or what --mesh says")
    add_how(p)
    _add_where(p, "runs/SPACE-TIME")


def _add_train(commands: Any) -> None:
    p = command(
        commands,
        "train",
        "Train one network with one loss: a search of one option, in the same loop and run directory.",
        """examples:
  autofr train --loss arcface:0.3 --data faces/
  autofr train --loss elasticface:kind=cos,plus=True --data faces/ --epochs 12
  autofr train --loss "ArcFace(m=0.3)"                           a name from the table of a search; drawn faces
  autofr train --resume runs/train-20260101-120000
"""
        + DEFAULTS,
    )
    p.set_defaults(run=_train)
    what = p.add_argument_group("what to train, and on what")
    what.add_argument("--loss", metavar="NAME[:SETTINGS]", help=f"{LOSSES}; settings by place or as key=value")
    add_data(what)
    add_how(p)
    _add_where(p, "runs/train-TIME")


def add_population(what: Any, usual: str = "4") -> None:
    """How a search chooses; ``usual``: how many members do where none is named."""
    what.add_argument(
        "--policy",
        metavar="NAME[:SETTINGS]",
        help=f"how to choose: {POLICIES}; with settings: lfs:lr=0.1,floor=0.05, optuna:TPESampler (default: thompson)",
    )
    what.add_argument(
        "--population",
        type=int,
        metavar="N",
        help=f"members that train in step, 2 or more (default: {usual})",
    )
    what.add_argument(
        "--explore",
        type=float,
        metavar="SHARE",
        help="share of a generation that every member trains; the winner does the rest alone (default: 1)",
    )
    what.add_argument(
        "--cost",
        choices=("params", "flops", "latency"),
        help="where networks are searched: what error is weighed against (default: flops)",
    )
    what.add_argument(
        "--prefer",
        choices=("accurate", "balanced", "fast"),
        help="where networks are searched: twice the cost must be worth 0, 0.01 or 0.03 of error (default: accurate)",
    )


def add_data(what: Any) -> None:
    """What faces."""
    what.add_argument(
        "--data",
        metavar="DIR",
        help="folder with one sub-folder an identity, faces aligned to the ArcFace "
        "template (default: built-in drawn faces)",
    )
    add_landmarks(what)
    what.add_argument(
        "--validation-identities",
        type=int,
        metavar="N",
        help="identities held back to score on (default: a tenth, 2 to 200)",
    )


def add_how(p: argparse.ArgumentParser) -> None:
    """The recipe, device and seed."""
    how = p.add_argument_group("how to train")
    how.add_argument("--epochs", type=float, metavar="E", help="passes over the training images (default: 12*)")
    how.add_argument("--segment", type=float, metavar="E", help="length of a generation in epochs (default: 1)")
    how.add_argument("--batch-size", type=int, metavar="N", help="images a step (default: 128*)")
    how.add_argument("--lr", type=float, metavar="LR", help="highest learning rate of SGD (default: 0.1)")
    how.add_argument("--momentum", type=float, metavar="M", help="SGD's momentum (default: 0.9)")
    how.add_argument("--weight-decay", type=float, metavar="W", help="SGD's weight decay (default: 5e-4*)")
    how.add_argument("--schedule", choices=("step", "cosine"), help="of the learning rate (default: cosine*)")
    how.add_argument(
        "--warmup",
        type=float,
        metavar="E",
        help="epochs over which learning rate and margins rise from 0 (default: 2*)",
    )
    how.add_argument("--clip", type=float, metavar="G", help="largest gradient norm (default: 5)")
    how.add_argument(
        "--average",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="score, and keep, the mean of the weights over the second half of a segment (default: yes)",
    )
    how.add_argument("--scale", type=float, metavar="S", help="scale of losses that leave it open (default: 24*)")
    how.add_argument(
        "--mask-prob", type=float, metavar="P", help="share of training faces that get a mask (default: 0.2)"
    )
    how.add_argument(
        "--fmr", type=float, metavar="F", help="false match rate of the validation's FNMR (default: 0.01*)"
    )
    how.add_argument(
        "--reward",
        metavar="NAME",
        help=f"what members are compared by, on the validation identities: {REWARDS} (default: det_area)",
    )
    how.add_argument(
        "--backbone",
        metavar="NAME",
        help="ir_mini, ir18, ir34, ir50, ir100, one of them with -w0.5 (widths halved), iresnet or mobilefacenet with "
        "settings (mobilefacenet:width=0.5), or timm/NAME (default: ir_mini*)",
    )
    how.add_argument(
        "--distil",
        type=float,
        metavar="W",
        help="weight of learning from the last generation's best network, for other architectures (default: 0)",
    )
    how.add_argument(
        "--class-rate",
        type=float,
        metavar="R",
        help="Partial FC: share of the classes that a step meets (default: 1)",
    )
    how.add_argument("--precision", choices=("fp32", "bf16", "fp16"), help="of the network (default: fp32)")
    how.add_argument("--compile", action="store_true", default=None, help="have torch.compile make the kernels")
    how.add_argument("--image-size", type=int, metavar="PX", help="side of the images (default: 64*)")
    how.add_argument("--embedding-dim", type=int, metavar="D", help="length of the embedding (default: 128*)")
    how.add_argument("--device", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")
    how.add_argument("--seed", type=int, metavar="N", help="decides everything that is drawn (default: 0)")


def _add_where(p: argparse.ArgumentParser, default: str) -> None:
    where = p.add_argument_group("where to write")
    where.add_argument("--run-dir", metavar="DIR", help=f"a new directory (default: {default})")
    where.add_argument("--resume", metavar="RUN_DIR", help="go on where this run stopped; settings come from it")
    where.add_argument("--no-tracking", action="store_true", help="do not write to MLflow")
    where.add_argument(
        "--mesh",
        metavar="member=M,data=D",
        help="under torchrun: members spread over groups of D ranks, each with a part of the batches and classes "
        "(default: data=1)",
    )


def _search(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_search
    from autofr.engine.api import search

    asked = _asked(arguments, "search")
    if "space" not in asked:
        raise AutofrError("name a search space with --space; 'autofr spaces' lists them")
    found = search(**asked)
    if speaks():
        print_search(found, asked["tracking"])


def _train(arguments: argparse.Namespace) -> None:
    from autofr.cli.tables import print_search
    from autofr.engine.api import train

    asked = _asked(arguments, "train")
    if "loss" not in asked:
        raise AutofrError("name a loss with --loss, such as arcface:0.3")
    found = train(**asked)
    if speaks():
        print_search(found, asked["tracking"])


def _asked(arguments: argparse.Namespace, command: str) -> dict[str, Any]:
    """The arguments given, on top of those of the run that is resumed."""
    from autofr.engine.request import stored_arguments

    given = {
        k: v for k, v in vars(arguments).items() if v is not None and k not in ("run", "resume", "no_tracking", *LINES)
    }
    if arguments.resume:
        if arguments.run_dir:
            raise AutofrError("--resume RUN_DIR names the run directory; leave --run-dir out")
        stored = stored_arguments(Path(arguments.resume), command, given.get("space"))
        given = stored | given | {"run_dir": arguments.resume, "resume": True}
    return given | {"tracking": not arguments.no_tracking}
