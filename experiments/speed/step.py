"""Images a second of autofr's training: over a loop written by hand, and of a population over separate trainings.

    python experiments/speed/step.py FACES [--device cuda] [--precision bf16] [--compile]

FACES is a folder with one sub-folder an identity, and landmarks beside it. Two ratios, medians of rounds in turn:

``epoch / by hand``: one member's segment, against the loop that a person writes: the same network, ArcFace, SGD and
clipping, the same faces in memory, the same flips and masks.
``population of 4 / 4 trainings``: images a second of four members that train in step, against four segments one after
the other, each decoding and masking its own batches: images do not fit in memory there, and are decoded each time.

Results go to ``step.csv``, with the device's name. Nothing else should run.
"""

from __future__ import annotations

import argparse
import csv
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import autofr.data.load
from autofr import Choice, SearchSpace
from autofr.backbones import create_backbone
from autofr.compute.precision import Precision
from autofr.data import Faces, load_faces, scan
from autofr.data.loader import TrainingBatches
from autofr.data.sources import FacesSource
from autofr.engine.member import Member
from autofr.losses import ArcFace
from autofr.masks import RandomFaceMask, flip_anchors
from autofr.training.recipe import Recipe, Timetable
from autofr.training.segment import train_segment

SPACE = SearchSpace(loss=Choice(ArcFace(0.3)))


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def by_hand(faces: Faces, recipe: Recipe, device: torch.device, steps: int) -> Callable[[], None]:
    """The loop that a person writes."""
    backbone = create_backbone(recipe.backbone, recipe.image_size, recipe.embedding_dim).to(device)
    if device.type == "cuda":
        backbone.to(memory_format=torch.channels_last)
    mode = "reduce-overhead" if device.type == "cuda" else None  # as autofr has it
    forward = torch.compile(backbone, mode=mode) if recipe.compile else backbone
    centres = nn.Parameter(torch.randn(len(faces.identities), recipe.embedding_dim, device=device) * 0.01)
    loss, precision = ArcFace(0.3, s=recipe.scale), Precision(recipe.precision)
    parameters = [centres, *backbone.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True)
    mask = RandomFaceMask(p=recipe.mask_prob).to(device)
    assert faces.anchors is not None
    anchors = faces.anchors

    def run() -> None:
        for wanted in torch.randperm(len(faces))[: steps * recipe.batch_size].split(recipe.batch_size):
            images = faces.read(wanted).to(device).float() / 255
            flipped = torch.rand(len(images), device=device) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(-1), images)
            points = anchors[wanted].to(device)
            images = mask(images, torch.where(flipped[:, None, None], flip_anchors(points, images.shape[-1]), points))
            images = ((images - 0.5) / 0.5).contiguous(memory_format=torch.channels_last)
            with precision.context(device):
                embeddings = forward(images).float()
            cosines = F.linear(F.normalize(embeddings, dim=1), F.normalize(centres, dim=1))
            value = loss(cosines.clamp(-1, 1), faces.labels[wanted].to(device))
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            nn.utils.clip_grad_norm_(parameters, recipe.clip)
            optimizer.step()

    return run


def segment(faces: Faces, recipe: Recipe, device: torch.device, steps: int, members: int) -> Callable[[], None]:
    """One segment of so many members that train in step."""
    crew = [Member(i, recipe.backbone, SPACE, recipe, len(faces.identities), device) for i in range(members)]
    batches = TrainingBatches(FacesSource(faces, recipe.batch_size, 0), recipe.mask_prob, 0, device)
    timetable = Timetable(recipe, steps)

    def run() -> None:
        for member in crew:
            member.begin(0)
        train_segment(crew, batches, timetable, timetable.steps_of(0), 0)

    return run


def rates(
    kinds: dict[str, Callable[[], None]], images: int, rounds: int, device: torch.device
) -> dict[str, list[float]]:
    """Images a second of each, in turn; the first round warms up."""
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for turn in range(rounds + 1):
        for kind, work in kinds.items():
            wait(device)
            started = time.perf_counter()
            work()
            wait(device)
            if turn:
                taken[kind].append(images / (time.perf_counter() - started))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("faces", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--backbone", default="ir_mini")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".csv"))
    args = parser.parse_args()
    device = torch.device(args.device)
    recipe = Recipe.for_images(
        10_000, image_size=args.size, backbone=args.backbone, precision=args.precision, compile=args.compile
    )
    found = scan(args.faces, args.faces.with_name(f"{args.faces.name}_landmarks.npz"))
    in_memory = load_faces(found, args.size)
    autofr.data.load.CACHE_SHARE = 0.0
    on_disk = load_faces(found, args.size)
    images = args.steps * recipe.batch_size
    one = rates(
        {
            "by hand": by_hand(in_memory, recipe, device, args.steps),
            "epoch": segment(in_memory, recipe, device, args.steps, 1),
        },
        images,
        args.rounds,
        device,
    )
    alone = segment(on_disk, recipe, device, args.steps, 1)
    together = segment(on_disk, recipe, device, args.steps, 4)
    four = rates(
        {"4 trainings": lambda: [alone() for _ in range(4)] and None, "population of 4": together},
        4 * images,
        args.rounds,
        device,
    )
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()}, {os.cpu_count()} cores"
    )
    rows = []
    for taken, above, below in ((one, "epoch", "by hand"), (four, "population of 4", "4 trainings")):
        ratios = [a / b for a, b in zip(taken[above], taken[below], strict=True)]
        rows.append(
            {
                "ratio": f"{above} / {below}",
                "median": round(statistics.median(ratios), 3),
                "lowest": round(min(ratios), 3),
                "highest": round(max(ratios), 3),
                "images a second": round(statistics.median(taken[above]), 1),
                "backbone": args.backbone,
                "pixels": args.size,
                "precision": args.precision,
                "compiled": args.compile,
                "device": name,
            }
        )
        print(rows[-1], flush=True)
    with open(args.out, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
