"""What a mask costs: RandomFaceMask, an OpenCV loop, and two of Kornia's own augmentations, side by side.

    python experiments/speed/masks.py [--device cuda] [--step]

On drawn faces of 112x112, 64 and 256 at a time, two threads; each figure is the median of 20 calls, the ways taking
turns. The OpenCV loop does what the usual tools do for each image: fit a homography from a flat template to the face,
warp colour and opacity, blend. ``--step`` also times one training step of the nets (forward, ArcFace, backward) on
112x112 faces, against which masking at p = 0.2 is set. Writes ``masks.csv`` beside this file (``masks_cuda.csv`` on a
GPU).
"""

from __future__ import annotations

import argparse
import csv
import platform
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from kornia.augmentation import RandomErasing, RandomPerspective

from autofr.backbones import create_backbone
from autofr.backbones.normalise import normalise
from autofr.data import synthetic_faces
from autofr.losses import ArcFace
from autofr.masks import RandomFaceMask

HERE = Path(__file__).resolve().parent
REPEATS, THREADS, SIZE = 20, 2, 112


def opencv_loop(images: np.ndarray, anchors: np.ndarray) -> Callable[[], object]:
    """A template warped onto each face of (B, 112, 112, 3) uint8 and blended, one after the other."""
    import cv2

    cv2.setNumThreads(THREADS)
    template = np.full((128, 192, 3), (210, 180, 140), np.uint8)
    template[::16] = 160
    alpha = np.zeros((128, 192), np.float32)
    cv2.ellipse(alpha, (96, 40), (95, 88), 0, 0, 360, 1.0, -1)
    corners = np.array([[0, 0], [96, 0], [191, 0], [191, 80], [96, 127], [0, 80]], np.float32)
    targets = anchors[:, [0, 11, 5, 7, 16, 2]].astype(np.float32)

    def run() -> object:
        out = np.empty_like(images)
        for index, (image, target) in enumerate(zip(images, targets, strict=True)):
            matrix, _ = cv2.findHomography(corners, target)
            colour = cv2.warpPerspective(template, matrix, (SIZE, SIZE))
            opacity = cv2.warpPerspective(alpha, matrix, (SIZE, SIZE))[..., None]
            out[index] = image * (1 - opacity) + colour * opacity
        return out

    return run


def timed(ways: dict[str, Callable[[], object]], device: str) -> dict[str, float]:
    """Median seconds of each way, the ways taking turns so that the machine's moods fall on all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(REPEATS + 2):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if device != "cpu":
                torch.cuda.synchronize()
            if turn >= 2:
                seconds[name].append(time.perf_counter() - start)
    return {name: median(values) for name, values in seconds.items()}


def training_step(backbone: str, batch: int, embedding: int, device: str) -> Callable[[], object]:
    """One step of a net on 112x112 faces, as a member takes it."""
    net = create_backbone(backbone, SIZE, embedding).to(device)
    centres = torch.randn(1000, embedding, device=device, requires_grad=True)
    loss = ArcFace(0.3, s=24.0).to(device)
    optimizer = torch.optim.SGD([*net.parameters(), centres], lr=0.01, momentum=0.9)
    images, labels = (
        normalise(torch.rand(batch, 3, SIZE, SIZE, device=device)),
        torch.arange(batch, device=device) % 1000,
    )

    def run() -> object:
        vectors = torch.nn.functional.normalize(net(images).float(), dim=1)
        value = loss(vectors @ torch.nn.functional.normalize(centres, dim=1).T, labels)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        return value

    return run


def main() -> None:
    """Time everything and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--step", action="store_true", help="time training steps as well")
    arguments = parser.parse_args()
    device = arguments.device
    torch.set_num_threads(THREADS)
    machine = torch.cuda.get_device_name() if device != "cpu" else f"{platform.machine()}, {THREADS} threads"
    faces = synthetic_faces(64, 4, SIZE, seed=0)
    assert faces.anchors is not None
    rows = []
    for count in (64, 256):
        pixels = faces.read(torch.arange(count))
        images, anchors = pixels.to(device).float() / 255, faces.anchors[:count].to(device)
        always, often = RandomFaceMask(p=1.0).to(device), RandomFaceMask(p=0.2).to(device)
        erasing, perspective = RandomErasing(p=1.0).to(device), RandomPerspective(0.3, p=1.0).to(device)
        ways: dict[str, Callable[[], object]] = {
            "RandomFaceMask p=1": partial(always, images, anchors),
            "RandomFaceMask p=0.2": partial(often, images, anchors),
            "OpenCV loop": opencv_loop(pixels.permute(0, 2, 3, 1).contiguous().numpy(), anchors.cpu().numpy()),
            "kornia RandomErasing p=1": partial(erasing, images),
            "kornia RandomPerspective p=1": partial(perspective, images),
        }
        found = timed(ways, device)
        for name, seconds in found.items():
            ratio = seconds / found["OpenCV loop"]
            rows.append([name, count, f"{seconds * 1e3 / count:.3f}", f"{ratio:.2f}", machine])
            print(*rows[-1], sep="\t")
        if arguments.step and count == 64:
            masking = found["RandomFaceMask p=0.2"]
            for backbone, batch, embedding in (("ir_mini", 64, 128), ("ir50", 16, 512)):
                way = training_step(backbone, batch, embedding, device)
                step = timed({"step": way}, device)["step"] / batch
                share = masking / 64 / step
                rows.append([f"training step, {backbone}", batch, f"{step * 1e3:.3f}", "", machine])
                rows.append([f"masking p=0.2 as a share of it, {backbone}", batch, "", f"{share:.4f}", machine])
                print(*rows[-2], sep="\t")
                print(*rows[-1], sep="\t")
    with (HERE / ("masks.csv" if device == "cpu" else "masks_cuda.csv")).open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["way", "images", "ms an image", "against the OpenCV loop, or share", "machine"])
        table.writerows(rows)


if __name__ == "__main__":
    main()
