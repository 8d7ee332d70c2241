"""What a search's rewards look like: every margin of the pool, in every generation of a real training.

    python experiments/policy_regret/measure.py --faces FACES --runs RUNS

A population of nine draws the nine margins of ``arcface_margins`` without replacement, so that each generation scores
every margin after an epoch from the same weights, on the same batches and masks; all go on from the best. Several seeds
(other initial weights, batches, masks and validation identities) show what of it is noise. FACES holds ``train/`` with
its landmarks. Every seed is a run directory below RUNS: a stopped experiment goes on where it was. Writes
``rewards.csv`` and ``machine.json`` beside this file. ``--full`` is the published setting (ir50, 112 pixels), for a
GPU.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
from pathlib import Path
from typing import Any

import torch

import autofr

HERE = Path(__file__).resolve().parent
GENERATIONS = 20
AS_IT_WAS = {"average": False, "reward": "fnmr"}  # how members were scored when this was run
SMALL = {"image_size": 48, "backbone": "ir_mini-w0.5", "validation_identities": 150}
FULL = {"image_size": 112, "backbone": "ir50", "embedding_dim": 512, "schedule": "step", "validation_identities": 200}


def measured(seed: int, faces: Path, runs: Path, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The rewards of one seed, from its run directory; it is run, or gone on with, first."""
    run_dir = runs / f"seed{seed}"
    if not (run_dir / "model").exists():
        autofr.search(
            "arcface_margins",
            faces / "train",
            policy="random:replacement=False",
            population=9,
            epochs=GENERATIONS,
            seed=seed,
            run_dir=run_dir,
            resume=run_dir.exists(),
            tracking=False,
            **AS_IT_WAS,
            **settings,
        )
    rows = sorted(autofr.SearchResult(run_dir).lineage, key=lambda row: (row["generation"], row["loss"]))
    return [
        {"seed": seed, "generation": row["generation"] + 1, "loss": row["loss"]}
        | {key: "" if row[key] is None else round(row[key], 6) for key in ("sfr", "mfr", "reward")}
        | {"won": int(row["winner"])}
        for row in rows
    ]


def main() -> None:
    """Run every seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--full", action="store_true", help="the published setting instead of the small one")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        rows += measured(seed, arguments.faces, arguments.runs, FULL if arguments.full else SMALL)
        with open(HERE / "rewards.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    machine = {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    machine |= {"torch": torch.__version__, "cuda": torch.cuda.is_available(), "full": arguments.full}
    (HERE / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")


if __name__ == "__main__":
    main()
