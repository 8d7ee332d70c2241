"""A long search: do memory, open files, disk or the time of a generation grow?

    python experiments/soak/run.py                          # 500 generations of a toy search, a few minutes
    python experiments/soak/run.py --full --data faces/     # the published net at full size, as long

A search with MLflow runs in a process of its own, which is looked at from outside whenever a generation has been
committed: resident memory, open files and threads of it and of the process that writes to MLflow, bytes of the run
directory and of MLflow's files. ``soak.csv`` has a row a generation; ``slopes.csv`` the slope of each by least squares
over the generations after the first tenth, per 100 generations, with its standard error (from the residuals of blocks
of a tenth), beside the median.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
COLUMNS = [
    "seconds",
    "search_mib",
    "search_files",
    "search_threads",
    "mlflow_mib",
    "mlflow_files",
    "run_mib",
    "store_mib",
]
CHILD = """
import sys
import autofr
from autofr.data import synthetic_faces
from autofr.losses import ArcFace
space = autofr.SearchSpace(loss=autofr.Choice(ArcFace(m) for m in (0.1, 0.3, 0.5)))
autofr.search(space, synthetic_faces(24, 6, 32, seed=5), run_dir=sys.argv[1], epochs=int(sys.argv[2]), batch_size=16,
              backbone="ir_mini-w0.25", embedding_dim=16, validation_identities=4, fmr=0.1, device="cpu",
              progress=False)
"""


def status(process: int) -> tuple[float, int, int]:
    """Resident memory in MiB, open files and threads of a process; zeros once it is gone."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
        values = dict(line.split(":", 1) for line in lines)
        memory = int(values["VmRSS"].split()[0]) / 1024
        return memory, len(os.listdir(f"/proc/{process}/fd")), int(values["Threads"])
    except (OSError, KeyError):
        return 0.0, 0, 0


def follower(process: int) -> int:
    """The process that writes the search to MLflow; 0 if there is none."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if "autofr.tracking.follower" in Path(f"/proc/{child}/cmdline").read_text():
                return int(child)
    return 0


def mebibytes(*places: Path) -> float:
    """Size of files and of folders with all that is in them."""
    files = [f for place in places for f in ([place] if place.is_file() else place.rglob("*"))]
    return sum(f.stat().st_size for f in files if f.is_file()) / 2**20


def watch(command: list[str], run_dir: Path) -> list[list[float]]:
    """Run the search, and look at it after each generation: rows of ``COLUMNS``."""
    rows: list[list[float]] = []
    journal = run_dir / "journal.jsonl"
    process = subprocess.Popen(command)
    seen = 0
    while process.poll() is None:
        time.sleep(0.02)
        size = journal.stat().st_size if journal.is_file() else 0
        if size == seen:
            continue
        seen = size
        try:
            mirror = follower(process.pid)
            memory, files, threads = status(process.pid)
            other = status(mirror) if mirror else (0.0, 0, 0)
            mine = mebibytes(run_dir / "checkpoints", journal)
            theirs = mebibytes(run_dir.parent / "mlflow.db", run_dir.parent / "mlartifacts")
        except OSError:  # a file that went while it was looked at
            continue
        last = json.loads(journal.read_bytes().splitlines()[-1])
        values = [last["seconds"], memory, files, threads, other[0], other[1], mine, theirs]
        rows.append([last["generation"], *values])
    if process.returncode:
        raise SystemExit(f"the search ended with {process.returncode}")
    return rows


def slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope per 100 by least squares, and its standard error from the residuals of blocks of a tenth."""
    a, b = np.polyfit(x, y, 1)
    blocks = [part.mean() for part in np.array_split(y - a * x - b, 10)]
    middles = [part.mean() for part in np.array_split(x, 10)]
    error = np.sqrt(np.sum(np.square(blocks)) / 8 / np.sum(np.square(middles - np.mean(middles))))
    return 100 * float(a), 100 * float(error)


def main() -> None:
    """Run and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generations", type=int, default=500)
    parser.add_argument("--full", action="store_true", help="arcface_margins at the published size; needs --data")
    parser.add_argument("--data", help="folder of faces, for --full")
    parser.add_argument("--out", type=Path, default=HERE)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        command = [sys.executable, "-c", CHILD, str(run_dir), str(arguments.generations)]
        if arguments.full:
            asked = (
                f"--space arcface_margins --data {arguments.data} --run-dir {run_dir} --backbone ir50 --image-size 112"
            )
            command = [sys.executable, "-m", "autofr", "search", *asked.split(), "--segment", "0.1"]
            command += ["--epochs", str(arguments.generations / 10)]
        rows = watch(command, run_dir)
    with open(arguments.out / "soak.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["generation", *COLUMNS])
        table.writerows([row[0], *(round(value, 4) for value in row[1:])] for row in rows)
    later = np.array([row for row in rows if row[0] >= arguments.generations / 10 and row[5] > 0])
    with open(arguments.out / "slopes.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["what", "median", "slope_per_100_generations", "standard_error", "generations_seen"])
        for k, name in enumerate(COLUMNS, start=1):
            per_100, error = slope(later[:, 0], later[:, k])
            table.writerow(
                [name, round(statistics.median(later[:, k]), 4), f"{per_100:.4g}", f"{error:.2g}", len(later)]
            )
    machine = {"machine": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    (arguments.out / "machine.json").write_text(json.dumps(machine, indent=2) + "\n")
    print((arguments.out / "slopes.csv").read_text())


if __name__ == "__main__":
    main()
