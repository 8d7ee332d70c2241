"""Small members on one GPU: one after the other, on streams of their own, or with their kernels replayed.

    python experiments/speed/overlap.py FACES [--members 4] [--size 64] [--backbone ir_mini]

FACES is a folder with one sub-folder an identity. For each way, milliseconds of a step of all members on the same
batch, and the share of it in which the GPU computes: where that is well below 1, it waits to be told what to do, and
neither streams nor more members at a time can help; kernels that are recorded once and replayed can.

``in turn``: as autofr trains. ``streams``: each member on a CUDA stream of its own. ``compiled``: torch.compile.
``replayed``: as --compile does it, with CUDA graphs. Rounds in turn, medians; rows go to ``overlap.csv``.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from autofr import Choice, SearchSpace
from autofr.data import load_faces, scan
from autofr.data.loader import Batch, TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.losses import ArcFace
from autofr.training.recipe import Recipe

SPACE = SearchSpace(loss=Choice(ArcFace(0.3)))
CUDA = torch.device("cuda")


def crew(recipe: Recipe, classes: int, members: int, mode: str | None = None) -> list[Member]:
    found = [Member(i, recipe.backbone, SPACE, recipe, classes, CUDA) for i in range(members)]
    for member in found:
        member.begin(0)
        if mode is not None:
            member._forward = torch.compile(member.backbone, mode=mode)
    return found


def in_turn(members: list[Member]) -> Callable[[Batch], None]:
    def run(batch: Batch) -> None:
        for member in members:
            member.step(batch, 0.01, 1.0)

    return run


def on_streams(members: list[Member]) -> Callable[[Batch], None]:
    streams = [torch.cuda.Stream() for _ in members]

    def run(batch: Batch) -> None:
        here = torch.cuda.current_stream()
        for member, stream in zip(members, streams, strict=True):
            stream.wait_stream(here)
            with torch.cuda.stream(stream):
                member.step(batch, 0.01, 1.0)
        for stream in streams:
            here.wait_stream(stream)

    return run


def busy(run: Callable[[Batch], None], batch: Batch) -> float:
    """Milliseconds in which at least one kernel computes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        run(batch)
        torch.cuda.synchronize()
    spans = sorted(
        (event.time_range.start, event.time_range.end)
        for event in profile.events()
        if event.device_type == torch.autograd.DeviceType.CUDA
    )
    total, reached = 0.0, 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--backbone", default="ir_mini")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    recipe = Recipe.for_images(10_000, image_size=args.size, backbone=args.backbone, precision=args.precision)
    faces = load_faces(scan(args.faces), args.size)
    batch = next(iter(TrainingBatches(FacesSource(faces, recipe.batch_size, 0), 0.0, 0, CUDA).batches(0, 1)))
    classes = len(faces.identities)
    ways = {
        "in turn": in_turn(crew(recipe, classes, args.members)),
        "streams": on_streams(crew(recipe, classes, args.members)),
        "compiled": in_turn(crew(recipe, classes, args.members, "default")),
        "replayed": in_turn(crew(replace(recipe, compile=True), classes, args.members)),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(args.rounds + 5):
        for way, run in ways.items():
            torch.cuda.synchronize()
            started = time.perf_counter()
            run(batch)
            torch.cuda.synchronize()
            if turn >= 5:  # the first ones compile and record
                taken[way].append(1000 * (time.perf_counter() - started))
    rows = [
        {
            "way": way,
            "milliseconds": round(statistics.median(taken[way]), 2),
            "of in turn": round(statistics.median(taken[way]) / statistics.median(taken["in turn"]), 3),
            "GPU busy, milliseconds": round(busy(run, batch), 2),
            "members": args.members,
            "backbone": args.backbone,
            "pixels": args.size,
            "precision": args.precision,
            "device": torch.cuda.get_device_name(),
        }
        for way, run in ways.items()
    ]
    known = list(csv.DictReader(args.out.open())) if args.out.exists() else []
    with open(args.out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows([*known, *rows])
    for row in rows:
        print(row, flush=True)


if __name__ == "__main__":
    main()
