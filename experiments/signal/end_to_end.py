"""Does the search find the margin? Whole searches beside whole trainings of every margin, on test sets at the very end.

    python experiments/signal/end_to_end.py --faces FACES --runs RUNS

Needs what measure.py left in RUNS: its lanes are the trainings with a fixed margin (the weights that ``autofr train``
trains, to the bit), and one that drew its margin at random every epoch. For every seed, on the same faces and batches,
searches:

- ``MAN``: four members, a generation an epoch, LFS as published, scored by FNMR and the weights as they are;
- ``new``: the defaults of autofr, every member training every generation whole;
- ``new, explore 0.5`` and ``new, explore 0.2``: the winner alone does the rest of each generation;
Networks are compared alike: the weights after the last step, of searches (not averaged, no better generation picked) as
of trainings. Writes, beside this file: ``results.csv``: LFW's and MFR2's lists of pairs, and all pairs of the verdict's
identities, plain and masked, with cost in trainings, and (``kept``) the verdict on what a search leaves in ``model/``;
``answers.csv``: alpha of each search and the true rank of its first option.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from scipy.stats import rankdata

sys.path.insert(0, str(Path(__file__).parent))
from measure import path_of, verdict_images
from score import LANES, Judge, maskable
from setting import FULL, POOL, SMALL, Setting, arguments, ground, read_faces, searched, write

import autofr
from autofr import Choice, SearchSpace
from autofr.backbones.embedder import build_embedder
from autofr.evaluation.embedding import embed
from autofr.losses import ArcFace
from autofr.runs.bank import network_of
from autofr.runs.journal import Journal

SPACE = SearchSpace(loss=Choice(ArcFace(margin) for margin in POOL))
RAW = {"average": False, "reward": "fnmr"}
SEARCHES: dict[str, dict[str, Any]] = {
    "MAN": {"policy": "lfs:lr=0.05,floor=0", **RAW},
    "new": {},
    "new, explore 0.2": {"explore": 0.2},
    "new, explore 0.5": {"explore": 0.5},
}
FMR = 1e-2
Row = dict[str, Any]
Job = tuple[Setting, Path, Path, int, str]
"""Setting, faces, folder of measure.py, seed, the name of a search or of a lane."""


def run(job: Job) -> None:
    """The search, unless it is done."""
    setting, faces, folder, seed, name = job
    run_dir = _run_dir(folder, seed, name)
    if name not in SEARCHES or (run_dir / "report.json").exists():
        return
    torch.set_num_threads(1)
    autofr.search(
        SPACE,
        searched(read_faces(faces, setting), setting),
        validation_identities=setting.validation,
        epochs=setting.epochs,
        seed=seed,
        run_dir=run_dir,
        resume=run_dir.exists(),
        tracking=False,
        progress=False,
        **setting.recipe,
        **SEARCHES[name],
    )
    print(f"seed {seed}: {name}", flush=True)


def scored(job: Job) -> Row:
    """What the network of a search, or of a lane, is worth on identities that it never met."""
    torch.set_num_threads(1)
    setting, faces, folder, seed, name = job
    model = _run_dir(folder, seed, name)
    row: Row = {"seed": seed, "run": name if name in SEARCHES or name == "random" else f"fixed {name}"}
    at = ground(read_faces(faces, setting), setting, seed)
    if name in SEARCHES:
        found = autofr.SearchResult(model)
        row |= {"trainings": round(found.trainings, 3), "answer": found.best["loss"]}
        (entry,) = Journal(model).newest_bank().entries.values()
        net = network_of(entry.state)
    else:
        row |= {"trainings": 1, "answer": ""}
        net = torch.load(path_of(folder, seed, -1, False), weights_only=True, map_location="cpu")["nets"][
            LANES.index(name)
        ]
    last = model.with_name(f"{model.name}-last")
    config = {key: getattr(at.recipe, key) for key in ("backbone", "image_size", "embedding_dim")}
    build_embedder(config, net, name).save(last)
    for test, masked in (("lfw", "probe"), ("mfr2", "no")):
        pairs = faces / f"{test}_pairs.txt"
        report = autofr.evaluate(last, faces / test, pairs=pairs, masked=masked, fmrs=[FMR], progress=False)
        for kind, scores in report["results"].items():
            rate, column = scores["rates"][0], f"{test} {kind}"
            row |= {f"{column} accuracy": round(scores["accuracy"], 4), column: round(rate["fnmr"], 4)}
            low, high = rate["interval"] or ("", "")  # a draw of few identities may not show the rate
            row |= {f"{column} low": low, f"{column} high": high}
    images, judge = verdict_images(at.verdict, seed), Judge(at.verdict.labels, maskable(at.verdict))
    for column, path in {"verdict": last, **({"kept": model} if name in SEARCHES else {})}.items():
        backbone = autofr.load_embedder(path).backbone
        plain, masked_ones = (embed(backbone, pixels) for pixels in images)
        (found_there,) = judge.rows(plain, masked_ones, False)
        row[column] = f"{-float(found_there['fnmr']):.5f}"
    print(f"seed {seed}: {name} scored", flush=True)
    return row


def answers(folder: Path, seeds: Iterable[int], worth: Callable[[float], float]) -> list[Row]:
    """α of each search at its end, the option that is first, and its rank among the trainings (mean over seeds)."""
    ranks = dict(zip(POOL, rankdata([-worth(margin) for margin in POOL]).tolist(), strict=True))
    rows = []
    for seed in seeds:
        for name in SEARCHES:
            found = autofr.SearchResult(_run_dir(folder, seed, name))
            alpha = found.alpha[-1].tolist()
            first = POOL[max(range(len(POOL)), key=alpha.__getitem__)]
            row = {"seed": seed, "run": name, "first": first, "true rank": ranks[first]}
            rows.append(row | {f"{margin:g}": round(p, 4) for margin, p in zip(POOL, alpha, strict=True)})
    return rows


def _run_dir(folder: Path, seed: int, name: str) -> Path:
    return folder / f"{name.replace(', ', '-').replace(' ', '-')}-seed{seed}"


def main() -> None:
    """Run every search, then score everything."""
    asked = arguments(__doc__)
    setting = FULL if asked.full else SMALL
    folder = asked.runs / ("signal_full" if asked.full else "signal")
    jobs: list[Job] = [(setting, asked.faces, folder, s, name) for name in SEARCHES for s in asked.seeds]
    lanes: list[Job] = [(setting, asked.faces, folder, s, name) for s in asked.seeds for name in LANES]
    with get_context("spawn").Pool(asked.processes, maxtasksperchild=1) as pool:
        pool.map(run, jobs, chunksize=1)
        rows = pool.map(scored, [*jobs, *lanes], chunksize=1)
    fixed = {margin: [-float(row["verdict"]) for row in rows if row["run"] == f"fixed {margin:g}"] for margin in POOL}
    suffix = "_full" if asked.full else ""
    write(f"results{suffix}.csv", rows)
    write(f"answers{suffix}.csv", answers(folder, asked.seeds, lambda m: sum(fixed[m]) / len(fixed[m])))


if __name__ == "__main__":
    main()
