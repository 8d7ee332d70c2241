"""What MLflow costs: the same search with and without tracking, in turn, each a process of its own.

    python experiments/speed/tracking.py

Writes ``tracking.csv`` beside this file: wall seconds of each pair, their ratio, and the median ratio last. The store
of each tracked run is new, so that the cost of making one is counted.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def seconds(folder: Path, name: str, *options: str) -> float:
    """Wall time of one search, start of the process and all."""
    command = [sys.executable, "-m", "autofr", "search", "--space", "arcface_margins", "--run-dir", str(folder / name)]
    started = time.monotonic()
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def main() -> None:
    """Time the pairs and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--epochs", default="12", help="of the drawn-faces search (default: 12, as `make demo`)")
    arguments = parser.parse_args()
    rows = []
    for pair in range(arguments.pairs):
        with tempfile.TemporaryDirectory() as folder:
            plain = seconds(Path(folder), "plain", "--epochs", arguments.epochs, "--no-tracking")
            tracked = seconds(Path(folder), "tracked", "--epochs", arguments.epochs)
        rows.append([pair, round(plain, 2), round(tracked, 2), round(tracked / plain, 4)])
    with open(Path(__file__).with_suffix(".csv"), "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["pair", "untracked_s", "tracked_s", "ratio"])
        table.writerows([*rows, ["median", "", "", statistics.median(row[3] for row in rows)]])


if __name__ == "__main__":
    main()
