"""Broken inputs for every parser: 100,000 each, the same every time.

    python experiments/fuzz/run.py                       # all of them, some half an hour on two cores
    python experiments/fuzz/run.py --inputs 2000 bin rec # some, quicker

Inputs come from hypothesis strategies that know each form, checksums included (``tests/fuzzing``). An input
may be accepted, or refused by an error of one line; anything else is a failure, and so are 10 seconds for one input, a
gibibyte of memory, a crash, a program that is started, a connection, or a string that is executed (audit hooks listen).
``fuzz.csv`` has a row a parser; failures are printed, and the exit status is then 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # for tests/, which is not installed
from tests.fuzzing import TARGETS, fuzz

MAX_MEBIBYTES = 1024

COLUMNS = ["parser", "inputs", "accepted", "refused", "failures", "slowest_s", "memory_mib", "seconds"]


def alone(name: str, inputs: int, seed: int) -> dict[str, object]:
    """Fuzz one parser in a process of its own: its memory is its own, and a crash is not this one's."""
    command = [sys.executable, __file__, name, "--inputs", str(inputs), "--seed", str(seed), "--alone"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        return {"parser": name, "failures": 1, "told": f"status {done.returncode}: {done.stderr[-3000:]}"}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def outcome(name: str, inputs: int, seed: int) -> dict[str, object]:
    """Fuzz one parser here: its row of the table, and what it ``told`` of failures."""
    found = fuzz(TARGETS[name](), inputs, seed)
    if found.mebibytes > MAX_MEBIBYTES:
        found.failures["memory"] = (f"{found.mebibytes:.0f} MiB", None)
    told = "".join(f"{kind}\n{trace}\ninput: {content!r:.2000}\n" for kind, (trace, content) in found.failures.items())
    counts = [name, found.inputs, found.accepted, found.refused, len(found.failures)]
    values = [round(found.slowest, 2), round(found.mebibytes), round(found.seconds)]
    return dict(zip(COLUMNS, counts + values, strict=True)) | {"told": told}


def main() -> int:
    """Fuzz and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parsers", nargs="*", help=f"of {', '.join(TARGETS)} (default: all)")
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("fuzz.csv"))
    parser.add_argument("--alone", action="store_true", help="one parser, here; its row goes to standard output")
    arguments = parser.parse_args()
    names = arguments.parsers or list(TARGETS)
    unknown = sorted(set(names) - TARGETS.keys())
    if unknown:
        parser.error(f"no parser {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    if arguments.alone:
        print(json.dumps(outcome(names[0], arguments.inputs, arguments.seed)))
        return 0
    rows = []
    with ThreadPoolExecutor(arguments.processes) as pool:
        for row in pool.map(lambda name: alone(name, arguments.inputs, arguments.seed), names):
            told = row.pop("told")
            print(row, flush=True)
            if told:
                print(f"FAILURE in {row['parser']}: {told}", flush=True)
            rows.append(row)
    with open(arguments.out, "w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)
    return int(any(row["failures"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())
