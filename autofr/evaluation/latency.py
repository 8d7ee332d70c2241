"""`autofr latency`: how long one face takes, from a photograph to an embedding, and which limits that meets."""

from __future__ import annotations

import logging
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from autofr.data.synthetic import synthetic_faces
from autofr.detection import DETECTORS, Detector, align_face, create_detector, usable
from autofr.detection.align import SIZE, TEMPLATE
from autofr.exceptions import AutofrError
from autofr.io.images import open_image
from autofr.models import Model, load_model
from autofr.system.torchrun import cores

logger = logging.getLogger(__name__)

LIMITS = {"FRUITS-100": 100.0, "FRUITS-500": 500.0, "FRUITS-1000": 1000.0}
"""Milliseconds from photograph to embedding on one core of a CPU, as the WebFace260M benchmark sets them (Zhu et al.,
CVPR 2021); the masked-face challenge's limit was FRUITS-1000."""
MAN = {"detection": 157.0, "recognition": 496.0}
"""Milliseconds that the Mask Aware Network reports."""
PHOTO = (640, 480)
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True)
class Stage:
    """Milliseconds of one stage: median, and what 95 % of the calls stay below."""

    median: float
    p95: float


def measure_latency(
    model: str | Path,
    *,
    photo: str | Path | None = None,
    detector: str | None = None,
    flip: bool = False,
    repeats: int = 50,
) -> dict[str, Any]:
    """Time detection, alignment and recognition of one face on this machine's CPU, batch 1.

    Args:
        model: as :func:`autofr.models.load_model` takes it.
        photo: a photograph with a face; ``None``: a drawn one in 640x480 pixels.
        detector: a name for :func:`autofr.detection.create_detector`; ``None``: dlib, or else the first that can be
            made; without any, detection is not timed.
        flip: embed the mirrored face too.
        repeats: timed calls of each stage.

    Returns:
        ``threads``: by number of threads, ``stages`` (``detection``, ``alignment``, ``recognition``, ``total``; each
        with ``median`` and ``p95`` in milliseconds) and ``meets`` (limits that the total's p95 meets on that many);
        ``model``, ``detector``, ``photo`` (pixels), ``found`` (whether the detector found the face), ``machine``.

    Raises:
        AutofrError: bad input, or a detector that is not installed.
    """
    if repeats < 5:
        raise AutofrError(f"a median and a 95th percentile need 5 calls or more, got {repeats}")
    # An ONNX session has threads of its own, decided when it is made.
    networks = {count: load_model(model, torch.device("cpu"), threads=count) for count in sorted({1, cores()})}
    image, known = _picture(photo)
    finder = _finder(detector)
    found = None
    if finder is not None:
        found = bool(usable(finder.detect(np.asarray(image)), finder.scheme))
        if not found and photo is not None:
            raise AutofrError(f"{finder.name} finds no face in {photo}; name another photograph")
        if not found:
            logger.warning(
                f"{finder.name} does not take the drawn face for one: its search is timed, and alignment by the "
                "drawing's own landmarks; for all stages as they are, name a photograph: --photo"
            )
    before = torch.get_num_threads()
    threads = {}
    try:
        for count, network in networks.items():
            torch.set_num_threads(count)
            stages = _stages(network, finder, image, known, flip, repeats)
            whole = finder is not None
            meets = [name for name, limit in LIMITS.items() if whole and stages["total"].p95 <= limit]
            threads[count] = {"stages": {name: vars(stage) for name, stage in stages.items()}, "meets": meets}
    finally:
        torch.set_num_threads(before)
    return {
        "model": {"name": network.name, **network.about},
        "detector": None if finder is None else finder.name,
        "photo": list(image.size),
        "found": found,
        "flip": flip,
        "repeats": repeats,
        "threads": threads,
        "machine": f"{_processor()}, {os.cpu_count()} cores",
    }


Known = tuple[npt.NDArray[np.floating], str]


def _picture(photo: str | Path | None) -> tuple[Image.Image, Known]:
    """The photograph, and landmarks with their scheme to align by where a detector finds none."""
    if photo is not None:
        if not Path(photo).is_file():
            raise AutofrError(f"no photograph {photo}")
        try:
            image = open_image(Path(photo))
        except OSError as error:
            raise AutofrError(f"the photograph cannot be read: {error}") from error
        middle = np.array([image.width / 2 - SIZE / 2, image.height / 2 - SIZE / 2])
        return image, (TEMPLATE + middle, "points5")
    faces = synthetic_faces(4, 2, 256)
    left, top = PHOTO[0] // 2 - 128, PHOTO[1] // 2 - 128
    image = Image.new("RGB", PHOTO, (120, 130, 140))
    image.paste(Image.fromarray(faces.read(torch.tensor([0]))[0].permute(1, 2, 0).numpy()), (left, top))
    landmarks = torch.zeros(68, 2) if faces.landmarks is None else faces.landmarks[0]
    return image, (landmarks.numpy() + [left, top], "ibug68")


def _finder(name: str | None) -> Detector | None:
    if name is not None:
        return create_detector(name)
    for known in sorted(DETECTORS, key=lambda detector: detector != "dlib"):  # its models come with its package
        try:
            return create_detector(known)
        except AutofrError as error:  # not installed, or without its weights
            logger.warning(f"not timed: {error}")
    logger.warning("no detector: detection is not timed")
    return None


def _stages(
    model: Model, finder: Detector | None, image: Image.Image, known: Known, flip: bool, repeats: int
) -> dict[str, Stage]:
    """Every call runs all stages one after the other, so that the total is what one face takes."""
    seconds: dict[str, list[float]] = {}
    array = np.asarray(image)
    warm = time.perf_counter() + WARM_UP_SECONDS  # threads and caches settle
    while time.perf_counter() < warm:
        _one(model, finder, image, array, known, flip)
    for _ in range(repeats):
        for name, value in _one(model, finder, image, array, known, flip).items():
            seconds.setdefault(name, []).append(value)
    return {name: Stage(1e3 * median(values), 1e3 * _p95(values)) for name, values in seconds.items()}


def _one(
    model: Model, finder: Detector | None, image: Image.Image, array: npt.NDArray[np.uint8], known: Known, flip: bool
) -> dict[str, float]:
    taken = {}
    start = time.perf_counter()
    landmarks, scheme = known
    if finder is not None:
        faces = usable(finder.detect(array), finder.scheme)
        if faces:
            landmarks, scheme = faces[0].landmarks, finder.scheme
        taken["detection"] = time.perf_counter() - start
    found = time.perf_counter()
    aligned, _ = align_face(image, landmarks, scheme)
    pixels = torch.from_numpy(np.asarray(aligned).transpose(2, 0, 1).copy())[None]
    taken["alignment"] = time.perf_counter() - found
    begun = time.perf_counter()
    model.embed(pixels, flip)
    end = time.perf_counter()
    return {**taken, "recognition": end - begun, "total": end - start}


def _p95(values: Sequence[float]) -> float:
    return float(np.percentile(values, 95, method="higher"))


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
