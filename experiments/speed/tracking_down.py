"""What a search pays for an MLflow that is slow or down: the same search beside none, in turn.

    python experiments/speed/tracking_down.py

Modes: ``none`` (``--no-tracking``), ``healthy`` (a new SQLite store), ``unreachable`` (a closed port), ``slow`` (a real
server behind a relay that takes 5 s a call), ``locked`` (a SQLite store that another process has locked throughout),
``dies`` (a real server that is killed after a quarter of the generations). Each search is a process of its own; its
wall time, start and end and all, is in ``tracking_down.csv``, with its ratio to that of ``none`` in the same round, and
the median ratios last. Nothing else should run.
"""

from __future__ import annotations

import argparse
import csv
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for tests/, which is not installed
from tests.servers import MlflowServer, free_port, slow_relay

MODES = ("none", "healthy", "unreachable", "slow", "locked", "dies")


def search(run_dir: Path, epochs: str, uri: str | None, *options: str) -> subprocess.Popen[bytes]:
    """The demo's search, started."""
    command = [sys.executable, "-m", "autofr", "search", "--space", "arcface_margins", "--run-dir", str(run_dir)]
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    environment |= {"MLFLOW_TRACKING_URI": uri} if uri else {}
    return subprocess.Popen([*command, "--epochs", epochs, *options], env=environment, stdout=subprocess.DEVNULL)


def finished(process: subprocess.Popen[bytes], started: float) -> float:
    """Wall seconds of a search, which must end well."""
    if process.wait():
        raise SystemExit(f"a search ended with {process.returncode}")
    return time.monotonic() - started


def seconds(mode: str, folder: Path, epochs: str) -> float:
    """Wall time of one search in one mode."""
    run_dir = folder / "run"
    if mode in ("none", "healthy", "unreachable"):
        uri = f"http://127.0.0.1:{free_port()}" if mode == "unreachable" else None
        started = time.monotonic()
        return finished(search(run_dir, epochs, uri, *(["--no-tracking"] if mode == "none" else [])), started)
    if mode == "locked":
        subprocess.run([sys.executable, "-c", f"import mlflow; mlflow.MlflowClient('sqlite:///{folder}/mlflow.db')."
                        "create_experiment('autofr')"], check=True)  # fmt: skip
        database = sqlite3.connect(folder / "mlflow.db", isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        took = finished(search(run_dir, epochs, None), started)
        database.close()
        return took
    server = MlflowServer(folder)
    server.start()
    try:
        if mode == "slow":
            with slow_relay(server.uri, 5) as (address, _):
                started = time.monotonic()
                return finished(search(run_dir, epochs, address), started)
        started = time.monotonic()
        running = search(run_dir, epochs, server.uri)
        journal = run_dir / "journal.jsonl"
        while not (journal.is_file() and journal.read_bytes().count(b"\n") >= float(epochs) / 4):
            time.sleep(0.2)
        server.kill()
        return finished(running, started)
    finally:
        server.kill()


def main() -> None:
    """Time the rounds and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", default="12", help="of the drawn-faces search (default: 12, as `make demo`)")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for number in range(arguments.rounds):
        took = {}
        for mode in MODES:
            with tempfile.TemporaryDirectory() as folder:
                took[mode] = seconds(mode, Path(folder), arguments.epochs)
            ratio = round(took[mode] / took["none"], 4)
            rows.append({"round": number, "mode": mode, "seconds": round(took[mode], 2), "ratio": ratio})
            print(rows[-1], flush=True)
    for mode in MODES:
        ratios = [row["ratio"] for row in rows if row["mode"] == mode]
        rows.append({"round": "median", "mode": mode, "seconds": "", "ratio": statistics.median(ratios)})
        print(rows[-1], flush=True)
    with open(arguments.out, "w", newline="") as file:
        table = csv.DictWriter(file, ["round", "mode", "seconds", "ratio"])
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()
