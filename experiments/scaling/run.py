"""Memory, time and traffic of the class centres by formula: checked against what was measured, then taken further.

    python experiments/scaling/run.py

Per rank, with C classes, E numbers an embedding, a global batch of B faces, D data ranks and a rate r, in float32:

    centres     2·4·E·C/D           weights and momentum
    rows        k·4·E·r·C/D         what a step makes of the rows that it meets: gradient, normalised, drawn
    cosines     m·4·B·r·C/D         m tensors of cosines, logits and gradients that are alive at once
    time        t + x·B·r·C/D + y·r·C/D + z·C/D (z below rate 1 only: the draw)
    traffic     3·4·B·E             a step: embeddings gathered, their gradients added up (twice)
    checkpoint  2·4·E·C             a generation: centres and momentum of all ranks

k (one for rate 1, one below), m and what libraries take are fitted to ``experiments/speed/partial_fc*.csv`` for one
rank and for two on CPUs, and for one on an H100; t, x, y and z for the H100. (Times of ``partial_fc_2048.csv`` were
taken beside other work, and are not used.) ``fit.csv`` has every cell beside what the formula says; ``large.csv`` has
large sets. Its last column is a measurement: one H100 doing what a rank of the mesh does, as if it were alone.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
SPEED = HERE.parent / "speed"
MIB, E = 2**20, 512
Cells = list[dict[str, float]]


def measured(name: str) -> Cells:
    with open(SPEED / name) as file:
        return [{"faces": 128.0} | {k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def memory_terms(r: dict[str, float]) -> list[float]:
    """What k at rate 1, k below, m and 1 are multiplied by, MiB."""
    met = r["rate"] * r["classes"] / r["ranks"]
    rows, cosines = 4 * E * met / MIB, 4 * r["faces"] * met / MIB
    return [rows * (r["rate"] == 1), rows * (r["rate"] < 1), cosines, 1.0]


def centres(r: dict[str, float]) -> float:
    """MiB of weights and momentum."""
    return 2 * 4 * E * r["classes"] / r["ranks"] / MIB


def time_terms(r: dict[str, float]) -> list[float]:
    """What t, x, y and z are multiplied by."""
    here = r["classes"] / r["ranks"]
    return [1.0, r["faces"] * r["rate"] * here / 1e6, r["rate"] * here / 1e6, (r["rate"] < 1) * here / 1e6]


def fitted(terms: list[list[float]], values: list[float]) -> np.ndarray:
    """Factors, none below 0, by least squares of relative errors."""
    left, right = np.array(terms), np.array(values)
    kept = list(range(left.shape[1]))
    while True:
        found, *_ = np.linalg.lstsq(left[:, kept] / right[:, None], np.ones(len(right)), rcond=None)
        if (found >= 0).all():
            factors = np.zeros(left.shape[1])
            factors[kept] = found
            return factors
        kept.pop(int(found.argmin()))


def write(name: str, rows: list[dict[str, object]]) -> None:
    with open(HERE / name, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(row)


def main() -> None:
    on_cpu = measured("partial_fc.csv") + measured("partial_fc_2048.csv")
    groups = {f"CPU, ranks {n}": [r for r in on_cpu if r["ranks"] == n] for n in (1, 2)}
    groups["H100"] = measured("partial_fc_h100.csv")
    told: list[dict[str, object]] = []
    copies: dict[str, float] = {}  # m
    for name, cells in groups.items():
        # Centres are counted, not fitted: what is left of the measured is.
        terms = [[v / (r["MiB a rank"]) for v in memory_terms(r)] for r in cells]
        left = [1 - centres(r) / r["MiB a rank"] for r in cells]
        factors, *_ = np.linalg.lstsq(np.array(terms), np.array(left), rcond=None)
        copies[name] = float(factors[2])
        times = fitted([time_terms(r) for r in cells], [r["milliseconds"] for r in cells])
        for r in cells:
            size = centres(r) + float(factors @ memory_terms(r))
            lasting = float(times @ time_terms(r))
            told.append(
                {"where": name, **{k: r[k] for k in ("classes", "rate", "faces")},
                 "measured MiB": r["MiB a rank"], "formula MiB": round(size, 1),
                 "ratio": round(size / r["MiB a rank"], 2),
                 **dict(zip(("k at 1", "k below", "m", "libraries MiB"), factors.round(1).tolist(), strict=True)),
                 "measured ms": r["milliseconds"] if name == "H100" else "",
                 "formula ms": round(lasting, 2) if name == "H100" else ""}
            )  # fmt: skip
    write("fit.csv", told)
    alone = {(r["classes"], r["faces"], r["rate"]): r for r in groups["H100"]}
    large: list[dict[str, object]] = []
    for classes, ranks, a_rank in ((360_000, 8, 128), (2_000_000, 8, 128), (10_000_000, 64, 128)):
        for rate in (1.0, 0.1):
            r = {"classes": float(classes), "ranks": float(ranks), "rate": rate, "faces": float(ranks * a_rank)}
            share = alone[classes / ranks, r["faces"], rate]
            large.append(
                {
                    "classes": classes,
                    "ranks": ranks,
                    "batch": ranks * a_rank,
                    "rate": rate,
                    "head GiB": round((centres(r) + float(factors @ memory_terms(r))) / 1024, 2),
                    "by parts GiB": round(
                        (centres(r) + float(factors @ memory_terms(r))) / 1024
                        + (copies["CPU, ranks 2"] - copies["H100"]) * memory_terms(r)[2] / 1024,
                        2,
                    ),
                    "head measured GiB": round(share["MiB a rank"] / 1024, 2),
                    "cosines GiB": round(float(factors[2]) * memory_terms(r)[2] / 1024, 2),
                    "head ms": round(float(times @ time_terms(r)), 1),
                    "head measured ms": share["milliseconds"],
                    "traffic of the head MiB a step": round(3 * 4 * r["faces"] * E / MIB, 1),
                    "checkpoint GiB": round(2 * 4 * E * classes / 2**30, 1),
                }
            )
    write("large.csv", large)


if __name__ == "__main__":
    main()
