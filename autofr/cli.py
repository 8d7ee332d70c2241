"""The command line: parse, call one function, print."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from autofr import AutofrError, __version__


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``autofr``. Returns the exit status: 0, 2 on bad input, 130 on Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except AutofrError as error:
        print(f"autofr: error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a directory that cannot be written, a full disk
        print(f"autofr: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("autofr: interrupted", file=sys.stderr)
        return 130
    return 0


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as all of autofr does."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"autofr: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="autofr", description="AutoML for face recognition that searches while it trains once.")
    parser.add_argument("--version", action="version", version=f"autofr {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_search(commands)
    _add_evaluate(commands)
    _add_landmarks_command(commands)
    _add_mask(commands)
    _add_spaces(commands)
    _add_ui(commands)
    return parser


def _command(commands: Any, name: str, help: str, epilog: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help, description=help, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    return parser


def _add_search(commands: Any) -> None:
    p = _command(
        commands,
        "search",
        "Search while training once: the margin loss (and the network) that suits the data.",
        """examples:
  autofr search --space arcface_margins                          drawn faces, minutes
  autofr search --space arcface_margins --data faces/ --epochs 12
  autofr search --space search_spaces/mine.py --data faces/ --population 8
  autofr search --resume runs/arcface_margins-20260101-120000

Defaults marked * suit sets below 100,000 images; a larger set gets the published recipe: ir50 on 112-pixel images,
20 epochs, batch 256, a step schedule, scale 64.""",
    )
    p.set_defaults(run=_search)
    what = p.add_argument_group("what to search, and on what")
    what.add_argument(
        "--space",
        metavar="SPACE",
        help="a .py file, a name in ./search_spaces/, a shipped space, or an "
        "entry point; 'autofr spaces' lists the names. A space file is Python and is executed",
    )
    what.add_argument(
        "--data",
        metavar="DIR",
        help="folder with one sub-folder an identity, faces aligned to the ArcFace "
        "template (default: built-in drawn faces)",
    )
    _add_landmarks(what)
    what.add_argument(
        "--validation-identities",
        type=int,
        metavar="N",
        help="identities held back to score on (default: a tenth, 2 to 200)",
    )
    what.add_argument("--policy", metavar="NAME", help="how to choose: lfs, random or fixed (default: lfs)")
    what.add_argument("--population", type=int, metavar="N", help="members that train in step, 2 or more (default: 4)")
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
    how.add_argument("--scale", type=float, metavar="S", help="scale of losses that leave it open (default: 24*)")
    how.add_argument(
        "--mask-prob", type=float, metavar="P", help="share of training faces that get a mask (default: 0.2)"
    )
    how.add_argument(
        "--fmr", type=float, metavar="F", help="false match rate of the validation's FNMR (default: 0.01*)"
    )
    how.add_argument(
        "--backbone",
        metavar="NAME",
        help="ir_mini, ir18, ir34, ir50, ir100, one of them with -w0.5 (widths "
        "halved), or timm/NAME (default: ir_mini*)",
    )
    how.add_argument("--image-size", type=int, metavar="PX", help="side of the images (default: 64*)")
    how.add_argument("--embedding-dim", type=int, metavar="D", help="length of the embedding (default: 128*)")
    how.add_argument("--device", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")
    how.add_argument("--seed", type=int, metavar="N", help="decides everything that is drawn (default: 0)")
    where = p.add_argument_group("where to write")
    where.add_argument("--run-dir", metavar="DIR", help="a new directory (default: runs/SPACE-TIME)")
    where.add_argument("--resume", metavar="RUN_DIR", help="go on where this run stopped; settings come from it")
    where.add_argument("--no-tracking", action="store_true", help="do not write to MLflow")


def _add_landmarks(p: Any) -> None:
    p.add_argument("--landmarks", metavar="NPZ", help="landmarks of each image (default: DIR_landmarks.npz beside DIR)")
    p.add_argument(
        "--landmark-scheme",
        metavar="NAME",
        help="what they are: ibug68, wflw98, insightface106, points5, anchors, or COUNT:INDEX,... for others "
        "(default: the file or their number says it)",
    )


def _add_evaluate(commands: Any) -> None:
    p = _command(
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
    _add_landmarks(p)
    p.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="add each image's mirrored embedding, as is usual for these protocols (default: --flip)",
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides the rendered masks (default: 0)")
    p.add_argument("--device", default="auto", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")


def _add_landmarks_command(commands: Any) -> None:
    p = _command(
        commands,
        "landmarks",
        "Find the largest face of every photograph in a folder and write its landmarks; --align also cuts it out.",
        """examples:
  autofr landmarks photos/ -o faces_landmarks.npz --align faces/    then: autofr search --data faces/ ...
  autofr landmarks faces/ -o faces_landmarks.npz                    landmarks of faces that are cut out already

