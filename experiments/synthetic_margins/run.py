"""Does the margin matter on the drawn faces? Each margin trained alone, to the end.

    python experiments/synthetic_margins/run.py --runs RUNS

Writes ``results.csv`` beside this file. A stopped experiment goes on where it was.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import autofr
from autofr.losses import ArcFace

MARGINS = (0.0, 0.15, 0.3, 0.45)


def main() -> None:
    """Train every margin with every seed and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    arguments = parser.parse_args()
    arguments.runs.mkdir(parents=True, exist_ok=True)
    with open(Path(__file__).with_name("results.csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["margin", "seed", "sfr", "mfr"])
        for seed in arguments.seeds:
            for margin in MARGINS:
                run_dir = arguments.runs / f"m{margin:g}-seed{seed}"
                resume = run_dir.exists()
                how = {"average": False, "reward": "fnmr"}  # as it was when this was run
                result = autofr.train(ArcFace(margin), run_dir=run_dir, resume=resume, seed=seed, tracking=False, **how)
                scores = result.scores[1]
                table.writerow([margin, seed, *(round(scores[k] or 0.0, 4) for k in ("sfr", "mfr"))])
                file.flush()


if __name__ == "__main__":
    main()
