"""What searches end on, beside whole trainings: the tables of end_to_end.py, summed up.

    python experiments/signal/conclude.py

Reads ``results.csv``. Errors are 0.75 of the masked faces' FNMR at FMR 1e-2 and 0.25 of the plain ones': on the
verdict's identities (all pairs), and on LFW's list of pairs (whose interval, by identity bootstrap, is the mean over
seeds of both ends). ``- pool`` is the difference from the mean of the nine fixed margins, and ``- best`` from the fixed
margin that is best on the mean over seeds, both of the same seed, as a mean over seeds with half its 95 % interval
(Student's, two degrees of freedom with three seeds). Writes ``conclusion.csv``.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import t

sys.path.insert(0, str(Path(__file__).parent))
from setting import HERE, write

Floats = npt.NDArray[np.float64]


def main() -> None:
    """Sum up."""
    with open(HERE / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    seeds = sorted({row["seed"] for row in rows})
    runs = list(dict.fromkeys(row["run"] for row in rows))

    def of(run: str, column: str) -> Floats:
        found = {row["seed"]: row[column] for row in rows if row["run"] == run}
        return np.array([float(found[seed]) for seed in seeds])

    def lfw(run: str, end: str = "") -> Floats:
        return 0.25 * of(run, f"lfw standard{end}") + 0.75 * of(run, f"lfw masked{end}")

    pool = [run for run in runs if run.startswith("fixed") and run != "fixed 0"]
    errors = {"verdict": {run: of(run, "verdict") for run in runs}, "LFW": {run: lfw(run) for run in runs}}
    table = []
    for run in runs:
        row = {"run": run, "trainings": f"{of(run, 'trainings').mean():.2f}"}
        for name, error in errors.items():
            best = min(pool, key=lambda fixed: error[fixed].mean())
            row[name] = f"{error[run].mean():.4f}"
            if name == "LFW":
                row |= {f"LFW {end}": f"{lfw(run, f' {end}').mean():.4f}" for end in ("low", "high")}
            for column, other in (("pool", np.mean([error[fixed] for fixed in pool], 0)), ("best", error[best])):
                different = error[run] - other
                half = t.ppf(0.975, len(seeds) - 1) * different.std(ddof=1) / np.sqrt(len(seeds))
                row |= {f"{name} - {column}": f"{different.mean():+.4f}", f"{name} - {column} +-": f"{half:.4f}"}
        for column in ("lfw standard accuracy", "lfw masked accuracy", "mfr2 standard accuracy", "mfr2 standard"):
            row[column] = f"{of(run, column).mean():.4f}"
        table.append(row)
        print(row)
    write("conclusion.csv", table)


if __name__ == "__main__":
    main()
