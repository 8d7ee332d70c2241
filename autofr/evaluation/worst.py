"""The worst errors of an evaluation, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from autofr.data import Faces
from autofr.evaluation.embedding import masked_faces

_COLUMNS, _GAP, _CAPTION = 4, 8, 30


def worst_sheet(worst: Sequence[dict[str, Any]], faces: Faces, seed: int, path: Path) -> None:
    """Write a sheet of pairs, four in a row, each with its score, its kind and its names.

    Args:
        worst: the entries of a report's row.
        faces: the images.
        seed: of the rendered masks, which are shown on the sides that wore them.
        path: the picture to write.
    """
    wears = {(i, bool(m)) for entry in worst for i, m in zip(entry["images"], entry["masked"], strict=True)}
    bare = [i for i, masked in wears if not masked]
    shown: dict[tuple[int, bool], Tensor] = {
        (i, True): pixels for i, pixels in masked_faces(faces, [i for i, masked in wears if masked], seed).items()
    }
    if bare:
        shown |= {(i, False): pixels for i, pixels in zip(bare, faces.read(torch.tensor(bare)), strict=True)}
    size = faces.image_size
    width, height = 2 * size + _GAP, size + _CAPTION + _GAP
    rows = -(-len(worst) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * (width + _GAP) + _GAP, max(1, rows) * height + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for place, entry in enumerate(worst):
        left = _GAP + place % _COLUMNS * (width + _GAP)
        top = _GAP + place // _COLUMNS * height
        for side, (image, masked) in enumerate(zip(entry["images"], entry["masked"], strict=True)):
            pixels = shown[image, bool(masked)].permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(pixels), (left + side * size, top))
        colour = (160, 20, 20) if entry["kind"] == "false match" else (20, 60, 160)
        draw.text((left, top + size + 1), f"{entry['score']:.3f} {entry['kind']}", fill=colour)
        for side, name in enumerate(entry["names"]):
            draw.text((left + side * size, top + size + 14), _short(name, size // 6), fill="black")
    sheet.save(path)


def _short(name: str, length: int) -> str:
    stem = name.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    return stem if len(stem) <= length else "…" + stem[1 - length :]
