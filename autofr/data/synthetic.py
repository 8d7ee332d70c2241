"""Drawn faces with exact landmarks: something to search on where there is no data at hand.

An identity is a vector that shapes the face (geometry, skin, hair, brows, eyes, mouth); an image of it adds pose,
light, expression, background, blur and noise. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFilter

from autofr.compute.seeding import derive_seed
from autofr.data.faces import Faces
from autofr.exceptions import AutofrError

Array: TypeAlias = npt.NDArray[np.float64]
Colour: TypeAlias = tuple[int, int, int]

SYNTHETIC_IDENTITIES, SYNTHETIC_IMAGES, SYNTHETIC_SIZE = 160, 14, 48
"""The built-in drawn faces of a search without data: 12 epochs on them take a few minutes on two cores."""

TRAITS = 22
"""Length of an identity vector; each trait is roughly standard normal, clipped at 2."""
_OVERSAMPLE = 3  # drawn this much larger, then reduced: smooth edges


def synthetic_faces(
    identities: int = 160,
    images: int = 14,
    image_size: int = 64,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Faces:
    """A face set of ``identities`` drawn people with ``images`` pictures each.

    Args:
        identities: how many people, 4 or more.
        images: pictures of each, 2 or more.
        image_size: side in pixels, 32 or more.
        seed: decides everything.
        progress: called with the number of images drawn since the last call.

    Raises:
        AutofrError: a number below its least.
    """
    if identities < 4 or images < 2 or image_size < 32:
        raise AutofrError("synthetic faces need 4 identities, 2 images each and 32 pixels, or more")
    pixels = np.empty((identities * images, 3, image_size, image_size), dtype=np.uint8)
    landmarks = np.empty((identities * images, 68, 2), dtype=np.float32)
    for identity in range(identities):
        traits = np.random.default_rng(derive_seed(seed, "identity", identity)).normal(size=TRAITS).clip(-2, 2)
        for index in range(images):
            row = identity * images + index
            rng = np.random.default_rng(derive_seed(seed, "picture", identity, index))
            pixels[row], landmarks[row] = draw_face(traits, rng, image_size)
        if progress is not None:
            progress(images)
    tensor = torch.from_numpy(pixels)
    return Faces(
        source="synthetic",
        read=lambda wanted: tensor[wanted],
        labels=torch.arange(identities).repeat_interleave(images),
        identities=[f"person_{i:04d}" for i in range(identities)],
        names=[f"person_{i:04d}/{j:03d}.png" for i in range(identities) for j in range(images)],
        landmarks=torch.from_numpy(landmarks),
        image_size=image_size,
    )


def face_geometry(traits: Array, smile: float, opening: float) -> Array:
    """The 68 iBUG landmarks of a frontal face, (68, 3): x right, y down, z toward the viewer; half a face wide is 1.

    Args:
        traits: (TRAITS,) the identity.
        smile: corners of the mouth up, about -0.1 to 0.1.
        opening: gap between the lips, 0 to about 0.15.
    """
    t = traits * 0.5
    angle = np.pi * np.arange(17) / 16
    jaw = 1 + 0.12 * t[0] * np.sin(angle) ** 2 * np.abs(np.cos(angle))
    contour = np.stack([-np.cos(angle) * (0.95 + 0.07 * t[1]) * jaw, np.sin(angle) * (1.12 + 0.1 * t[2])], 1)
    eye_x, eye_y, eye_w, eye_h = 0.42 + 0.05 * t[3], -0.12 + 0.04 * t[4], 0.17 + 0.025 * t[5], 0.075 + 0.02 * t[6]
    brow_y, slope = eye_y - 0.25 - 0.05 * t[7], 0.08 * t[8]
    along = np.linspace(-1, 1, 5)
    brow = np.stack([eye_x + 0.28 * along, brow_y - 0.06 * (1 - along**2) + slope * along], 1)
    nose_y = 0.32 + 0.06 * t[9]
    bridge = np.stack([np.zeros(4), np.linspace(eye_y, nose_y - 0.08, 4)], 1)
    base = np.stack([(0.2 + 0.04 * t[10]) * along, nose_y + 0.04 * (1 - along**2)], 1)
    turn = np.pi * np.array([1, 2 / 3, 1 / 3, 0, -1 / 3, -2 / 3])
    eye = np.stack([np.cos(turn) * eye_w, -np.sin(turn) * eye_h], 1)
    left_eye, right_eye = eye + [-eye_x, eye_y], eye + [eye_x, eye_y]
    mouth_w, mouth_y, lip = 0.34 + 0.05 * t[11], 0.64 + 0.05 * t[12], 0.07 + 0.02 * t[13]
    upper = np.linspace(-1, 1, 7)
    outer_top = np.stack([mouth_w * upper, mouth_y - lip * (1 - upper**2) - smile * upper**2], 1)
    lower = np.linspace(1, -1, 7)[1:-1]
    outer_low = np.stack([mouth_w * lower, mouth_y + opening + lip * 1.3 * (1 - lower**2) - smile * lower**2], 1)
    inner = np.linspace(-0.8, 0.8, 5)
    inner_top = np.stack([mouth_w * inner, mouth_y - smile * inner**2 - 0.01], 1)
    inside = np.linspace(0.8, -0.8, 5)[1:-1]
    inner_low = np.stack([mouth_w * inside, mouth_y + opening * (1 - inside**2) - smile * inside**2 + 0.01], 1)
    left_brow = brow[::-1] * [-1, 1]
    plane = np.concatenate(
        [contour, left_brow, brow, bridge, base, left_eye, right_eye, outer_top, outer_low, inner_top, inner_low]
    )
    depth = 0.75 * np.sqrt(np.clip(1 - 0.8 * plane[:, 0] ** 2 - 0.25 * plane[:, 1] ** 2, 0, 1))
    depth[:17] = 0.15 * np.sin(angle)
    depth[27:31] += np.linspace(0.05, 0.3, 4) * (1 + 0.15 * t[14])
    depth[31:36] += 0.12
    return np.concatenate([plane, depth[:, None]], 1)


def draw_face(traits: Array, rng: np.random.Generator, size: int) -> tuple[npt.NDArray[np.uint8], Array]:
    """One picture of an identity: (3, size, size) uint8 RGB, and its 68 landmarks in pixels."""
    shape = face_geometry(traits, smile=rng.normal(0, 0.05), opening=max(0.0, rng.normal(0.02, 0.05)))
    forehead = _forehead(traits)
    points = _project(np.concatenate([shape, forehead]), rng) * size
    face = _sketch(traits, points * _OVERSAMPLE, size * _OVERSAMPLE, rng)
    picture = face.resize((size, size), Image.Resampling.BOX)
    picture = picture.filter(ImageFilter.GaussianBlur(abs(rng.normal(0, 0.7)) * size / 64))
    values = np.asarray(picture, dtype=np.float64) / 255
    ys, xs = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    light = 1 + rng.normal(0, 0.18) * xs + rng.normal(0, 0.12) * ys + rng.normal(0, 0.12)
    tint = 1 + rng.normal(0, 0.05, 3)
    values = values * light[..., None] * tint + rng.normal(0, abs(rng.normal(0, 0.03)) + 0.01, values.shape)
    return (values.clip(0, 1) * 255).round().astype(np.uint8).transpose(2, 0, 1), points[:68] - 0.5


def _forehead(traits: Array) -> Array:
    """Hairline from the right temple over the top to the left one, (9, 3)."""
    angle = np.linspace(0, np.pi, 9)
    height = 0.95 + 0.07 * traits[15]
    return np.stack([np.cos(angle) * 0.93, -np.sin(angle) * height, 0.35 * np.sin(angle)], 1)


def _project(points: Array, rng: np.random.Generator) -> Array:
    """Turn the head and align it, as a face aligner would: to shares of the picture's side, (N, 2)."""
    yaw, pitch, roll = rng.normal(0, [0.3, 0.12, 0.05])
    x, y, z = points.T
    x, z = x * np.cos(yaw) + z * np.sin(yaw), z * np.cos(yaw) - x * np.sin(yaw)
    y = y * np.cos(pitch) + (z - 0.4) * np.sin(pitch)
    x, y = x * np.cos(roll) - y * np.sin(roll), x * np.sin(roll) + y * np.cos(roll)
    eyes = np.array([x[36:48].mean(), y[36:48].mean()])
    mouth = y[48:60].mean() - eyes[1]
    flat = (np.stack([x, y], 1) - eyes) * 0.34 / mouth
    aligned: Array = flat * (1 + rng.normal(0, 0.03)) + [0.5, 0.46] + rng.normal(0, 0.012, 2)
    return aligned


