"""The rewards of all that measure.py kept, as tables.

    python experiments/signal/score.py --faces FACES --runs RUNS

Writes, beside this file: ``forks.csv``, a row for every fork, horizon, margin, kind of weights and set of validation
identities (all of them, and two halves), a column for every reward; and ``lanes.csv``, the same for whole trainings
after every epoch, with a row ``verdict`` for the identities that nobody trained on or was scored on.

Columns are 0.75 x the masked faces' figure + 0.25 x the plain ones'.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parent))
from candidates import CANDIDATES
from setting import FULL, MARGINS, POOL, SMALL, Setting, arguments, ground, read_faces, write

from autofr.data import Faces
from autofr.engine.validation import MFR_WEIGHT
from autofr.evaluation.errors import measure
from autofr.evaluation.rewards import fmrs_around
from autofr.evaluation.streaming import AllPairs, Side
from autofr.io.files import write_json
from autofr.masks.geometry import AWAY

FMRS = [1e-2, *fmrs_around(1e-2, 10**9)]
LANES = [*(f"{margin:g}" for margin in MARGINS), "random"]
Row = dict[str, Any]


class Judge:
    """Rewards of embeddings of one set of faces.

    Args:
        labels: (N,) identities.
        maskable: (N,) which faces carry a mask.
    """

    def __init__(self, labels: Tensor, maskable: Tensor) -> None:
        self.labels, self.maskable = labels, maskable
        count = int(labels.max()) + 1
        half = torch.zeros(count, dtype=torch.bool)
        half[torch.randperm(count, generator=torch.Generator().manual_seed(0))[: count // 2]] = True
        self.sets = {"all": torch.ones(len(labels), dtype=torch.bool), "a": half[labels], "b": ~half[labels]}

    def rows(self, plain: Tensor, masked: Tensor, halves: bool) -> Iterator[Row]:
        """The rewards on all identities, and on each half of them."""
        for name, chosen in self.sets.items():
            if halves or name == "all":
                yield {"identities": name, **self._rewards(plain, masked, chosen)}

    def _rewards(self, plain: Tensor, masked: Tensor, chosen: Tensor) -> Row:
        seen = chosen & self.maskable
        found = [
            measure(AllPairs(self._side(plain, chosen)), FMRS),
            measure(AllPairs(self._side(plain, seen), self._side(masked, seen)), FMRS),
        ]
        row = {n: MFR_WEIGHT * of(found[1]) + (1 - MFR_WEIGHT) * of(found[0]) for n, of in CANDIDATES.items()}
        return {name: f"{value:.5f}" for name, value in row.items()}

    def _side(self, embeddings: Tensor, chosen: Tensor) -> Side:
        return Side(F.normalize(embeddings[chosen].float(), dim=1), self.labels[chosen], chosen.nonzero().squeeze(1))


def looks(found: dict[str, Tensor]) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Each kind of weights, with embeddings of plain and masked faces."""
    for kind in ("raw", "recalibrated", "mean"):
        yield kind, found[f"{kind}/plain"], found[f"{kind}/masked"]
    mirrored = [
        F.normalize(found[f"raw/{of}"].float(), dim=1) + F.normalize(found[f"raw/{of}_mirrored"].float(), dim=1)
        for of in ("plain", "masked")
    ]
    yield "mirrored", mirrored[0], mirrored[1]
    if "raw/masked_again" in found:
        yield "raw, other masks", found["raw/plain"], found["raw/masked_again"]


def scored(job: tuple[Setting, Path, Path]) -> list[Row]:
    """The rows of one file of measure.py; they are kept beside it."""
    torch.set_num_threads(1)
    setting, faces, path = job
    done = path.with_suffix(".json")
    if done.exists():
        found: list[Row] = json.loads(done.read_text())
        return found
    numbers = [int(n) for n in re.findall(r"\d+", path.stem)]
    at = ground(read_faces(faces, setting), setting, numbers[0])
    kept = torch.load(path, weights_only=True, map_location="cpu")
    judge = Judge(at.validation.labels, maskable(at.validation))
    rows: list[Row] = []
    if path.stem.startswith("lanes"):
        for epoch, members in kept["curve"].items():
            for lane, found in zip(LANES, members, strict=True):
                about = {"seed": at.seed, "lane": lane, "epoch": epoch}
                rows += [about | row for row in judge.rows(found["raw/plain"], found["raw/masked"], False)]
        verdict = Judge(at.verdict.labels, maskable(at.verdict))
        for lane, found in zip(LANES, kept["verdict"], strict=True):
            about = {"seed": at.seed, "lane": lane, "epoch": "verdict"}
            rows += [about | row for row in verdict.rows(found["plain"], found["masked"], False)]
    else:
        for horizon, members in kept["found"].items():
            for margin, found in zip(POOL, members, strict=True):
                about = {"seed": at.seed, "epoch": numbers[1], "again": int("again" in path.stem)}
                about |= {"horizon": horizon, "margin": margin}
                for kind, plain, masked in looks(found):
                    rows += [about | {"weights": kind} | row for row in judge.rows(plain, masked, True)]
    write_json(done, rows)
    print(path.stem, flush=True)
    return rows


def maskable(faces: Faces) -> Tensor:
    """Which faces carry a mask when all are to."""
    return faces.placement() > AWAY


def main() -> None:
    """Score every file that is there, and write both tables."""
    asked = arguments(__doc__)
    setting = FULL if asked.full else SMALL
    folder = asked.runs / ("signal_full" if asked.full else "signal")
    files = [path for path in sorted(folder.glob("*.pt")) if int(re.findall(r"\d+", path.stem)[0]) in asked.seeds]
    with get_context("spawn").Pool(asked.processes, maxtasksperchild=1) as pool:
        found = pool.map(scored, [(setting, asked.faces, path) for path in files], chunksize=1)
    for table in ("lanes", "forks"):
        rows = [row for path, rows in zip(files, found, strict=True) if path.stem.startswith(table) for row in rows]
        if rows:
            write(f"{table}{'_full' if asked.full else ''}.csv", rows)


if __name__ == "__main__":
    main()