Stopped and started again, it goes on where it was. Detectors come with extras: pip install 'autofr[landmarks]'
(face-alignment), 'autofr[dlib]' (works without a network).""",
    )
    p.set_defaults(run=_landmarks)
    p.add_argument("folder", metavar="DIR", help="photographs, at any depth")
    p.add_argument("-o", "--output", metavar="NPZ", required=True, help="the file of landmarks to write")
    p.add_argument(
        "--align",
        metavar="OUT",
        help="folder for the faces, 112x112, by the ArcFace template; landmarks are then theirs",
    )
    _add_detector(p)
    p.add_argument("--device", default="auto", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")


def _add_detector(p: Any) -> None:
    p.add_argument(
        "--detector", metavar="NAME", help="face-alignment or dlib (default: the first of them that is installed)"
    )


def _add_mask(commands: Any) -> None:
    p = _command(
        commands,
        "mask",
        "Draw a contact sheet: faces, each above its masked copy.",
        """examples:
  autofr mask faces/ -o sheet.png                      with faces_landmarks.npz beside it
  autofr mask photo.jpg -o sheet.png --material cup    the face is found, cut out and masked""",
    )
    p.set_defaults(run=_mask)
    p.add_argument("source", metavar="IMAGE_OR_DIR", help="an image, or a folder of them at any depth")
    p.add_argument("-o", "--output", metavar="PNG", required=True, help="the picture to write")
    _add_landmarks(p)
    _add_detector(p)
    p.add_argument("--coverage", metavar="KIND", help="full, half or chin only (default: all, in usual shares)")
    p.add_argument(
        "--material",
        metavar="KIND",
        help="surgical, plain, striped, checked, dotted, floral, cup or user only (default: all, in usual shares)",
    )
    p.add_argument("--textures", metavar="DIR", help="images of cloth to wear as well")
    p.add_argument("--faces", type=int, default=24, metavar="N", help="most faces to show (default: 24)")
    p.add_argument("--columns", type=int, default=8, metavar="N", help="faces in a row (default: 8)")
    p.add_argument("--size", type=int, default=112, metavar="PX", help="side of a face (default: 112)")
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides the masks (default: 0)")


def _add_spaces(commands: Any) -> None:
    p = _command(
        commands,
        "spaces",
        "List the search spaces that --space takes by name, one line each.",
        "Looked for in ./search_spaces/, then among those shipped, then in entry points of group autofr.search_spaces.",
    )
    p.set_defaults(run=_spaces)


def _add_ui(commands: Any) -> None:
    p = _command(
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


def _search(arguments: argparse.Namespace) -> None:
    from autofr.report import print_search, stored_arguments
    from autofr.search.run import search

    given = {k: v for k, v in vars(arguments).items() if v is not None and k not in ("run", "resume", "no_tracking")}
    if arguments.resume:
        if arguments.run_dir:
            raise AutofrError("--resume RUN_DIR names the run directory; leave --run-dir out")
        given = stored_arguments(Path(arguments.resume)) | given | {"run_dir": arguments.resume, "resume": True}
    elif not arguments.space:
        raise AutofrError("name a search space with --space; 'autofr spaces' lists them")
    print_search(search(**given, tracking=not arguments.no_tracking))


def _evaluate(arguments: argparse.Namespace) -> None:
    from autofr.evaluation.evaluate import evaluate
    from autofr.report import print_evaluation

    given = {k: v for k, v in vars(arguments).items() if k != "run"}
    print_evaluation(evaluate(**given))


def _landmarks(arguments: argparse.Namespace) -> None:
    from autofr.detection import find_landmarks
    from autofr.device import pick_device
    from autofr.report import print_landmarks

    given = {k: v for k, v in vars(arguments).items() if k != "run"}
    print_landmarks(find_landmarks(**given | {"device": str(pick_device(arguments.device))}))


def _mask(arguments: argparse.Namespace) -> None:
    from autofr.report import print_sheet
    from autofr.sheet import draw_sheet

    print_sheet(draw_sheet(**{k: v for k, v in vars(arguments).items() if k != "run"}))


def _spaces(arguments: argparse.Namespace) -> None:
    from autofr.report import print_spaces

    print_spaces()


def _ui(arguments: argparse.Namespace) -> None:
    from autofr.ui import open_ui

    open_ui(Path(arguments.runs), arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