def _sketch(traits: Array, p: Array, size: int, rng: np.random.Generator) -> Image.Image:
    skin = _mix((92, 60, 44), (238, 200, 176), 0.5 + 0.25 * traits[16])
    hair = _mix((24, 18, 16), (186, 142, 88), 0.4 + 0.25 * traits[17])
    iris = _mix((60, 38, 24), (96, 132, 158), 0.4 + 0.3 * traits[18])
    lips = _shade(_mix((150, 70, 70), (206, 110, 108), 0.5 + 0.25 * traits[19]), 0.6 + 0.4 * sum(skin) / 640)
    image = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(30, 220, 3)))
    draw = ImageDraw.Draw(image)
    unit = size / 64

    def polygon(points: Array, colour: Colour) -> None:
        draw.polygon([(float(x), float(y)) for x, y in points], fill=colour)

    def stroke(points: Array, colour: Colour, width: float) -> None:
        draw.line([(float(x), float(y)) for x, y in points], fill=colour, width=max(1, round(width)), joint="curve")

    hairline, contour, top = p[68:77], p[:17], p[68:77].mean(0)
    centre = p[27]
    volume = 1.1 + 0.06 * traits[20]
    polygon(centre + (np.concatenate([p[[16]], hairline, p[[0]]]) - centre) * [volume, volume * 1.05], hair)
    polygon(np.array([p[4], p[12], p[12] + [0, size], p[4] + [0, size]]), _shade(skin, 0.75))
    polygon(np.concatenate([contour, hairline]), skin)
    fringe = np.array([hairline[1], *hairline[2:7], hairline[7], top + [0, (4 + 2 * traits[21]) * unit]])
    polygon(fringe, hair)
    polygon(
        np.concatenate([p[[8]] + [[-6 * unit, -2 * unit]], p[[8]], p[[8]] + [[6 * unit, -2 * unit]]]),
        _shade(skin, 0.88),
    )
    for brow in (p[17:22], p[22:27]):
        stroke(brow, _shade(hair, 0.8), (1.6 + 0.35 * traits[7]) * unit)
    for eye in (p[36:42], p[42:48]):
        polygon(eye, (236, 234, 230))
        x, y = eye.mean(0) + rng.normal(0, 0.5, 2) * unit * [1, 0.3]
        radius = (2.1 + 0.15 * traits[6]) * unit
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=iris)
        draw.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), fill=(12, 10, 10))
        stroke(eye[:4], _shade(skin, 0.45), unit)
    polygon(np.array([p[27], p[30], p[31]]), _shade(skin, 0.9))
    polygon(np.concatenate([p[[30]], p[31:36]]), _shade(skin, 0.82))
    stroke(p[31:36], _shade(skin, 0.6), unit)
    polygon(p[48:60], lips)
    polygon(p[60:68], (70, 24, 28))
    return image


def _mix(low: Colour, high: Colour, share: float) -> Colour:
    share = min(1.0, max(0.0, share))
    r, g, b = (round(a + (z - a) * share) for a, z in zip(low, high, strict=True))
    return r, g, b


def _shade(colour: Colour, factor: float) -> Colour:
    r, g, b = (min(255, round(c * factor)) for c in colour)
    return r, g, b
