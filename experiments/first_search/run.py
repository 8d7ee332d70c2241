"""One search on real faces, and the same net trained without masks at a fixed margin beside it.

    python experiments/first_search/run.py --faces FACES --runs RUNS

FACES holds ``train/``, ``lfw/``, ``mfr2/`` with their landmarks and pair lists. Every piece is a run directory below
RUNS: a stopped experiment goes on where it was. Writes ``results.csv``, ``alpha.csv`` and ``machine.json`` beside this
file. ``--full`` is the published setting (ir50, 112 pixels, 20 epochs), for a GPU.
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
from autofr.losses import ArcFace

HERE = Path(__file__).resolve().parent
AS_IT_WAS = {"average": False, "reward": "fnmr"}  # how members were scored when this was run
SMALL = {"image_size": 64, "epochs": 16, "backbone": "ir_mini", "validation_identities": 100}
FULL = {"image_size": 112, "epochs": 20, "backbone": "ir50", "embedding_dim": 512, "schedule": "step"}
BASELINE_MARGIN = 0.3
POLICY = "lfs:lr=0.2,floor=0.02,replacement=True"  # what was the default


def run_piece(name: str, seed: int, faces: Path, runs: Path, settings: dict[str, Any]) -> Path:
    """Train one row of the table, or go on with it, or find it done."""
    run_dir = runs / f"{name}-seed{seed}"
    if not (run_dir / "model").exists():
        common = {"run_dir": run_dir, "resume": run_dir.exists(), "seed": seed, **AS_IT_WAS, **settings}
        if name == "search":
            autofr.search("arcface_margins", faces / "train", policy=POLICY, **common)
        else:
            autofr.train(ArcFace(BASELINE_MARGIN), faces / "train", mask_prob=0.0, **common)
    return run_dir


def score(run_dir: Path, faces: Path) -> list[dict[str, Any]]:
    """LFW and MFR2, standard and with rendered masks, without and with flip averaging."""
    rows = []
    for test in ("lfw", "mfr2"):
        for flip in (False, True):
            report = autofr.evaluate(run_dir, faces / test, pairs=faces / f"{test}_pairs.txt", flip=flip)
            for kind in ("standard", "masked"):
                scores = report["results"][kind]
                fnmr = {f"fnmr@{r['fmr']:g}": "" if r["fnmr"] is None else round(r["fnmr"], 4) for r in scores["rates"]}
                accuracy = {"accuracy": round(scores["accuracy"], 4), "std": round(scores["accuracy_std"], 4)}
                rows.append({"test": test, "kind": kind, "flip": flip, **accuracy, **fnmr})
    return rows


def main() -> None:
    """Run every piece and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--full", action="store_true", help="the published setting instead of the small one")
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    results: list[dict[str, Any]] = []
    alphas: list[dict[str, Any]] = []
    for seed in arguments.seeds:
        for name in ("search", "unmasked"):
            settings = FULL if arguments.full else SMALL
            run_dir = run_piece(name, seed, arguments.faces, arguments.runs, settings)
            report = json.loads((run_dir / "report.json").read_text())
            about = {"run": name, "seed": seed, "minutes": round(report["seconds"] / 60, 1)}
            about["margin"] = report["best"]["loss"] if name == "search" else f"ArcFace(m={BASELINE_MARGIN:g})"
            results += [about | row for row in score(run_dir, arguments.faces)]
            if name == "search":
                found = autofr.SearchResult(run_dir)
                for generation, row in enumerate(found.alpha, start=1):
                    columns = {option: round(p, 4) for (_, option), p in zip(found.options, row, strict=True)}
                    alphas.append({"seed": seed, "generation": generation, **columns})
            write(HERE / "results.csv", results)
            write(HERE / "alpha.csv", alphas)
    machine = {"cpu": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    machine |= {"torch": torch.__version__, "cuda": torch.cuda.is_available(), "full": arguments.full}
    (HERE / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    """A CSV file of rows with the same keys."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
