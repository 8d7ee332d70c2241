"""What exact errors cost: all pairs of a large set against its matrix product, and 1e7 scores against scikit-learn.

    python experiments/speed/errors.py [--rows 38000] [--repeats 5]

The first part measures all 7.2e8 pairs of 38,000 embeddings of 512 numbers (drawn, 1,750 identities) at five FMRs, with
EER, d' and DET points, and times beside it the same blocks of the matrix product alone; the ways take turns. The peak
of memory is read in a process of its own. The second measures 1e7 scores, half and 1 % of them genuine, float32 and
float64, beside ``sklearn.metrics.roc_curve``, and looks whether every TAR, FMR and DET point is found in scikit-learn's
curve to the last digit. Two threads. Writes ``errors.csv`` beside this file; each time is the median of ``--repeats``.
"""

from __future__ import annotations

import argparse
import csv
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from sklearn.metrics import roc_curve

from autofr.evaluation.bootstrap import intervals
from autofr.evaluation.errors import measure, measure_scores
from autofr.evaluation.figures import Errors
from autofr.evaluation.streaming import COLUMNS, ROWS, AllPairs, Side

HERE = Path(__file__).resolve().parent
THREADS, SIZE, PEOPLE = 2, 512, 1750
FMRS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)
SCORES = 10_000_000


def drawn(rows: int) -> Side:
    """Embeddings of ``PEOPLE`` people, so near each other that errors are far from 0 and 1."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, PEOPLE, (rows,), generator=generator)
    people = torch.randn(PEOPLE, SIZE, generator=generator)
    vectors = 0.5 * people[labels] + torch.randn(rows, SIZE, generator=generator)
    vectors += 0.3 * torch.randn(1, SIZE, generator=generator)
    return Side(torch.nn.functional.normalize(vectors), labels, torch.arange(rows))


def product(side: Side) -> None:
    """The matrix product alone, in the same blocks: those on or above the diagonal."""
    vectors, memory = side.vectors, torch.empty(ROWS * COLUMNS)
    for row in range(0, len(vectors), ROWS):
        left = vectors[row : row + ROWS]
        for column in range(row, len(vectors), COLUMNS):
            right = vectors[column : column + COLUMNS]
            torch.mm(left, right.T, out=memory[: len(left) * len(right)].view(len(left), len(right)))


def errors_of(side: Side) -> Errors:
    """Everything but intervals."""
    return measure(AllPairs(side), FMRS)


def with_intervals(side: Side) -> object:
    """Intervals from 200 draws as well."""
    comparisons = AllPairs(side)
    return intervals(comparisons, measure(comparisons, FMRS, tail=True), side.labels, 200, 0)


def timed(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Median seconds of each way, the ways taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def peak(rows: int, way: str) -> float:
    """MiB that a way takes beyond the embeddings, in a process of its own."""
    command = [sys.executable, __file__, "--peak", way, "--rows", str(rows)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def report_peak(rows: int, way: str) -> None:
    """In that process: the peak of its memory during a measurement, beyond what it had before."""
    side = drawn(rows)
    small = Side(side.vectors[:2048], side.labels[:2048], side.ids[:2048])
    WAYS[way](small)  # libraries and threads have then taken what they take
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
    before = memory("VmRSS")
    WAYS[way](side)
    print((memory("VmHWM") - before) / 2**10)


def memory(what: str) -> int:
    """KiB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


WAYS: dict[str, Callable[[Side], object]] = {
    "matrix product": product,
    "errors": errors_of,
    "errors and intervals": with_intervals,
}


def all_pairs(rows: int, repeats: int) -> list[list[str]]:
    """The first part of the table."""
    side = drawn(rows)
    found = timed({name: lambda way=way: way(side) for name, way in WAYS.items()}, repeats)
    pairs = f"{rows * (rows - 1) // 2:.2g} pairs"
    return [
        [pairs, name, f"{seconds:.2f}", f"{seconds / found['matrix product']:.2f}", f"{peak(rows, name):.0f}", ""]
        for name, seconds in found.items()
    ]


def scores(genuine: int, dtype: type[np.floating], repeats: int) -> list[list[str]]:
    """The second part: one kind of scores."""
    rng = np.random.default_rng(0)
    one = rng.normal(1.5, 1, genuine).astype(dtype)
    other = rng.normal(0, 1, SCORES - genuine).astype(dtype)
    together, same = np.concatenate([one, other]), np.repeat([1, 0], [len(one), len(other)])
    left, right = torch.from_numpy(one), torch.from_numpy(other)
    ways: dict[str, Callable[[], object]] = {
        "scikit-learn roc_curve": lambda: roc_curve(same, together),
        "errors": lambda: measure_scores(left, right, FMRS),
    }
    found = timed(ways, repeats)
    equal = agrees(measure_scores(left, right, FMRS), *roc_curve(same, together, drop_intermediate=False)[:2])
    what = f"1e7 {np.dtype(dtype)} scores, {genuine} genuine"
    ratio = found["scikit-learn roc_curve"]
    return [
        [what, name, f"{seconds:.3f}", f"{seconds / ratio:.3f}", "", str(equal) if name == "errors" else ""]
        for name, seconds in found.items()
    ]


def agrees(errors: Errors, fpr: np.ndarray, tpr: np.ndarray) -> bool:
    """Whether every figure is one of scikit-learn's, to the last digit."""
    rates = all(rate.tar == tpr[fpr <= rate.fmr].max() for rate in errors.rates)
    # Of equal FMR, scikit-learn's points have every TAR between the lowest and the highest: look the pairs up.
    points = np.sort(fpr + 1j * tpr)
    ours = (errors.curve.fmr + 1j * errors.curve.tar).numpy()
    places = np.searchsorted(points, ours).clip(max=len(points) - 1)
    return rates and bool((points[places] == ours).all())


def main() -> None:
    """Time everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=38_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    if arguments.peak:
        report_peak(arguments.rows, arguments.peak)
        return
    rows = all_pairs(arguments.rows, arguments.repeats)
    for dtype in (np.float32, np.float64):
        for genuine in (SCORES // 2, SCORES // 100):
            rows += scores(genuine, dtype, arguments.repeats)
    machine = f"{platform.machine()}, {THREADS} threads"
    with (HERE / "errors.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            ["what", "way", "seconds", "ratio to the first", "MiB beyond", "equal to the last digit", "machine"]
        )
        for row in rows:
            table.writerow([*row, machine])
            print(*row, sep="\t")


if __name__ == "__main__":
    main()
