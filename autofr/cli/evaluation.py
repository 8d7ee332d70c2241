"""``autofr evaluate``, ``autofr compare`` and ``autofr latency``."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from autofr.cli.common import add_landmarks, add_registering, command, given

PROTOCOLS = "all, bin, ijb, insightface, pairs, webface260m"
MODEL = "a run directory, a checkpoint (folder or .safetensors), FILE.onnx or timm/NAME"


def add_commands(commands: Any) -> None:
    """Add this file's commands."""
    _add_evaluate(commands)
    _add_compare(commands)
    _add_latency(commands)


def _add_evaluate(commands: Any) -> None:
    p = command(
        commands,
        "evaluate",
        "Verification errors of a model on a benchmark, as it is and with rendered masks: table, report.json, plots.",
        """examples:
  autofr evaluate runs/RUN --data lfw/ --pairs lfw_pairs.txt       LFW's 10 folds
  autofr evaluate model.onnx --data faces/ --masked both           all pairs of a folder, masks on both sides
  autofr evaluate timm/resnet50 --data agedb_30.bin                InsightFace's packed pairs
  autofr evaluate runs/RUN --data IJBC/ --protocol ijb:norms=False
  autofr evaluate runs/RUN --data test/ --protocol webface260m --attributes test.csv
  autofr evaluate embeddings.npy --labels labels.txt""",
    )
    p.set_defaults(run=_evaluate)
    p.add_argument("model", metavar="MODEL", help=f"{MODEL}, or FILE.npy: embeddings")
    add_registering(p)
    what = p.add_argument_group("benchmark")
    what.add_argument(
        "--data",
        metavar="PATH",
        help="folder with one sub-folder an identity, a .bin file, or the folder of an IJB set",
    )
    what.add_argument(
        "--protocol",
        metavar="NAME",
        help=f"{PROTOCOLS}, with settings or without, as in ijb:pooling=mean (default: as --data and --pairs say)",
    )
    what.add_argument("--pairs", metavar="TXT", help="pairs to compare, in LFW's form, with or without its header line")
    what.add_argument(
        "--attributes",
        metavar="CSV",
        help="columns name, scene, masked (webface260m) or name, set, masked (insightface)",
    )
    what.add_argument("--labels", metavar="FILE", help="of embeddings: a label or IDENTITY/IMAGE a row, text or .npy")
    what.add_argument(
        "--fmr", metavar="F,F,...", help="false match rates at which FNMR is given (default: the protocol's)"
    )
    masks = p.add_argument_group("masks")
    masks.add_argument(
        "--masked",
        choices=("no", "probe", "both"),
        help="render masks on the probe (the second image of a pair), or on both sides (default: probe, where there "
        "are landmarks)",
    )
    add_landmarks(masks, "; 'template': the five points of the ArcFace template")
    p.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="add each image's mirrored embedding, as is usual for these protocols (default: --flip)",
    )
    p.add_argument(
        "--bootstrap", type=int, default=200, metavar="N", help="draws of identities for 95%% intervals (default: 200)"
    )
    p.add_argument("--seed", type=int, default=0, metavar="N", help="decides masks and draws (default: 0)")
    p.add_argument("--device", default="auto", metavar="DEV", help="auto, cpu, cuda or cuda:N (default: auto)")
    p.add_argument(
        "--out",
        metavar="DIR",
        help="where the report goes; an evaluation that is there is replaced (default: RUN/evaluations/NAME, or "
        "runs/evaluations/MODEL/NAME; NAME is of the data and the options)",
    )
    p.add_argument("--no-tracking", dest="tracking", action="store_false", help="do not log to MLflow")


def _add_compare(commands: Any) -> None:
    p = command(
        commands,
        "compare",
        "Several models on one benchmark, in one table and one DET plot.",
        """examples:
  autofr compare runs/A runs/B                     every benchmark that both were evaluated on
  autofr compare runs/evaluations/X/lfw-pairs runs/A/evaluations/lfw-pairs""",
    )
    p.set_defaults(run=_compare)
    p.add_argument("runs", nargs="+", metavar="RUN", help="a run directory, or the folder of an evaluation")
    p.add_argument(
        "--out", default="runs/comparison", metavar="DIR", help="for the table and the plot (default: runs/comparison)"
    )
    p.add_argument("--no-tracking", dest="tracking", action="store_false", help="do not log to MLflow")


