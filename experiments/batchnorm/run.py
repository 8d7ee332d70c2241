"""Which averages should BatchNorm have in a variant of an elastic backbone?

    python experiments/batchnorm/run.py --faces FACES --runs RUNS

RUNS is that of ``experiments/architecture``, whose searches are done: their last weight banks are what variants are cut
from. For three variants of each (seed) the validation error, 0.75 MFR + 0.25 SFR, with

- the averages that lie in the bank, of all variants together (``bank``);
- after a segment of its own training, the running averages that this left (``running``, after 4 and 28 steps);
- averages taken anew over 1 to 32 training batches of 128, before that training and after it.

Writes ``results.csv`` (every figure) and ``summary.csv`` (means over variants and seeds) beside this file.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import numpy as np
import torch

from autofr import SearchResult
from autofr.data import load_faces, scan, split_by_identity
from autofr.data.loader import TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.population import Population
from autofr.engine.validation import Validation
from autofr.runs.journal import Journal
from autofr.training.batchnorm import recalibrate
from autofr.training.recipe import Recipe

HERE = Path(__file__).resolve().parent
CPU = torch.device("cpu")
VARIANTS = 3
STEPS = (0, 4, 28)
"""Of training of a variant's own before it is scored; 28 is a quarter of an epoch, a segment of the search."""
BATCHES = (1, 2, 8, 32)
RATE = 0.02


def architecture() -> ModuleType:
    """The script of ``experiments/architecture``: its space and its set."""
    spec = importlib.util.spec_from_file_location("architecture", HERE.parent / "architecture" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measure(faces: Path, run_dir: Path, seed: int) -> list[dict[str, Any]]:
    """One search's variants."""
    script = architecture()
    config = SearchResult(run_dir).config
    recipe = Recipe(**config["recipe"])
    everything = load_faces(scan(faces / "train"), recipe.image_size)
    training, held_back = split_by_identity(everything, config["data"]["validation_identities"], seed)
    validation = Validation(held_back, recipe.fmr, seed, CPU, reward="fnmr")
    batches = TrainingBatches(FacesSource(training, recipe.batch_size, seed), recipe.mask_prob, seed, CPU)
    space = script.Setting(faces, run_dir.parent, "small").space.within(map(tuple, config["space"]["allowed"]))
    bank = Journal(run_dir).newest_bank()
    crew = Population(space, recipe, 1, len(training.identities), seed, CPU)
    rng = np.random.default_rng(seed)
    assert space.allowed is not None
    rows = []
    for k in rng.choice(len(space.allowed), VARIANTS, replace=False):
        drawn = {"loss": 1, **dict(zip(space.architecture, space.allowed[int(k)], strict=True))}
        for steps in STEPS:
            (member,) = crew.take([drawn], bank)
            for batch in batches.batches(0, steps):
                member.step(batch, RATE, 1.0)
            ways = {"bank" if steps == 0 else "running": 0} | {f"{n} batches": n for n in BATCHES}
            for way, count in ways.items():
                if count:
                    recalibrate(member.backbone, (b.images for b in batches.batches(1000, 1000 + count)))
                error = -validation.score(member.backbone).reward
                rows.append({"seed": seed, "network": member.network, "steps": steps, "averages": way, "error": error})
    return rows


def main() -> None:
    """Measure, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = [
        r for seed in arguments.seeds for r in measure(arguments.faces, arguments.runs / f"search-seed{seed}", seed)
    ]
    best = {
        (r["seed"], r["network"], r["steps"]): r["error"] for r in rows if r["averages"] == f"{BATCHES[-1]} batches"
    }
    summary = []
    for steps in STEPS:
        for way in dict.fromkeys(r["averages"] for r in rows if r["steps"] == steps):
            mine = [r for r in rows if (r["steps"], r["averages"]) == (steps, way)]
            away = [abs(r["error"] - best[r["seed"], r["network"], steps]) for r in mine]
            error, off = round(mean(r["error"] for r in mine), 4), round(mean(away), 4)
            told = {"steps": steps, "averages": way, "networks": len(mine), "error": error}
            summary.append({**told, f"off from {BATCHES[-1]} batches": off, "at most": round(max(away), 4)})
    for row in rows:
        row["error"] = round(row["error"], 5)
    for name, lines in (("results", rows), ("summary", summary)):
        with (HERE / f"{name}.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, lines[0])
            table.writeheader()
            table.writerows(lines)


if __name__ == "__main__":
    main()
