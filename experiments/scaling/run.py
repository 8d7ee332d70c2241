"""Memory and traffic of the class centres by formula: checked against what was measured, then taken further.

    python experiments/scaling/run.py

Per rank, with C classes, E numbers an embedding, a global batch of B faces, D data ranks and a rate r, in float32:

    centres     2·4·E·C/D           weights and momentum
    rows        k·4·E·r·C/D         k = 3 at r = 1: the gradient, the normalised centres, and their gradient;
                                    k = 5 below: also the rows drawn and their momentum
    cosines     m·4·B·r·C/D         m tensors of cosines, logits and gradients that are alive at once
    traffic     3·4·B·E             a step: embeddings gathered, their gradients added up (twice)
    checkpoint  2·4·E·C             a generation: centres and momentum of all ranks

m is fitted to ``experiments/speed/partial_fc.csv``, one value for one rank and one for several, and so is what
libraries take; ``fit.csv`` has every cell beside what the formula says. ``large.csv`` has the formula for large sets.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
MEASURED = HERE.parent / "speed" / "partial_fc.csv"
MIB, E = 2**20, 512


def exact(classes: float, ranks: int, rate: float) -> float:
    """Bytes that are counted without a fit: centres and rows."""
    return 4 * E * classes / ranks * (2 + (3 if rate == 1 else 5) * rate)


def cosines(classes: float, ranks: int, rate: float, batch: int) -> float:
    """Bytes of one tensor of cosines."""
    return 4 * batch * rate * classes / ranks


def fitted(rows: list[dict[str, float]], batch: int) -> tuple[float, float]:
    """m, and the MiB that libraries take; cells count by their relative error."""
    left = np.array([[cosines(r["classes"], int(r["ranks"]), r["rate"], batch) / MIB, 1.0] for r in rows])
    right = np.array([r["MiB a rank"] - exact(r["classes"], int(r["ranks"]), r["rate"]) / MIB for r in rows])
    weight = 1 / np.array([r["MiB a rank"] for r in rows])
    found, *_ = np.linalg.lstsq(left * weight[:, None], right * weight, rcond=None)
    return float(found[0]), float(found[1])


def write(name: str, rows: list[dict[str, object]]) -> None:
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)


def main() -> None:
    with open(MEASURED) as file:
        measured = [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
    told: list[dict[str, object]] = []
    copies: dict[bool, float] = {}
    for several in (False, True):
        rows = [row for row in measured if (row["ranks"] > 1) == several]
        copies[several], base = fitted(rows, 128)
        for row in rows:
            classes, ranks, rate = row["classes"], int(row["ranks"]), row["rate"]
            size = (exact(classes, ranks, rate) + copies[several] * cosines(classes, ranks, rate, 128)) / MIB + base
            told.append(
                {"classes": int(classes), "ranks": ranks, "rate": rate, "measured MiB": row["MiB a rank"],
                 "formula MiB": round(size, 1), "ratio": round(size / row["MiB a rank"], 2),
                 "m": round(copies[several], 1), "libraries MiB": round(base)}
            )  # fmt: skip
    write("fit.csv", told)
    large: list[dict[str, object]] = []
    for classes, ranks, a_rank in ((360_000, 8, 128), (2_000_000, 8, 128), (10_000_000, 64, 128)):
        for rate in (1.0, 0.1):
            batch = ranks * a_rank
            large.append(
                {
                    "classes": classes,
                    "ranks": ranks,
                    "batch": batch,
                    "rate": rate,
                    "centres and rows GiB": round(exact(classes, ranks, rate) / 2**30, 2),
                    "cosines GiB": round(copies[True] * cosines(classes, ranks, rate, batch) / 2**30, 2),
                    "traffic of the head MiB a step": round(3 * 4 * batch * E / MIB, 1),
                    "head TFLOP a step and rank": round(6 * batch * E * rate * classes / ranks / 1e12, 2),
                    "checkpoint GiB": round(2 * 4 * E * classes / 2**30, 1),
                }
            )
    write("large.csv", large)


if __name__ == "__main__":
    main()