def _add_latency(commands: Any) -> None:
    p = command(
        commands,
        "latency",
        "How long one face takes on this machine, from photograph to embedding, and which limits that meets.",
        "Batch 1, on one thread and on all. FRUITS-100, -500 and -1000 are the WebFace260M benchmark's limits.",
    )
    p.set_defaults(run=_latency)
    p.add_argument("model", metavar="MODEL", help=MODEL)
    add_registering(p)
    p.add_argument("--photo", metavar="FILE", help="a photograph with a face (default: a drawn one, 640x480)")
    p.add_argument("--detector", metavar="NAME", help="dlib or face-alignment (default: dlib if it is installed)")
    p.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="embed the mirrored face too (default: --no-flip)",
    )
    p.add_argument("--repeats", type=int, default=50, metavar="N", help="timed calls, 5 or more (default: 50)")
    p.add_argument("--json", metavar="FILE", help="write the figures there as well")


def _evaluate(arguments: argparse.Namespace) -> None:
    from autofr.cli.evaluation_tables import print_evaluation
    from autofr.evaluation.evaluate import evaluate
    from autofr.tracking.evaluations import log_evaluation

    asked = given(arguments)
    asked["fmrs"] = asked.pop("fmr")
    asked["out"] = asked["out"] or default_folder(asked)
    asked["fmrs"] = rates(asked["fmrs"])
    out, tracking = Path(asked["out"]), asked.pop("tracking")
    report = evaluate(**asked)
    if tracking:
        log_evaluation(out, report)
    print_evaluation(report, out)


def _compare(arguments: argparse.Namespace) -> None:
    from autofr.cli.evaluation_tables import print_comparison
    from autofr.evaluation.compare import compare
    from autofr.tracking.evaluations import log_comparisons

    compared = compare(arguments.runs, arguments.out)
    if arguments.tracking:
        log_comparisons(Path(arguments.out), compared)
    print_comparison(compared, Path(arguments.out))


def _latency(arguments: argparse.Namespace) -> None:
    from autofr.cli.evaluation_tables import print_latency
    from autofr.evaluation.latency import measure_latency
    from autofr.io.files import write_json

    asked = given(arguments)
    target = asked.pop("json")
    if target is not None:
        Path(target).parent.mkdir(parents=True, exist_ok=True)
    found = measure_latency(**asked)
    print_latency(found)
    if target is not None:
        write_json(Path(target), found)


def rates(text: str | None) -> list[float] | None:
    """``1e-3,1e-4`` as numbers.

    Raises:
        AutofrError: one of them is none.
    """
    from autofr.exceptions import AutofrError

    try:
        return None if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        raise AutofrError(f"--fmr takes numbers between commas, such as 1e-3,1e-4; got '{text}'") from None


def default_folder(asked: dict[str, Any]) -> Path:
    """Where a report goes if nobody says: below the run of the model, else below ``runs/evaluations``. Its name is of
    the data and the options, so that another question has another folder."""
    source = Path(asked["data"] or asked["labels"] or "embeddings").resolve()
    protocol = asked["protocol"] or ("pairs" if asked["pairs"] else "")
    files = [Path(asked[name]).stem for name in ("attributes", "landmarks") if asked[name]]
    if asked["pairs"] and Path(asked["pairs"]).stem != f"{source.name}_pairs":
        files.append(Path(asked["pairs"]).stem)
    masked = f"masked-{asked['masked']}" if asked["masked"] else ""
    seed = f"seed-{asked['seed']}" if asked["seed"] else ""
    fmr = f"fmr-{asked['fmrs']}" if asked["fmrs"] else ""
    flip = "no-flip" if asked["flip"] is False else ""
    name = _slug("-".join(part for part in (source.name, protocol, *files, masked, flip, seed, fmr) if part))
    model = Path(asked["model"])
    run = next((p for p in (model, model.parent, model.parent.parent) if (p / "journal.jsonl").is_file()), None)
    if run is not None:
        # Networks of the Pareto set lie side by side: each has folders of its own.
        return run / "evaluations" / (f"{name}-{_slug(model.name)}" if model.parent.name == "pareto" else name)
    return Path("runs/evaluations") / _slug(str(asked["model"])) / name


def _slug(text: str) -> str:
    return re.sub(r"[^\w.\-=]+", "_", text).strip("_.-")
