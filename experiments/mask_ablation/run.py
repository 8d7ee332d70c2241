"""Do masks in training help on worn masks, and does it matter how they look?

    python experiments/mask_ablation/run.py --faces FACES --runs RUNS

The same net, data, batches and flips, trained three ways: without masks; with a plain grey polygon over mouth and nose
(one shape, one colour); with ``RandomFaceMask``. FACES holds ``train/``, ``lfw/``, ``mfr2/`` with their landmarks and
pair lists. Tested on MFR2 (worn masks), on LFW, and on LFW with one image of each pair masked, by ``RandomFaceMask``:
that column is on its own ground, MFR2 is the fair one. Every piece is a run directory below RUNS: a stopped
experiment goes on where it was. Writes ``results.csv`` (every run) and ``summary.csv`` (mean and deviation over the
seeds) beside this file. ``--full`` is the published setting (ir50, 112 pixels, 20 epochs), for a GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import autofr
from autofr.losses import ArcFace
from autofr.masks import RandomFaceMask
from autofr.masks.geometry import AWAY, Frame, Outline, placement
from autofr.masks.paint import mask_opacity

HERE = Path(__file__).resolve().parent
AS_IT_WAS = {"average": False, "reward": "fnmr"}  # how members were scored when this was run
SMALL = {"image_size": 48, "epochs": 12, "backbone": "ir_mini", "validation_identities": 60}
FULL = {"image_size": 112, "epochs": 20, "backbone": "ir50", "embedding_dim": 512, "schedule": "step"}
MARGIN = 0.3
WAYS = ("no mask", "grey polygon", "RandomFaceMask")
COLUMNS = ("mfr2 accuracy", "mfr2 fnmr@0.01", "lfw accuracy", "masked lfw accuracy", "masked lfw fnmr@0.01")


class GreyPolygon(RandomFaceMask):
    """The middling outline of a full mask, in flat grey: no variation, no cloth, no light."""

    def apply_transform(self, input: Tensor, params: dict[str, Tensor], flags: Any, transform: Any = None) -> Tensor:
        height, width = input.shape[-2:]
        drawn = (params["batch_prob"] > 0.5) & (placement(params["anchors"], width, height) > AWAY)
        rows = drawn.nonzero().squeeze(1)
        plain = {
            k: torch.zeros_like(v[rows]) for k, v in params.items() if k not in ("batch_prob", "forward_input_shape")
        }
        plain |= {"width": plain["width"] + 1, "height": plain["height"] + 0.5}  # and coverage 0, the full one
        opacity = mask_opacity(Outline(Frame.of(params["anchors"][rows]), plain), height, width)[:, None]
        return input.index_copy(0, rows, torch.lerp(input[rows], torch.full_like(input[rows], 0.5), opacity))


def run_piece(way: str, seed: int, faces: Path, runs: Path, settings: dict[str, Any]) -> Path:
    """Train one row of the table, or go on with it, or find it done."""
    run_dir = runs / f"{way.replace(' ', '-')}-seed{seed}"
    if not (run_dir / "model").exists():
        common = {
            "run_dir": run_dir,
            "resume": run_dir.exists(),
            "seed": seed,
            "tracking": False,
            **AS_IT_WAS,
            **settings,
        }
        common["mask_prob"] = 0.0 if way == "no mask" else 0.2
        with patch("autofr.data.loader.RandomFaceMask", GreyPolygon if way == "grey polygon" else RandomFaceMask):
            autofr.train(ArcFace(MARGIN), faces / "train", **common)
    return run_dir


def score(run_dir: Path, faces: Path) -> dict[str, float]:
    """Errors with flip averaging. Kept beside the run: scoring is not done twice."""
    kept = run_dir / "scores.json"
    if not kept.exists():
        mfr2, lfw = (
            autofr.evaluate(run_dir, faces / name, pairs=faces / f"{name}_pairs.txt", fmrs=[0.01])["results"]
            for name in ("mfr2", "lfw")
        )
        found = (
            *(mfr2["standard"]["accuracy"], mfr2["standard"]["rates"][0]["fnmr"], lfw["standard"]["accuracy"]),
            *(lfw["masked"]["accuracy"], lfw["masked"]["rates"][0]["fnmr"]),
        )
        kept.write_text(json.dumps(dict(zip(COLUMNS, found, strict=True))))
    scores: dict[str, float] = json.loads(kept.read_text())
    return scores


def main() -> None:
    """Run every piece and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--full", action="store_true", help="the published setting instead of the small one")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for way in WAYS:
            run_dir = run_piece(way, seed, arguments.faces, arguments.runs, FULL if arguments.full else SMALL)
            results.append(
                {"training": way, "seed": seed} | {k: round(v, 4) for k, v in score(run_dir, arguments.faces).items()}
            )
            write(results)
    about = {"machine": f"{platform.machine()}, {torch.get_num_threads()} threads", "torch": torch.__version__}
    (HERE / "machine.json").write_text(
        json.dumps(about | {"settings": FULL if arguments.full else SMALL}, indent=1) + "\n"
    )


def write(results: list[dict[str, Any]]) -> None:
    """Both tables, of the runs there are."""
    summary = []
    for way in WAYS:
        rows = [r for r in results if r["training"] == way]
        if rows:
            row: dict[str, Any] = {"training": way, "seeds": len(rows)}
            for column in COLUMNS:
                values = [r[column] for r in rows]
                spread = stdev(values) if len(values) > 1 else 0.0
                row |= {column: round(mean(values), 4), f"{column} sd": round(spread, 4)}
            summary.append(row)
    for name, rows in (("results.csv", results), ("summary.csv", summary)):
        with (HERE / name).open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)


if __name__ == "__main__":
    main()
